"""The quadruped, against its published numbers and what one can work out by hand."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim2real.domains import load_domain
from sim2real.envs.quadruped import COMMAND, POSE, Quadruped
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

G, LINK, FOOT = 9.81, 0.213, 0.02  # m/s², m, m
UPRIGHT = (1.0, 0.0, 0.0, 0.0)
STILL = np.zeros((1, 12))


def simulate(num_envs: int = 1, **options: object) -> Simulation:
    return Simulation(load_task("quadruped", **options), None, num_envs, threads=1)


def standing(num_envs: int = 1, **options: object) -> Simulation:
    """Worlds that stand, after two seconds."""
    simulation = simulate(num_envs, **options)
    place(simulation, height=0.285)
    for _ in range(100):
        simulation.advance(np.zeros((num_envs, 12)))
    return simulation


def place(simulation: Simulation, height: float, quaternion: tuple[float, ...] = UPRIGHT) -> None:
    """Put every world into the pose, at rest."""
    qpos = np.concatenate([[0.0, 0.0, height], quaternion, POSE])
    simulation.write_state(np.tile(qpos, (simulation.num_envs, 1)), 0.0)


# -- the model ---------------------------------------------------------------------------------


def test_it_weighs_what_the_published_parts_do() -> None:
    """Trunk, inertial unit, and for each leg three rotors, hip, thigh, calf and foot.

    The data sheet says about 12 kg; the published description adds up to 13.1 kg.
    """
    legs = 4 * (3 * 0.089 + 0.591 + 0.92 + 0.135862 + 0.06)
    model = load_task("quadruped").compile()
    assert model.body_subtreemass[0] == pytest.approx(5.204 + 0.001 + legs, abs=1e-4)
    assert 12 < model.body_subtreemass[0] < 13.5


def test_left_and_right_mirror_each_other() -> None:
    model = load_task("quadruped").compile()
    for front in "FR":
        for part in ("hip", "thigh", "calf"):
            right, left = (model.body(f"{front}{side}_{part}") for side in "RL")
            np.testing.assert_allclose(left.inertia, right.inertia, rtol=1e-9)
            if part != "calf":  # one part for both sides
                np.testing.assert_allclose(left.ipos, right.ipos * [1, -1, 1], rtol=1e-12)


def test_joints_have_the_published_limits() -> None:
    model = load_task("quadruped").compile()
    rotor, gear = 1.11842e-4, 6.33  # kg m², reduction
    limits = {
        "hip": (-0.863, 0.863, 23.7, gear),
        "thigh": (-0.686, 4.501, 23.7, gear),
        "calf": (-2.818, -0.888, 35.55, 1.5 * gear),
    }
    for leg in ("FR", "FL", "RR", "RL"):
        for part, (low, high, torque, reduction) in limits.items():
            joint, actuator = model.joint(f"{leg}_{part}_joint"), model.actuator(f"{leg}_{part}")
            np.testing.assert_array_equal(joint.range, [low, high])
            np.testing.assert_array_equal(actuator.ctrlrange, [low, high])
            np.testing.assert_array_equal(actuator.forcerange, [-torque, torque])
            assert joint.armature == pytest.approx(rotor * reduction**2, rel=1e-4)


def test_in_the_pose_the_feet_are_under_the_hips() -> None:
    """Two links of 0.213 m, 0.9 rad forwards and 0.9 rad back."""
    simulation = simulate()
    place(simulation, height=1.0)
    feet = simulation.sensordata[0, 7:19].reshape(4, 3)
    side = 0.04675 + 0.08
    down = 1.0 - 2 * LINK * np.cos(0.9)
    expected = [[x, y, down] for x in (0.1881, -0.1881) for y in (-side, side)]
    np.testing.assert_allclose(feet, expected, atol=1e-12)


def test_only_the_feet_touch_and_only_the_floor() -> None:
    model = load_task("quadruped").compile()
    touching = {
        model.geom(i).name for i in range(model.ngeom) if model.geom_contype[i] and model.geom(i)
    }
    assert touching == {"floor", "FR", "FL", "RR", "RL"}
    assert [model.geom(i).name for i in np.flatnonzero(model.geom_conaffinity)] == ["floor"]


def test_it_falls_freely() -> None:
    """Whatever the joints do, the centre of mass falls, up to the error of the integration."""
    simulation = simulate()
    place(simulation, height=5.0)
    rng = np.random.default_rng(0)
    for _ in range(20):
        simulation.advance(rng.uniform(-1, 1, (1, 12)))
    model, data = simulation.model, simulation.world_data(0)
    mujoco.mj_forward(model, data)
    mujoco.mj_subtreeVel(model, data)
    assert data.subtree_linvel[1, 2] == pytest.approx(-G * 0.4, rel=5e-3)
    np.testing.assert_allclose(data.subtree_linvel[1, :2], 0, atol=0.02)


def test_it_stands_without_drift() -> None:
    """The joints give way a little under the weight, and then nothing moves any more."""
    simulation = standing(num_envs=2)
    before = simulation.qpos.copy()
    assert (before[:, 2] > 0.2).all()
    assert (before[:, 2] < 0.285).all()
    for _ in range(250):
        simulation.advance(np.zeros((2, 12)))
    assert not simulation.task.failed(simulation).any()
    assert np.abs(simulation.qpos - before)[:, :3].max() < 5e-3  # m in five seconds
    assert np.abs(simulation.qvel).max() < 0.01
    weight = simulation.sensordata[:, 3:7].sum(axis=1)
    np.testing.assert_allclose(weight, simulation.model.body_subtreemass[0] * G, rtol=0.02)


def test_motors_give_no_more_than_their_torque() -> None:
    simulation = simulate()
    place(simulation, height=1.0)
    simulation.ctrl[:] = simulation.model.actuator_ctrlrange[:, 1]
    simulation.step_physics(1, lagged=True, active=None)
    assert simulation.actuator_force[0, 1] == 23.7  # 35 N m/rad times 3.6 rad would be 126
    assert np.abs(simulation.actuator_force / simulation.model.actuator_forcerange[:, 1]).max() <= 1


@pytest.mark.parametrize("threads", [1, 2])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    one = Simulation("quadruped", "randomized", 8, seed=3, threads=1)
    other = Simulation("quadruped", "randomized", 8, seed=3, threads=threads)
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.uniform(-1, 1, (8, 12))
        np.testing.assert_array_equal(one.step(action).observation, other.step(action).observation)


# -- what is observed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quaternion", "gravity"),
    [
        (UPRIGHT, (0, 0, -1)),
        ((0.8, 0, 0, 0.6), (0, 0, -1)),  # turned
        ((np.sqrt(0.5), 0, np.sqrt(0.5), 0), (1, 0, 0)),  # on its nose
        ((np.sqrt(0.5), np.sqrt(0.5), 0, 0), (0, -1, 0)),  # on its right side
    ],
)
def test_gravity_is_seen_in_the_trunks_frame(
    quaternion: tuple[float, ...], gravity: tuple[float, ...]
) -> None:
    simulation = simulate()
    place(simulation, 1.0, quaternion)
    np.testing.assert_allclose(simulation.observation[0, 3:6], gravity, atol=1e-12)


def test_a_critic_sees_the_feet_and_the_velocity() -> None:
    simulation = standing()
    seen = simulation.task.privileged(simulation)
    np.testing.assert_array_equal(seen["foot_contacts"], np.ones((1, 4)))
    np.testing.assert_allclose(seen["foot_heights"], FOOT, atol=2e-3)
    np.testing.assert_allclose(seen["velocity"], 0, atol=0.01)
    place(simulation, 1.0, (np.sqrt(0.5), 0, 0, np.sqrt(0.5)))  # looks along y
    simulation.qvel[:, :2] = 0, 0.7
    simulation.step_physics(1, lagged=True, active=None)
    velocity = simulation.task.privileged(simulation)["velocity"]
    np.testing.assert_allclose(velocity, [[0.7, 0, 0]], atol=1e-9)


# -- commands ----------------------------------------------------------------------------------


def test_commands_are_drawn_within_their_range_every_five_seconds() -> None:
    simulation = simulate(num_envs=40)
    first = simulation.memory["command"].copy()
    assert (np.abs(first) <= COMMAND).all()
    still = ~first.any(axis=1)
    assert 0.03 < still.mean() < 0.2  # one in ten
    for _ in range(249):
        simulation.advance(np.zeros((40, 12)))
    up = ~simulation.task.failed(simulation)
    np.testing.assert_array_equal(simulation.memory["command"][up], first[up])
    simulation.advance(np.zeros((40, 12)))
    second = simulation.memory["command"]
    assert (second[up & ~still] != first[up & ~still]).any(axis=1).all()
    np.testing.assert_array_equal(simulation.observation[:, 42:45], second)


def test_a_difficulty_of_nothing_asks_to_stand() -> None:
    simulation = simulate(num_envs=20)
    simulation.difficulty = 0.0
    simulation.reset()
    assert not simulation.memory["command"].any()


def test_one_command_can_be_asked_for() -> None:
    simulation = simulate(num_envs=3, command=[0.5, 0.0, -1.0])
    np.testing.assert_array_equal(simulation.memory["command"], np.tile([0.5, 0, -1.0], (3, 1)))


@pytest.mark.parametrize("command", [[1.1, 0, 0], [0, 0.6, 0], [0, 0], [np.nan, 0, 0], "fast"])
def test_a_command_beyond_its_range_is_refused(command: object) -> None:
    with pytest.raises(UserError, match=r"command is .*; allowed: 3 numbers, -1 to 1, -0.5 to 0.5"):
        Quadruped(command=command)  # type: ignore[arg-type]


# -- reward, success, failure ------------------------------------------------------------------


def test_whoever_follows_its_commands_is_paid_in_full() -> None:
    """Standing still at the command to stand: 2 + 1 a second, and the posture less its sag."""
    simulation = standing(command=[0, 0, 0])
    terms = simulation.advance(STILL).terms
    dt = simulation.dt
    assert terms["velocity"] == pytest.approx(2 * dt, rel=1e-3)
    assert terms["turning"] == pytest.approx(dt, rel=1e-3)
    offset = simulation.qpos[0, 7:] - POSE
    weights = np.tile([1, 1, 0.1], 4)
    assert terms["posture"] == pytest.approx(0.5 * dt * np.exp(-(offset**2 * weights).sum()))
    assert terms["restless"] == pytest.approx(-0.5 * dt * np.abs(offset).sum())
    assert terms["fall"] == terms["stride"] == terms["jerk"] == 0


def test_it_never_pays_to_fall() -> None:
    """No step costs more than it pays, but the one in which it falls."""
    simulation = simulate(num_envs=20)
    rng = np.random.default_rng(0)
    forgiven = []
    for _ in range(60):
        transition = simulation.step(rng.uniform(-1, 1, (20, 12)))
        forgiven.append(transition.terms["forgiven"])
        assert (transition.reward >= -5.0 * transition.terminated - 1e-12).all()
    assert np.max(forgiven) > 0


def test_an_error_of_half_a_meter_a_second_costs_what_the_exponential_says() -> None:
    simulation = standing(command=[0.5, 0, 0.5])
    terms = simulation.advance(STILL).terms
    assert terms["velocity"] == pytest.approx(2 * simulation.dt * np.exp(-1), rel=0.03)
    assert terms["turning"] == pytest.approx(simulation.dt * np.exp(-1), rel=0.03)
    assert terms["restless"] == 0


def test_a_step_is_paid_when_the_foot_lands() -> None:
    """0.4 for each second in the air beyond 0.1, up to 0.3 s."""
    simulation = standing(command=[0.5, 0, 0])
    simulation.memory["air"][:] = [[0.05, 0.0, 0.25, 0.9]]
    terms = simulation.advance(STILL).terms
    assert terms["stride"] == pytest.approx(0.4 * (0.15 + 0.2))
    assert not simulation.memory["air"].any()
    place(simulation, height=1.0)
    simulation.advance(STILL)
    simulation.advance(STILL)
    np.testing.assert_allclose(simulation.memory["air"], 0.04)


@pytest.mark.parametrize(("speed", "success"), [(0.15, True), (0.3, False)])
def test_success_is_the_mean_error_of_the_velocity(speed: float, success: bool) -> None:
    simulation = standing(command=[speed, 0, 0])
    simulation.memory["error"][:] = 0
    simulation.steps[:] = 0
    for _ in range(50):
        simulation.advance(STILL)
    assert simulation.memory["error"][0, 0] == pytest.approx(50 * speed, rel=0.05)
    assert simulation.task.succeeded(simulation)[0] == success


@pytest.mark.parametrize(
    ("angle", "height", "failed"), [(0, 0.285, False), (1.0, 1, False), (1.1, 1, True)]
)
def test_it_fails_beyond_sixty_degrees(angle: float, height: float, failed: bool) -> None:
    simulation = simulate()
    place(simulation, height, (np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0))
    assert simulation.task.failed(simulation)[0] == failed


def test_it_fails_when_it_lies_on_its_belly() -> None:
    simulation = simulate()
    qpos = np.concatenate([[0.0, 0.0, 0.1], UPRIGHT, np.tile([0, 1.5, -2.8], 4)])
    simulation.write_state(qpos[None], 0.0)
    assert simulation.task.failed(simulation).all()


def test_the_worn_motor_is_weaker() -> None:
    worn = Simulation("quadruped", load_domain("quadruped", "worn-motor"), 1, threads=1)
    limits = worn.world_model(0).actuator_forcerange[:, 1]
    np.testing.assert_allclose(
        limits, [23.7, 23.7, 35.55] * 2 + [23.7, 23.7, 0.65 * 35.55, 23.7, 23.7, 35.55]
    )
