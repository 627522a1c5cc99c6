"""The engine Drake against closed forms, against MuJoCo without contact, and by what it refuses."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from engine_bench import bench, in_drake, steps
from gymnasium.utils.env_checker import check_env
from scipy.special import ellipk
from stable_baselines3.common.env_checker import check_env as check_sb3_env

import sim2real as s2r
from sim2real.domains import Domain, load_domain
from sim2real.domains.entries.engine import Drake
from sim2real.identification.record import record
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from sim2real.task import Array

pytest.importorskip("pydrake")

from sim2real.simulation.engines.drake import NO_EFFECT
from sim2real.simulation.engines.plant import Plant, _matrix

ROOT = Path(__file__).resolve().parents[3]
TOLD = "ignore:domain .*the engine drake has"
G = 9.81


# -- closed forms ------------------------------------------------------------------------------


def test_a_spinning_body_falls_and_keeps_its_angular_momentum() -> None:
    """After n semi-implicit steps of h: z = z0 - g h^2 n (n + 1) / 2; R I w stays."""
    body = '<body pos="0 0 9"><freejoint/><geom type="box" size="0.1 0.2 0.3" mass="2"/></body>'
    simulation = in_drake(bench(body), engine={"name": "drake", "time_step": 0.001})
    velocity = np.zeros((1, 7))
    velocity[0, 3:6] = 1.0, 2.0, 3.0
    start = simulation.qpos.copy()
    simulation.write_state(start, velocity)
    inertia = np.diag(simulation.model.body_inertia[1])
    axes = _matrix(simulation.model.body_iquat[1])

    def momentum() -> Array:
        turned = _matrix(simulation.qpos[0, 3:7]) @ axes
        return turned @ inertia @ axes.T @ simulation.qvel[0, 3:6]

    before, count = momentum(), 300
    steps(simulation, count // 10)
    assert simulation.qpos[0, 2] == pytest.approx(9 - G * 1e-6 * count * (count + 1) / 2, abs=1e-9)
    assert momentum() == pytest.approx(before, rel=3e-3)  # first order in the step
    assert np.linalg.norm(simulation.qpos[0, 3:7]) == pytest.approx(1.0, abs=1e-9)


def test_the_period_of_a_pendulum() -> None:
    """T = 4 sqrt(l / g) K(sin(a / 2)) of a point mass released at the angle a."""
    length, angle = 0.5, 2.0
    rod = (
        '<body><joint name="hinge" axis="0 1 0"/><inertial pos="0 0 -0.5" mass="1" '
        'diaginertia="1e-9 1e-9 1e-9"/></body>'
    )
    simulation = in_drake(bench(rod), engine={"name": "drake", "time_step": 0.0001})
    simulation.write_state([[angle, 0.0]], [[0.0, 0.0]])
    period = 4 * np.sqrt(length / G) * ellipk(np.sin(angle / 2) ** 2)
    seconds, angles = [0.0], [angle]
    while seconds[-1] < 0.4 * period:
        steps(simulation, 1)
        seconds.append(seconds[-1] + 0.01)
        angles.append(float(simulation.qpos[0, 0]))
    crossing = np.interp(0.0, -np.array(angles), seconds)
    assert crossing == pytest.approx(period / 4, rel=1e-3)


def test_damping_spring_and_reflected_inertia() -> None:
    """(m + a) x'' = -k (x - x0) - b x': the frequency and the decay of a damped oscillator."""
    slide = (
        '<body><joint name="j" type="slide" axis="1 0 0" stiffness="50" springref="0.1" '
        'damping="0.4" armature="0.5"/><geom size="0.1" mass="1.5" contype="0"/></body>'
    )
    simulation = in_drake(bench(slide), engine={"name": "drake", "time_step": 0.0001})
    decay, own = 0.4 / 2 / 2.0, 50 / 2.0
    frequency = np.sqrt(own - decay**2)
    steps(simulation, 50)
    expected = 0.1 - 0.1 * np.exp(-decay * 0.5) * (
        np.cos(frequency * 0.5) + decay / frequency * np.sin(frequency * 0.5)
    )
    assert simulation.qpos[0, 0] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("bounds", "control", "force"),
    [("", 0.5, 7.5), ("", 4.0, 15.0), ("-2 2", 0.5, 7.5), ("-2 2", -4.0, -10.0)],
)
def test_the_force_of_a_motor_is_clipped(bounds: str, control: float, force: float) -> None:
    """gear 5 times the force 3 ctrl, of which ctrlrange and forcerange bound each factor."""
    slide = '<body><joint name="j" type="slide" axis="1 0 0"/><geom size="0.1" mass="2"/></body>'
    limit = f'forcerange="{bounds}"' if bounds else ""
    motor = f'<general joint="j" gear="5" gainprm="3" ctrlrange="-1 1" {limit}/>'
    simulation = in_drake(bench(slide, motor))
    simulation.ctrl[:] = control
    simulation._batch.step(None, 100)
    assert simulation.qvel[0, 0] == pytest.approx(force / 2 * 0.1, rel=1e-9)


def test_a_joint_stops_at_its_limit() -> None:
    hinge = (
        '<body><joint name="j" axis="0 1 0" limited="true" range="-20 30"/>'
        '<geom type="capsule" fromto="0 0 0 0.3 0 0" size="0.02" mass="1"/></body>'
    )
    simulation = in_drake(bench(hinge, '<motor joint="j" gear="40" ctrlrange="-1 1"/>'))
    for action, limit in ((1.0, 30.0), (-1.0, -20.0)):
        steps(simulation, 60, action)
        assert np.rad2deg(simulation.qpos[0, 0]) == pytest.approx(limit, abs=0.01)
        assert simulation.qvel[0, 0] == pytest.approx(0.0, abs=1e-3)


def test_a_start_beyond_a_limit_is_moved_onto_it() -> None:
    slide = (
        '<body><joint name="j" type="slide" axis="1 0 0" limited="true" range="-1 1"/>'
        '<geom size="0.1" mass="1"/></body>'
    )
    simulation = in_drake(bench(slide, '<motor joint="j" ctrlrange="-1 1"/>'))
    simulation.write_state([[1.2]], [[0.0]])
    steps(simulation, 5)
    assert simulation.qpos[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert simulation.qvel[0, 0] == pytest.approx(0.0, abs=1e-6)


# -- against MuJoCo ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", task_names())
def test_the_mass_matrix_is_that_of_mujoco(name: str) -> None:
    model = load_task(name).compile()
    plant, data, expected = (
        Plant(model, Drake(name="drake")),
        mujoco.MjData(model),
        np.zeros((model.nv,) * 2),
    )
    low = np.where(model.jnt_limited, model.jnt_range[:, 0], -0.5)
    high = np.where(model.jnt_limited, model.jnt_range[:, 1], 0.5)
    rng = np.random.default_rng(0)
    for joint in range(model.njnt):
        place = int(model.jnt_qposadr[joint])
        if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            quaternion = rng.normal(size=4)
            data.qpos[place + 3 : place + 7] = quaternion / np.linalg.norm(quaternion)
        else:
            data.qpos[place] = rng.uniform(low[joint], high[joint])
    mujoco.mj_forward(model, data)
    mujoco.mj_fullM(model, data, expected)
    plant._own.SetDiscreteState(plant._to_drake(data.qpos, np.zeros(model.nv)))
    matrix = plant._plant.CalcMassMatrix(plant._own)[np.ix_(plant._v, plant._v)]
    axes = np.eye(model.nv)  # MuJoCo's free bodies turn about their own axes
    for free in plant._free:
        place = int(model.jnt_qposadr[model.dof_jntid[free.angular.start]])
        axes[free.angular, free.angular] = _matrix(data.qpos[place + 3 : place + 7])
    assert axes.T @ matrix @ axes == pytest.approx(expected, abs=1e-12 * expected.max())


def in_the_air(name: str, engine: Any, step: float) -> Simulation:
    """A task high above the floor, with nothing that Drake lacks, at a physics step of `step` s."""
    dynamics: list[dict[str, Any]] = [{"field": "opt.timestep", "set": step}]
    if load_task(name).compile().dof_frictionloss.any():
        dynamics.append({"field": "dof_frictionloss", "set": 0.0})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="domain .*the engine drake has")
        domain = Domain(dynamics=dynamics, engine=engine)
        simulation = Simulation(name, domain, seed=1)
    state = simulation.qpos.copy()
    height = {"half_cheetah": 1, "hopper": 1, "quadruped": 2}.get(name)
    if height is not None:
        state[:, height] += 1.0
    low = np.where(simulation.model.jnt_limited, simulation.model.jnt_range[:, 0], -np.inf)
    if name == "hopper":  # its joints start about their limit
        state[:, 3:] = low[3:] / 4
    simulation.write_state(state, simulation.qvel.copy())
    return simulation


def apart(name: str, step: float, seconds: float = 0.1) -> float:
    """How far the positions of the engines are apart after random actions."""
    pair = [
        in_the_air(name, engine, step) for engine in (None, {"name": "drake", "time_step": step})
    ]
    rng = np.random.default_rng(0)
    space = pair[0].action_space
    for _ in range(max(1, round(seconds / pair[0].dt))):
        action = 0.3 * rng.uniform(space.low, space.high, (1, *space.shape)).astype(np.float32)
        for simulation in pair:
            simulation.advance(action)
    assert np.abs(pair[0].qpos - pair[0].model.qpos0).max() > 1e-3
    return float(np.abs(pair[0].qpos - pair[1].qpos).max())


@pytest.mark.parametrize("name", ["half_cheetah", "arm_reach"])
def test_without_contact_it_equals_mujocos_semi_implicit_scheme(name: str) -> None:
    """Both take v + h (M + h D)^-1 f, then q + h v, where joint damping is all that is implicit."""
    assert apart(name, 0.001) < 1e-12


@pytest.mark.parametrize("name", ["furuta", "swimmer", "quadruped", "quadrotor", "hopper"])
def test_without_contact_the_engines_agree_to_first_order(name: str) -> None:
    """They integrate in different ways; the difference is of the order of the step."""
    coarse, fine = apart(name, 0.001), apart(name, 0.00025)
    assert coarse < 0.01
    assert fine == pytest.approx(coarse / 4, rel=0.2)


# -- the contract of a simulation --------------------------------------------------------------

HEAVY = {
    "dynamics": [
        {"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}},
        {"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}},
    ],
    "actuation": [{"delay": 0.01}],
    "sensing": [{"noise": {"normal": [0.0, 0.01]}}],
}


def test_every_world_has_the_plant_of_its_context() -> None:
    simulation = in_drake("cartpole", 3, **HEAVY)
    actions = np.ones((3, 1), dtype=np.float32)
    simulation.advance(actions)
    for world, plant in enumerate(simulation._batch._plants):
        model = simulation.world_model(world)
        total = plant._plant.CalcTotalMass(plant._own)
        assert total == pytest.approx(model.body_mass.sum(), rel=1e-12)
        assert plant._damping == pytest.approx(model.dof_damping, rel=1e-12)
    assert len(np.unique(simulation.context[:, 0])) == 3


CHANGES = {  # field -> the task in which, and how, it changes what Drake does
    "body_mass": ("hopper", {"scale": 1.5}),
    "body_inertia": ("hopper", {"scale": 1.5}),
    "geom_friction": ("quadruped", {"scale": 0.01, "component": "sliding"}),
    "geom_size": ("hopper", {"scale": 1.2, "of": "foot_geom", "component": "radius"}),
    "dof_armature": ("hopper", {"scale": 1.5}),
    "dof_damping": ("hopper", {"scale": 1.5}),
    "jnt_stiffness": ("half_cheetah", {"scale": 1.5}),
    "jnt_range": ("hopper", {"scale": 0.02, "of": "foot_joint", "component": "lower"}),
    "opt.gravity": ("hopper", {"scale": 1.5, "component": "z"}),
    "actuator_gear": ("hopper", {"scale": 1.5}),
    "actuator_forcerange": ("quadruped", {"scale": 0.1}),
    "kp": ("quadruped", {"scale": 0.5}),
    "opt.density": ("swimmer", {"scale": 0.5}),
    "dof_frictionloss": ("furuta", {"scale": 3.0}),
    "geom_solref": ("hopper", {"scale": 2.0, "component": "timeconst"}),
    "geom_solimp": ("hopper", {"set": 0.5, "component": "dmin"}),
    "geom_margin": ("hopper", {"set": 0.01}),
    "opt.impratio": ("hopper", {"set": 10.0}),
    "jnt_solref": ("hopper", {"scale": 2.0, "component": "timeconst"}),
    "jnt_solimp": ("hopper", {"set": 0.5, "component": "dmin"}),
}


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("field", CHANGES)
def test_a_field_changes_the_physics_or_is_told_to_have_no_effect(field: str) -> None:
    name, change = CHANGES[field]
    ends = []
    for dynamics in ([], [{"field": field, **change}]):
        simulation = in_drake(name, dynamics=dynamics)
        rng, space = np.random.default_rng(0), simulation.action_space
        for _ in range(12):
            simulation.advance(rng.uniform(space.low, space.high, (1, *space.shape)))
        ends.append(simulation.qpos.copy())
    assert np.array_equal(*ends) == (field in NO_EFFECT)


def test_equal_models_share_a_plant_and_a_new_episode_gets_its_own() -> None:
    shared = in_drake("cartpole", 3)
    steps(shared, 1)
    assert len(set(map(id, shared._batch._plants))) == 1
    drawn = in_drake("cartpole", 2, **HEAVY)
    steps(drawn, 1)
    before = list(drawn._batch._plants)
    drawn.reset([0])
    steps(drawn, 1)
    assert drawn._batch._plants[0] is not before[0]
    assert drawn._batch._plants[1] is before[1]


@pytest.mark.filterwarnings(TOLD)
def test_the_same_seed_gives_the_same_episodes_in_any_company() -> None:
    def run(num_envs: int) -> Array:
        simulation = in_drake("hopper", num_envs, seed=3, **HEAVY)
        rng = np.random.default_rng(0)
        for _ in range(15):
            action = rng.uniform(-1, 1, (1, 3)).astype(np.float32)
            simulation.advance(np.repeat(action, num_envs, axis=0))
        return simulation.observation.copy()

    first = run(2)
    assert np.array_equal(first, run(2))
    assert np.array_equal(first[:1], run(1))


def test_it_continues_from_a_snapshot_bit_for_bit() -> None:
    one, other = (in_drake("cartpole", 2, seed=seed, **HEAVY) for seed in (0, 5))
    steps(one, 7, 0.3)
    other.restore(one.snapshot())
    for simulation in (one, other):
        steps(simulation, 7, -0.3)
    assert np.array_equal(one.observation, other.observation)
    assert np.array_equal(one.qvel, other.qvel)


def test_the_environment_passes_both_checkers() -> None:
    env = gym.make("sim2real/Cartpole-v0", domain=load_domain("cartpole", "drake:nominal"))
    check_env(env.unwrapped, skip_render_check=True)
    check_sb3_env(env)


def test_a_policy_is_evaluated_and_recorded_there_as_anywhere() -> None:
    """The pole of a trained policy does in Drake what it does in MuJoCo; a log of it replays."""
    policy = s2r.load_run("pretrained:cartpole").policy
    rows = s2r.evaluate(policy, "cartpole", ["nominal", "drake:nominal"], episodes=2, threads=1)
    returns = {row.domain: row.total for row in rows}
    assert returns["drake:nominal"] == pytest.approx(returns["nominal"], rel=0.005)
    worlds = Simulation("cartpole", "drake:nominal", 1, seed=0)
    log = record(worlds, policy, 20)
    again = record(Simulation("cartpole", "drake:nominal", 1, seed=0), log.commands[:20], 20)
    for name, values in log.observations.items():
        assert again.observations[name] == pytest.approx(values, abs=1e-6)


def test_a_world_without_a_solution_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = in_drake("cartpole", 2, **HEAVY)
    steps(simulation, 1)

    def fail(*_: Any) -> Any:
        raise RuntimeError("no solution")

    monkeypatch.setattr(simulation._batch._plants[0], "step", fail)
    transition = simulation.step(np.zeros((2, 1), dtype=np.float32))
    assert transition.unstable.tolist() == [True, False]
    assert np.isfinite(transition.observation).all()
