"""Disturbances in the physics: closed forms, a plain `mj_step` loop, and the rules of all draws."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.entries.terrain import HeightFieldChoice
from sim2real.simulation import Simulation
from sim2real.simulation.disturbances.push import BLOCK

BALL = str(Path(__file__).parent.parent / "robots" / "ball.py")
MASS, RADIUS, G = 2.0, 0.1, 9.81

SHAKEN = Domain(
    disturbances=[
        {"push": {"uniform": [1.0, 2.0]}, "of": ["ball", "moon"], "every": {"uniform": [0.1, 0.3]}},
        {"push": 0.5, "of": "ball", "every": 0.14, "direction": "z"},
        {"force": {"uniform": [-1.0, 1.0]}, "of": "ball", "direction": "y"},
        {"slope": {"uniform": [-0.1, 0.1]}},
        {"bumps": {"uniform": [0.0, 0.1]}, "wavelength": 0.5},
    ]
)


def ball(*entries, num_envs=1, height=None, **options):
    """The ball among these disturbances, `height` m above where it rests."""
    simulation = Simulation(BALL, Domain(disturbances=entries), num_envs, threads=1, **options)
    if height is not None:
        simulation.qpos[:, 2] += height
    return simulation


def coast(simulation, steps):
    """Velocities of the ball at each control step, (steps, n, 3)."""
    still = np.zeros((simulation.num_envs, 1))
    return np.stack([simulation.advance(still).observation[:, 3:6] for _ in range(steps)])


# -- pushes ------------------------------------------------------------------------------------


def test_a_push_changes_the_momentum_by_its_impulse():
    # every 0.1 s is every fifth control step: the pushes come in the steps 5, 10 and 15
    push = {"push": 3.0, "of": "ball", "every": 0.1, "direction": "x"}
    speeds = coast(ball(push, height=100.0), 18)[:, 0]
    pushed = np.array([0] * 5 + [1] * 5 + [2] * 5 + [3] * 3)
    np.testing.assert_allclose(speeds[:, 0], pushed * 3.0 / MASS, rtol=1e-12)
    np.testing.assert_allclose(speeds[:, 2], -G * 0.02 * np.arange(1, 19), rtol=1e-12)


def test_a_horizontal_push_has_its_size_at_any_angle():
    push = {"push": 3.0, "of": "ball", "every": 0.1}
    speeds = coast(ball(push, num_envs=50, height=100.0), 6)[-1]
    np.testing.assert_allclose(np.hypot(speeds[:, 0], speeds[:, 1]), 3.0 / MASS, rtol=1e-12)
    quadrants = 2 * (speeds[:, 0] > 0) + (speeds[:, 1] > 0)
    assert set(quadrants.tolist()) == {0, 1, 2, 3}


def test_intervals_sizes_and_bodies_are_drawn_for_each_push():
    push = {
        "push": {"uniform": [1.0, 2.0]},
        "of": ["ball", "moon"],
        "every": {"uniform": [0.1, 0.4]},
        "direction": "z",
    }
    simulation = ball({**push}, num_envs=40)
    impulses, steps = [], []
    for step in range(150):
        simulation.advance(np.zeros((40, 1)))
        worlds, bodies = np.nonzero(simulation.xfrc_applied[:, :, 2])
        assert set(bodies.tolist()) <= {1, 2}
        impulses += (simulation.xfrc_applied[worlds, bodies, 2] * simulation.dt).tolist()
        steps += [(world, step, body) for world, body in zip(worlds, bodies, strict=True)]
    assert 1.0 <= min(impulses) < 1.1
    assert 1.9 < max(impulses) <= 2.0
    struck = np.array([body for _, _, body in steps])
    assert 0.4 < (struck == 1).mean() < 0.6
    gaps = np.concatenate(
        [np.diff([step for world, step, _ in steps if world == one]) for one in range(40)]
    )
    assert set(gaps.tolist()) == set(range(5, 21))
    assert len(steps) > 2 * BLOCK * 3  # so that several blocks were drawn


# -- forces ------------------------------------------------------------------------------------


def test_a_force_accelerates_and_is_drawn_for_each_body():
    force = {"force": {"uniform": [1.0, 5.0]}, "of": ["ball", "moon"], "direction": "z"}
    simulation = ball(force, num_envs=3, height=100.0)
    speeds = coast(simulation, 10)[-1, :, 2]
    drawn = np.array([row["force.z:ball"] for row in simulation.contexts()])
    np.testing.assert_allclose(speeds, (drawn / MASS - G) * 0.2, rtol=1e-12)
    moon = np.array([row["force.z:moon"] for row in simulation.contexts()])
    np.testing.assert_allclose(simulation.qvel[:, 8], (moon / 4.0 - G) * 0.2, rtol=1e-12)


def test_forces_and_pushes_on_one_body_add_up():
    force = {"force": 2.0, "of": "ball", "direction": "x"}
    again = {"force": 1.0, "of": "ball", "direction": "x", "name": "more"}
    push = {"push": 3.0, "of": "ball", "every": 0.1, "direction": "x"}
    speed = coast(ball(force, again, push, height=100.0), 6)[-1, 0, 0]
    assert speed == pytest.approx(3.0 / MASS * 0.12 + 3.0 / MASS, rel=1e-12)


def test_a_torque_turns_and_a_twist_changes_the_angular_momentum():
    inertia = 0.4 * MASS * RADIUS**2
    torque = {"torque": {"uniform": [0.1, 0.5]}, "of": "ball", "direction": "z"}
    simulation = ball(torque, num_envs=3, height=100.0)
    coast(simulation, 10)
    drawn = np.array([row["torque.z:ball"] for row in simulation.contexts()])
    np.testing.assert_allclose(simulation.qvel[:, 5], drawn / inertia * 0.2, rtol=1e-9)
    assert np.abs(simulation.qvel[:, 3:5]).max() < 1e-12
    twist = {"twist": 0.02, "of": "ball", "every": 0.1}
    simulation = ball(twist, num_envs=50, height=100.0)
    coast(simulation, 6)
    spin = simulation.qvel[:, 3:6]
    np.testing.assert_allclose(np.hypot(spin[:, 0], spin[:, 1]), 0.02 / inertia, rtol=1e-6)
    assert len({(x > 0, y > 0) for x, y, _ in spin.tolist()}) == 4


def test_torques_equal_a_plain_loop_of_steps():
    entries = [
        {"torque": 0.3, "of": "ball", "direction": "x"},
        {"force": 1.0, "of": "ball", "direction": "y"},
        {"twist": 0.05, "of": "ball", "every": 0.1, "direction": "y"},
    ]
    simulation = ball(*entries)
    model, data = simulation.model, mujoco.MjData(simulation.model)
    data.qpos[:], data.qvel[:] = simulation.qpos[0], simulation.qvel[0]
    for step in range(30):
        simulation.advance(np.zeros((1, 1)))
        data.xfrc_applied[1, :] = [0, 1.0, 0, 0.3, 0, 0]
        data.xfrc_applied[1, 4] = 0.05 / simulation.dt if step and step % 5 == 0 else 0.0
        for _ in range(simulation.substeps):
            mujoco.mj_step(model, data)
        np.testing.assert_array_equal(simulation.qpos[0], data.qpos)


# -- slope -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("direction", "axis"), [("pitch", 0), ("roll", 1)])
def test_a_ball_rolls_down_a_slope(direction, axis):
    # a solid sphere that rolls without slipping: a = 5/7 g sin(slope), and downhill is where the
    # floor does not rise
    slope = {"slope": 0.1, "direction": direction}
    speeds = coast(ball(slope), 50)[-1, 0]
    assert speeds[axis] == pytest.approx(-5 / 7 * G * np.sin(0.1), rel=5e-3)
    assert speeds[1 - axis] == pytest.approx(0.0, abs=1e-9)


def test_slopes_turn_the_gravity_that_the_domain_gives():
    domain = Domain(
        dynamics=[
            {"field": "opt.gravity", "component": "z", "scale": 0.5},
            {"field": "opt.gravity", "component": "x", "add": 1.0},
        ],
        disturbances=[{"slope": 0.2}, {"slope": 0.3, "direction": "roll"}],
    )
    simulation = Simulation(BALL, domain, num_envs=2, threads=1)
    # turned by the pitch about y, then by the roll about x
    pitch = np.array([[np.cos(0.2), 0, np.sin(0.2)], [0, 1, 0], [-np.sin(0.2), 0, np.cos(0.2)]])
    roll = np.array([[1, 0, 0], [0, np.cos(0.3), np.sin(0.3)], [0, -np.sin(0.3), np.cos(0.3)]])
    expected = roll @ pitch @ [1.0, 0.0, -G / 2]
    for _ in range(3):  # of the nominal gravity each time, not of the last
        gravity = simulation.expanded("opt.gravity")
        np.testing.assert_allclose(gravity, [expected] * 2, rtol=1e-12)
        simulation.reset()
    assert np.linalg.norm(expected) == pytest.approx(np.hypot(1.0, G / 2))


# -- bumps -------------------------------------------------------------------------------------


def surface(simulation, world, x, y):
    """Height of the floor at the points (x, y), by rays from above."""
    model = simulation.world_model(world)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    hit = np.zeros(1, dtype=np.int32)
    down, groups = np.array([0.0, 0.0, -1.0]), None
    heights = []
    for point in zip(x, y, strict=True):
        start = np.array([*point, 10.0])
        heights.append(10.0 - mujoco.mj_ray(model, data, start, down, groups, 1, 1, hit))
    return np.array(heights)


def test_the_floor_lies_below_the_plane_by_at_most_the_depth_drawn():
    bumps = {"bumps": {"uniform": [0.0, 0.08]}, "wavelength": 0.5}
    simulation = ball(bumps, num_envs=8)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1.0, 25.0, (2, 300))
    for world, context in enumerate(simulation.contexts()):
        depth = context["bumps"]
        assert depth in np.array([0.01, 0.03, 0.05, 0.07])  # quantiles at 1/8, 3/8, 5/8, 7/8
        heights = surface(simulation, world, x, y)
        assert -depth - 1e-9 < heights.min() < -0.85 * depth
        assert -0.15 * depth < heights.max() < 1e-9
        np.testing.assert_allclose(surface(simulation, world, [0.05], [-0.05]), 0.0, atol=1e-9)


def test_depth_and_shape_of_the_floor_are_in_the_context():
    simulation = ball({"bumps": 0.05}, num_envs=12)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(1.0, 50.0, (2, 100))
    shapes = {}
    for world, context in enumerate(simulation.contexts()):
        assert context["bumps"] == 0.05
        heights = surface(simulation, world, x, y)
        same = shapes.setdefault(context["bumps:shape"], heights)
        np.testing.assert_array_equal(heights, same)
    assert sorted(shapes) == [0.0, 1.0, 2.0, 3.0]
    assert np.abs(shapes[0.0] - shapes[1.0]).max() > 0.02


def test_the_pool_may_lie_behind_height_fields_of_the_model():
    columns, sources = np.array([7]), np.array([1, 0])
    choice = HeightFieldChoice(
        "geom_dataid", columns, sources, np.array([2.0]), "set", np.array([0.1, 0.3])
    )
    draws = np.array([[0.0, 0.1], [3.0, 0.1], [1.0, 0.3]])  # shape, depth
    assert choice.values(draws).tolist() == [[2.0], [5.0], [7.0]]


def test_the_floor_keeps_what_the_plane_had_and_what_the_domain_gives_it():
    domain = Domain(
        dynamics=[{"field": "geom_friction", "of": "floor", "component": "sliding", "scale": 2.0}],
        disturbances=[{"bumps": 0.05}],
    )
    model = Simulation(BALL, domain, threads=1).world_model(0)
    nominal = Simulation(BALL, threads=1).model
    ours, theirs = model.geom("floor"), nominal.geom("floor")
    assert model.geom_type[ours.id] == mujoco.mjtGeom.mjGEOM_HFIELD
    np.testing.assert_array_equal(ours.friction, theirs.friction * [2, 1, 1])
    for field in ("condim", "solref", "solimp", "contype", "conaffinity", "margin", "priority"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(theirs, field))
    assert model.stat.extent == nominal.stat.extent


def test_a_robot_starts_on_the_bumps_as_on_the_plane():
    rough, flat = ball({"bumps": 0.1}, num_envs=8), ball()
    coast(rough, 25)
    coast(flat, 25)
    np.testing.assert_allclose(rough.qpos[:, 2], flat.qpos[0, 2], atol=1e-3)  # more contacts


def test_a_robot_stands_in_a_hollow():
    simulation = ball({"bumps": 0.1, "wavelength": 4.0}, num_envs=4)
    simulation.qpos[:, :3] = [7.0, 3.0, 0.2]
    simulation.qvel[:] = 0.0
    simulation.step_physics(100, lagged=True, active=None)
    for world in range(4):
        (height,) = surface(simulation, world, *simulation.qpos[world, :2, None])
        assert simulation.qpos[world, 2] == pytest.approx(height + RADIUS, abs=5e-3)


# -- all of them -------------------------------------------------------------------------------


def test_what_is_zero_changes_no_bit():
    nothing = Domain(
        disturbances=[
            {"push": 0.0, "of": "ball", "every": 0.1},
            {"force": 0.0, "of": "ball", "direction": "x"},
            {"slope": 0.0},
            {"slope": 0.0, "direction": "roll"},
            {"bumps": 0.0},
        ]
    )
    ours, theirs = (Simulation(BALL, one, num_envs=2, threads=1) for one in (nothing, None))
    np.testing.assert_array_equal(rollout(ours, 50), rollout(theirs, 50))


def rollout(simulation, steps=230):
    n = simulation.num_envs
    return np.stack([simulation.step(np.full((n, 1), 0.2)).observation for _ in range(steps)])


def test_draws_depend_on_seed_and_episode_alone():
    few, many = (Simulation(BALL, SHAKEN, num_envs=n, seed=4) for n in (2, 6))
    ours, theirs = [], []
    few.reset(episodes=[4, 5])
    for _ in range(150):
        ours.append(few.advance(np.zeros((2, 1))).observation)
        theirs.append(many.advance(np.zeros((6, 1))).observation[4:])
    np.testing.assert_array_equal(ours, theirs)
    other = Simulation(BALL, SHAKEN, num_envs=6, seed=5)
    assert np.abs(rollout(other, 50) - rollout(Simulation(BALL, SHAKEN, 6, seed=4), 50)).max() > 0


def test_same_at_any_number_of_threads():
    one, two = (Simulation(BALL, SHAKEN, num_envs=5, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(rollout(one), rollout(two))


def test_equals_a_plain_loop_of_mj_step():
    simulation = Simulation(BALL, SHAKEN, num_envs=3, seed=1, threads=1)
    simulation.qvel[:, :2] = 2.0
    plain = [(simulation.world_model(i), simulation.world_data(i)) for i in range(3)]
    for model, data in plain:
        mujoco.mj_forward(model, data)
    for i, (_, data) in enumerate(plain):
        simulation.world_data(i, data)
    for _ in range(60):
        simulation.advance(np.full((3, 1), 0.5))
        for i, (model, data) in enumerate(plain):
            data.ctrl[:] = 0.5
            data.xfrc_applied[:] = simulation.xfrc_applied[i]
            mujoco.mj_step(model, data, simulation.substeps)
            np.testing.assert_array_equal(simulation.qpos[i], data.qpos)


@pytest.mark.parametrize("steps", [0, 57, pytest.param(3, marks=pytest.mark.slow), 230])
def test_restoring_a_snapshot_continues_bitwise(steps):
    simulation = Simulation(BALL, SHAKEN, num_envs=4, seed=2, threads=1)
    for _ in range(steps):
        simulation.step(np.full((4, 1), 0.2))
    snapshot = simulation.snapshot()
    expected = rollout(simulation)
    fresh = Simulation(BALL, SHAKEN, num_envs=4, seed=0, threads=1)
    rollout(fresh, 20)
    fresh.restore(snapshot)
    np.testing.assert_array_equal(rollout(fresh), expected)


def test_worlds_that_are_not_active_stand_still_and_miss_no_push():
    push = {"push": 3.0, "of": "ball", "every": 0.1, "direction": "x"}
    simulation = ball(push, num_envs=2, height=100.0)
    still = np.zeros((2, 1))
    coast(simulation, 5)  # the next step has a push
    before = simulation.qpos[1].copy()
    for _ in range(7):
        simulation.advance(still, np.array([True, False]))
    np.testing.assert_array_equal(simulation.qpos[1], before)
    assert simulation.qvel[:, 0].tolist() == pytest.approx([3.0, 0.0])
    simulation.advance(still, np.array([False, True]))
    assert simulation.qvel[:, 0].tolist() == pytest.approx([3.0, 1.5])


# -- residual ----------------------------------------------------------------------------------


def test_residual_forces_equal_a_plain_loop_of_steps():
    units = [
        {"residual": 2.0, "of": "hinge", "options": {"position": 1.0, "offset": 0.2}},
        {"residual": -1.5, "of": ["slider", "hinge"], "name": "both", "options": {"command": -0.5}},
    ]
    simulation = Simulation("cartpole", Domain(disturbances=units), threads=1)
    model, data = simulation.model, mujoco.MjData(simulation.model)
    data.qpos[:], data.qvel[:] = simulation.qpos[0], simulation.qvel[0]
    for action in np.random.default_rng(0).uniform(-1, 1, 30):
        simulation.advance(np.full((1, 1), action))
        data.ctrl[:] = simulation.ctrl[0]
        (x, angle), (v, turn), u = data.qpos, data.qvel, data.ctrl[0]
        on_hinge = 2.0 * np.tanh(angle + turn + 0.2) - 1.5 * np.tanh(turn)
        data.qfrc_applied[:] = -1.5 * np.tanh(v - 0.5 * u), on_hinge
        for _ in range(simulation.substeps):
            mujoco.mj_step(model, data)
        np.testing.assert_allclose(simulation.qpos[0], data.qpos, rtol=1e-12, atol=1e-12)
    assert abs(x) > 0
