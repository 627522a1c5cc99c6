"""Imperfections of every kind of actuator act about its rest point, as in a plain loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.simulation import Simulation
from sim2real.simulation.randomness import ACTUATION, EpisodeGenerators
from sim2real.task import Array, Task, World

XML = """<mujoco><option timestep="0.01"/><worldbody>
  <body><joint name="j" axis="0 1 0" damping="0.1"/>
    <geom size="0.05" pos="0.2 0 0" mass="0.5"/></body>
</worldbody><actuator>{}</actuator></mujoco>"""
LOW, HIGH, STEPS = -2.0, 3.0, 40
AT = 'name="drive" joint="j" ctrlrange="-2 3"'
ACTUATORS = {  # the actuator, what an action of 0 asks for, and what asks for nothing
    "motor": (f"<motor {AT}/>", 0.0, 0.0),
    "position": (f'<position {AT} kp="20" kv="1"/>', 0.6, None),
    "slow position": (f'<position {AT} kp="20" timeconst="0.1"/>', -0.6, None),
    "velocity": (f'<velocity {AT} kv="2"/>', 0.3, 0.0),
    "biased": (f'<general {AT} gainprm="2" biasprm="0.9 0 0" biastype="affine"/>', 0.0, -0.45),
    "own servo": (f'<general {AT} gainprm="5" biasprm="1 -9 -1" biastype="affine"/>', 0.8, None),
}


class Driven(Task):
    """A heavy lever with one actuator."""

    control_dt, episode_s = 0.02, 10.0

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.actuator, self.home, self.nothing = ACTUATORS[kind]

    def spec(self, file: Any = None) -> mujoco.MjSpec:
        return mujoco.MjSpec.from_string(XML.format(self.actuator))

    def control(self, world: World, action: Any) -> Any:
        return self.home + action

    def observe(self, world: World) -> dict[str, Array]:
        return {"angle": world.qpos}

    def reward(self, world: World, action: Any) -> dict[str, Array]:
        return {"none": np.zeros(world.num_envs)}


def saturated(commands: Array, rest: float) -> list[float]:
    low, high = rest + 0.25 * (LOW - rest), rest + 0.25 * (HIGH - rest)
    return [min(max(one, low), high) for one in commands]


def dead(commands: Array, rest: float) -> list[float]:
    near = commands - rest
    return [
        rest if abs(one) <= 0.3 else value - 0.3 * np.sign(one)
        for one, value in zip(near, commands, strict=True)
    ]


def lost() -> list[bool]:
    key = key_of("dropped:drive")
    numbers = [EpisodeGenerators(7).at(0, ACTUATION, block, key).random(32) for block in (0, 1)]
    return (np.concatenate(numbers) < 0.4).tolist()


@pytest.mark.parametrize("kind", ACTUATORS)
@pytest.mark.parametrize(
    ("entry", "expected"), [({"saturation": 0.25}, saturated), ({"dead_zone": 0.3}, dead)]
)
def test_limits_and_dead_zones_lie_about_it(
    kind: str, entry: Any, expected: Callable[[Array, float], list[float]]
) -> None:
    task = Driven(kind)
    commands = task.home + np.random.default_rng(0).uniform(-1, 1, STEPS)
    rest = task.home if task.nothing is None else task.nothing
    _check(task, entry, commands, expected(commands, rest))


@pytest.mark.parametrize("kind", ACTUATORS)
def test_a_lost_command_asks_for_nothing(kind: str) -> None:
    task = Driven(kind)
    commands = task.home + np.random.default_rng(0).uniform(-1, 1, STEPS)
    expected, last = [], task.home
    for command, gone in zip(commands.tolist(), lost(), strict=False):
        nothing = last if task.nothing is None else task.nothing
        last = nothing if gone else command
        expected.append(last)
    _check(task, {"dropped": 0.4}, commands, expected)


@pytest.mark.parametrize(
    ("entry", "expected"), [({"saturation": 0.25}, saturated), ({"dead_zone": 0.3}, dead)]
)
def test_a_target_beyond_the_range_rests_at_its_limit(
    entry: Any, expected: Callable[[Array, float], list[float]]
) -> None:
    task = Driven("position")
    task.home = HIGH + 1.0
    commands = np.random.default_rng(0).uniform(LOW, HIGH, STEPS)
    _check(task, entry, commands, expected(commands, HIGH))


@pytest.mark.parametrize("kind", ["position", "slow position", "own servo"])
def test_a_servo_that_hears_nothing_stands_where_it_stood(kind: str) -> None:
    """At 0 rad, where a lost command used to send it, it would be more than half a radian away."""
    simulation = Simulation(Driven(kind), Domain(actuation=[{"dropped": 1.0}]))  # type: ignore[list-item]
    for _ in range(10):
        simulation.advance(np.ones((1, 1)))
    assert simulation.ctrl[0, 0] == simulation.task.home  # type: ignore[attr-defined]


def _check(task: Driven, entry: Any, commands: Array, expected: list[float]) -> None:
    """The simulation with an entry equals `mj_step` with the controls that are expected of it."""
    simulation = Simulation(task, Domain(actuation=[entry]), seed=7)
    model = task.compile()
    data = mujoco.MjData(model)
    for command, control in zip(commands, expected, strict=True):
        seen = simulation.advance(np.array([[command - task.home]])).observation
        data.ctrl[:] = control
        mujoco.mj_step(model, data, 2)
        np.testing.assert_allclose(seen[0], data.qpos, rtol=1e-12, atol=1e-12)
