"""MuJoCo Warp on its CPU device against MuJoCo, and by what it refuses.

Slow: the kernels of each model are compiled at its first use, so nearly all use one model.
Set WARP_CACHE_PATH to a folder to keep the kernels between test runs.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from engine_bench import bench, in_warp

import sim2real as s2r
from sim2real.domains import Domain
from sim2real.envs.cartpole import Cartpole
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.simulation.engines.warp import _times
from sim2real.task import Array, World

pytest.importorskip("mujoco_warp")
pytestmark = pytest.mark.slow

ON_CPU = {"name": "warp", "device": "cpu"}
SLIDE = '<body><joint name="j" type="slide" axis="1 0 0"/><geom size="0.1" mass="2"/></body>'
MOTOR = '<motor joint="j" ctrlrange="-1 1"/>'
DRAWN = {
    "dynamics": [
        {"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}},
        {"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}},
    ],
    "actuation": [{"delay": {"uniform": [0.0, 0.01]}}, {"noise": {"normal": [0.0, 0.05]}}],
    "sensing": [{"noise": {"normal": [0.0, 0.01]}}, {"delay": 0.02}],
}


def random_steps(simulation: Simulation, count: int, seed: int = 0) -> list[Array]:
    """Observations at random actions, the same ones in each world."""
    space, rng = simulation.action_space, np.random.default_rng(seed)
    found = []
    for _ in range(count):
        action = rng.uniform(space.low, space.high).astype(np.float32)
        transition = simulation.step(np.tile(action, (simulation.num_envs, 1)))
        found.append(transition.observation)
    return found


def pair(task: str | Cartpole, num_envs: int = 2, **domain: Any) -> tuple[Simulation, Simulation]:
    """The same worlds in MuJoCo and in Warp."""
    here = Simulation(task, Domain(**domain), num_envs, seed=1)
    return here, Simulation(task, Domain(engine=ON_CPU, **domain), num_envs, seed=1)


def apart(worlds: tuple[Simulation, Simulation], count: int) -> float:
    """The largest difference of the positions after `count` control steps."""
    for simulation in worlds:
        random_steps(simulation, count)
    return float(np.abs(worlds[0].qpos - worlds[1].qpos).max())


# -- against MuJoCo ----------------------------------------------------------------------------


def test_drawn_worlds_agree_with_mujoco() -> None:
    assert apart(pair("cartpole", 3, **DRAWN), 20) < 1e-5


def test_a_delay_stays_exact_at_late_times() -> None:
    """In single precision, times of an hour are apart by a fortieth of a physics step."""
    worlds = pair("cartpole", actuation=[{"delay": 0.01}])
    for simulation in worlds:
        simulation.time[:] += 3600.0
        simulation.history[:, _times(simulation.model)] += 3600.0
    assert apart(worlds, 30) < 1e-5


def test_time_is_added_up_as_mujoco_does_it() -> None:
    worlds = pair("cartpole")
    apart(worlds, 30)
    assert np.array_equal(worlds[0].time, worlds[1].time)


CHANGED = {
    "body_mass": {"scale": 2.0},
    "opt.gravity": {"set": 5.0, "component": "x"},
    "actuator_gear": {"scale": 0.5},
    "dof_armature": {"set": 0.5},
    "dof_frictionloss": {"set": 0.3},  # 0 in the model
    "opt.density": {"set": 500.0},  # 0 in the model
    "opt.impratio": {"set": 10.0},
}


@pytest.mark.parametrize("field", CHANGED)
def test_a_field_changes_the_physics_as_it_does_in_mujoco(field: str) -> None:
    change = {"field": field, **CHANGED[field]}
    here, there = pair("cartpole", dynamics=[change])
    assert apart((here, there), 10) < 1e-5
    nominal = Simulation("cartpole", Domain(), 2, seed=1)
    random_steps(nominal, 10)
    moved = np.abs(there.qpos - nominal.qpos).max()
    assert (moved > 1e-4) == (field != "opt.impratio")  # it belongs to contacts


# -- the contract of a simulation --------------------------------------------------------------


def test_the_same_seed_gives_the_same_episodes_in_any_company() -> None:
    runs = [random_steps(in_warp("cartpole", n, 3, **DRAWN), 15) for n in (2, 2, 1)]
    assert np.array_equal(runs[0], runs[1])
    assert np.array_equal([one[:1] for one in runs[0]], runs[2])


def test_it_continues_from_a_snapshot_bit_for_bit() -> None:
    one, other = (in_warp("cartpole", 2, seed, **DRAWN) for seed in (0, 5))
    random_steps(one, 7)
    other.restore(one.snapshot())
    both = [random_steps(simulation, 7, seed=1) for simulation in (one, other)]
    assert np.array_equal(*both)


def test_worlds_that_are_not_stepped_stay_as_they_are() -> None:
    simulation = in_warp("cartpole", 3, **DRAWN)
    random_steps(simulation, 2)
    before = simulation.qpos.copy(), simulation.qvel.copy()
    active = np.array([True, False, True])
    simulation.advance(np.ones((3, 1), dtype=np.float32), active)
    for old, new in zip(before, (simulation.qpos, simulation.qvel), strict=True):
        assert (old != new).any(axis=1).tolist() == [True, False, True]


def test_an_unstable_world_ends_alone() -> None:
    simulation, twin = (in_warp("cartpole", 2, **DRAWN) for _ in range(2))
    simulation.qvel[0] = 1e9
    transitions = [one.step(np.zeros((2, 1), dtype=np.float32)) for one in (simulation, twin)]
    assert transitions[0].unstable.tolist() == [True, False]
    assert np.isfinite(transitions[0].observation).all()
    assert np.array_equal(transitions[0].observation[1], transitions[1].observation[1])


class Reader(Cartpole):
    """A task that reads derived fields of positions, velocities and forces."""

    model = str(Path(inspect.getfile(Cartpole)).with_suffix(".xml"))
    units: ClassVar = {}

    def __init__(self, derived_fields: str) -> None:
        super().__init__()
        self.derived_fields = derived_fields  # type: ignore[assignment, misc]

    def observe(self, world: World) -> dict[str, Array]:
        return {
            "place": world.body("pole").xipos,
            "turn": world.xmat[:, 2],
            "speed": world.cvel[:, 2],
            "force": world.qfrc_actuator,
            "acceleration": world.qacc,
            "constraints": world.nefc[:, None],
        }


@pytest.mark.parametrize("derived", ["current", "lagged"])
def test_derived_fields_are_those_that_mujoco_gives(derived: str) -> None:
    here, there = pair(Reader(derived))
    both = [np.array(random_steps(one, 60)) for one in (here, there)]  # past a reset
    assert both[0] == pytest.approx(both[1], rel=1e-5, abs=2e-5)


def test_room_for_contacts_grows_and_changes_nothing() -> None:
    small, large = (in_warp("hopper") for _ in range(2))
    small._batch.device._constraints, small._batch.device._contacts = 4, 1
    for simulation in (small, large):
        random_steps(simulation, 25)
    assert small._batch.device._constraints >= 8
    assert np.array_equal(small.qpos, large.qpos)


def test_a_policy_is_evaluated_there_as_anywhere() -> None:
    policy = s2r.load_run("pretrained:cartpole").policy
    domains = [Domain(name="here"), Domain(name="there", engine=ON_CPU)]
    rows = s2r.evaluate(policy, "cartpole", domains, episodes=2, threads=1)
    returns = {row.domain: row.total for row in rows}
    assert returns["there"] == pytest.approx(returns["here"], rel=1e-3)


# -- what is told and refused ------------------------------------------------------------------


def test_what_worlds_share_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"opt\.iterations.*the engine warp has one opt\.iteratio"):
        in_warp("cartpole", dynamics=[{"field": "opt.iterations", "set": 5}])


def test_a_model_that_warp_cannot_take_is_refused() -> None:
    with pytest.raises(UserError, match=r"engine warp cannot take this model: mjSOL_PGS is unsup"):
        in_warp(bench(SLIDE, MOTOR, 'solver="PGS"'))


def test_a_field_that_warp_does_not_have_is_refused() -> None:
    with pytest.raises(UserError, match="ncon cannot be read: the engine warp does not have it"):
        _ = in_warp("cartpole").ncon


def test_the_device_is_told() -> None:
    wp = pytest.importorskip("warp")
    with pytest.raises(UserError, match=r"no device cuda:77; found: cpu"):
        Simulation("cartpole", Domain(engine={"name": "warp", "device": "cuda:77"}))
    if not wp.get_cuda_devices():
        with pytest.warns(UserWarning, match="finds no CUDA device and runs on the CPU"):
            Simulation("cartpole", "warp:nominal")
