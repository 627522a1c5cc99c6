"""Quadruped: a robot of the Unitree Go1 class follows a commanded velocity.

The model stands beside it in quadruped.xml, with the source of each of its numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray, Mirror, Rng, Task, World, within

POSE = np.tile([0.0, 0.9, -1.8], 4)
"""Angles of a robot that stands, rad: the feet are under the hips (Zakka et al. 2025)."""
ACTION_SCALE = 0.5
"""rad that an action of 1 turns a joint's target away from the pose (Zakka et al. 2025)."""
COMMAND = np.array([1.0, 0.5, 1.0])
"""The fastest that is asked for, forwards, sideways (m/s) and turning (rad/s); Rudin et al. 2022
ask for 1.0 of each."""
STANDING = 0.1
"""How many of the commands are to stand still."""
START_HEIGHT = 0.31
"""m of the trunk at the start; in the pose it is 0.285 m high, and a little more or less here."""
BELLY = 0.1
"""m of the trunk over its lowest foot, at which it lies on the floor (it is 0.114 m thick)."""
TOLERANCE = 0.2
"""m/s of mean error that is called a success."""

VELOCITY, TOUCH, PLACE, MOTION = slice(0, 3), slice(3, 7), slice(7, 19), slice(19, 31)
"""Columns of the sensors: the trunk's velocity in its own frame; of each foot the force, N, the
place and the velocity in the world."""
SWING_HEIGHT = 0.1
"""m at which a foot should swing, measured at its middle (Zakka et al. 2025)."""
LONGEST_STRIDE = 0.3
"""s of a foot in the air that are rewarded; a trot of the robot has strides of 0.2 to 0.3 s."""
LEGS = "-3 4 5 -0 1 2 -9 10 11 -6 7 8"
"""The joints in a mirror: a leg is the one beside it, and turns sideways the other way."""
POSTURE = np.tile([1.0, 1.0, 0.1], 4)
"""Weight of each angle in the posture (Zakka et al. 2025)."""


class Quadruped(Task):
    """Twelve joints of a robot of 13 kg follow a velocity that is drawn anew every five seconds.

    An action moves the targets of the joints' PD controllers by up to 0.5 rad from a pose in which
    it stands. Joints of each leg: hip (sideways), thigh, calf; legs: FR, FL, RR, RL (front and
    rear, right and left).

    | action | target of      | range | rad at 1            |
    |--------|----------------|-------|---------------------|
    | 0-2    | FR leg         | ±1    | 0.5 beyond the pose |
    | 3-5    | FL leg         | ±1    | 0.5 beyond the pose |
    | 6-8    | RR leg         | ±1    | 0.5 beyond the pose |
    | 9-11   | RL leg         | ±1    | 0.5 beyond the pose |

    | index | term             | observed                                       | unit       |
    |-------|------------------|------------------------------------------------|------------|
    | 0-2   | gyro             | angular velocity of the trunk, in its frame    | rad/s      |
    | 3-5   | gravity          | direction of gravity, in the trunk's frame     |            |
    | 6-17  | joint_positions  | angles, from the pose                          | rad        |
    | 18-29 | joint_velocities | angle rates                                    | rad/s      |
    | 30-41 | last_action      | the action before                              |            |
    | 42-44 | command          | velocity forwards, to the left, turning left   | m/s, rad/s |

    A critic may see the trunk's velocity, which feet touch the floor, and how high they are.

    The reward of a second is 2 for the velocity and 1 for the turning rate that were asked for,
    each exp(-error² / 0.25), and 0.5 for the posture. The exponentials are from Rudin et al. 2022
    (arXiv:2109.11978), most costs and their weights from MuJoCo Playground's Go1 (Zakka et al.
    2025, arXiv:2502.08844), where the weights are 1 and 0.5; leaning, low feet and standing
    restlessly cost less here. `stride` is a reward at the step in which a foot lands, in proportion
    to its time in the air beyond 0.1 s. A foot that swings low, or slides, costs. Costs beyond the
    rewards are `forgiven`, as in both, so that no fall has an advantage; a fall costs 5.

    It fails when it leans more than 60 degrees, or lies on the floor. It succeeds when the mean
    error of its velocity, over the episode, is below 0.2 m/s.

    The option `command` asks for one velocity, [forwards, left, turning left], in every episode.
    """

    control_dt, episode_s = 0.02, 20.0  # s
    redraw_s = 5.0
    action_limits = (-1.0, 1.0)
    memory: ClassVar = {"command": 3, "air": 4, "error": 1}
    commanded = ("last_action", "command")
    mirror = Mirror(  # left and right
        action=LEGS,
        terms={
            "gyro": "-0 1 -2",
            "gravity": "0 -1 2",
            "joint_positions": LEGS,
            "joint_velocities": LEGS,
            "last_action": LEGS,
            "command": "0 -1 -2",
            "velocity": "0 -1 2",
            "foot_contacts": "1 0 3 2",
            "foot_heights": "1 0 3 2",
        },
    )
    derived_fields = "lagged"  # sensors of the reward are 4 ms old; observations are not
    units: ClassVar = {
        "gyro": "rad/s",
        "joint_positions": "rad",
        "joint_velocities": "rad/s",
        "command": "m/s, rad/s",
        "velocity": "m/s",
        "foot_heights": "m",
    }
    frames: ClassVar = {"gyro": "body", "gravity": "body", "command": "body", "velocity": "body"}
    camera: ClassVar = {"trackbodyid": 1, "distance": 1.6, "elevation": -15.0, "azimuth": 120.0}

    def __init__(self, command: Sequence[float] | None = None) -> None:
        super().__init__(command=command)
        asked = None if command is None else within("command", command, -COMMAND, COMMAND)
        self._command = asked

    def control(self, world: World, action: NDArray[Any]) -> Array:
        return POSE + ACTION_SCALE * action

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "gyro": world.qvel[:, 3:6],
            "gravity": _gravity(world.qpos[:, 3:7]),
            "joint_positions": world.qpos[:, 7:] - POSE,
            "joint_velocities": world.qvel[:, 6:],
            "last_action": world.last_action,
            "command": world.memory["command"],
        }

    def slip(self, world: World) -> Array:
        motion = world.sensordata[:, MOTION].reshape(-1, 4, 3)[:, :, :2]
        touches = world.sensordata[:, TOUCH] > 0
        speeds = np.linalg.norm(motion, axis=2) * touches
        mean: Array = speeds.sum(axis=1) / np.maximum(touches.sum(axis=1), 1)
        return mean

    def privileged(self, world: World) -> dict[str, Array]:
        sensed = world.sensordata
        return {
            "velocity": sensed[:, VELOCITY],
            "foot_contacts": (sensed[:, TOUCH] > 0).astype(float),
            "foot_heights": sensed[:, PLACE][:, 2::3],
        }

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        command, sensed, qvel = world.memory["command"], world.sensordata, world.qvel
        velocity, torque = sensed[:, VELOCITY], world.actuator_force
        missed = _squares(velocity[:, :2] - command[:, :2])
        world.memory["error"][:, 0] += np.sqrt(missed)
        offset = world.qpos[:, 7:] - POSE
        moving = np.abs(command).max(axis=1) > 0
        tracking = {
            "velocity": 2.0 * np.exp(missed / -0.25),
            "turning": np.exp((qvel[:, 5] - command[:, 2]) ** 2 / -0.25),
            "posture": 0.5 * np.exp(-(offset**2 * POSTURE).sum(axis=1)),
            "bounce": -0.5 * velocity[:, 2] ** 2,
            "roll_pitch": -0.05 * _squares(qvel[:, 3:5]),
            "lean": -2.0 * _squares(_gravity(world.qpos[:, 3:7])[:, :2]),
            "torque": -0.0002 * (np.sqrt(_squares(torque)) + np.abs(torque).sum(axis=1)),
            "energy": -0.001 * np.abs(qvel[:, 6:] * torque).sum(axis=1),
            "jerk": -0.01 * _squares(action - world.last_action),
            "restless": -0.5 * np.where(moving, 0.0, np.abs(offset).sum(axis=1)),
        }
        tracking |= self._feet(sensed, moving)
        terms = {name: term * self.control_dt for name, term in tracking.items()}
        terms["stride"] = 0.4 * moving * self._stride(world, sensed[:, TOUCH] > 0)
        terms["forgiven"] = np.maximum(-sum(terms.values()), 0.0)
        terms["fall"] = -5.0 * self.failed(world)
        return terms

    def _feet(self, sensed: Array, moving: BoolArray) -> dict[str, Array]:
        """Costs of feet that swing low, and that slide."""
        place = sensed[:, PLACE].reshape(-1, 4, 3)
        square = _squares(sensed[:, MOTION].reshape(-1, 4, 3)[:, :, :2])
        low = np.abs(place[:, :, 2] - SWING_HEIGHT) * np.sqrt(np.sqrt(square))
        slides = square * (sensed[:, TOUCH] > 0)
        return {"low_feet": -0.5 * low.sum(axis=1), "slip": -0.1 * moving * slides.sum(axis=1)}

    def _stride(self, world: World, touching: BoolArray) -> Array:
        """s in the air beyond 0.1 of the feet that land in this step, together, (n,)."""
        air = world.memory["air"]
        rewarded = np.where(touching, np.clip(air, 0.1, LONGEST_STRIDE) - 0.1, 0.0)
        air[:] = np.where(touching, 0.0, air + world.step_s[:, None])
        total: Array = rewarded.sum(axis=1)
        return total

    def failed(self, world: World) -> BoolArray:
        _, x, y, _ = world.qpos[:, 3:7].T
        leans = 1 - 2 * (x * x + y * y) < 0.5  # the cosine of the angle between trunk and upright
        lowest = world.sensordata[:, PLACE][:, 2::3].min(axis=1)
        failed: BoolArray = leans | (world.qpos[:, 2] - lowest < BELLY)
        return failed

    def succeeded(self, world: World) -> BoolArray:
        return world.memory["error"][:, 0] < TOLERANCE * world.steps

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        n = len(ids)
        yaw = rng.uniform(-np.pi, np.pi, (n,))
        world.qpos[ids, 2] = START_HEIGHT
        world.qpos[ids, 3], world.qpos[ids, 6] = np.cos(yaw / 2), np.sin(yaw / 2)
        world.qpos[ids, 7:] = POSE + rng.uniform(-0.1, 0.1, (n, 12))
        world.qvel[ids, :6] = rng.uniform(-0.5, 0.5, (n, 6))  # (Zakka et al. 2025)

    def redraw(self, world: World, ids: IntArray, rng: Rng) -> None:
        if self._command is not None:
            world.memory["command"][ids] = self._command
            return
        drawn = rng.uniform(-1.0, 1.0, (len(ids), 3)) * COMMAND * world.difficulty
        standing = rng.random((len(ids), 1)) < STANDING
        world.memory["command"][ids] = np.where(standing, 0.0, drawn)


def _gravity(quaternion: Array) -> Array:
    """The direction of gravity in the frame that has this orientation, (n, 3)."""
    w, x, y, z = quaternion.T
    return -np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], axis=1)


def _squares(values: Array) -> Array:
    """The sum of the squares along the last axis."""
    total: Array = (values * values).sum(axis=-1)
    return total
