"""The option `contact_forces` of the ant and the humanoid."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

COSTS = {
    # the clipped forces are what costs the ant; the humanoid pays for all, at most 10
    "ant": lambda forces: 5e-4 * np.square(forces).sum(axis=1),
    "humanoid": lambda forces: np.minimum(5e-7 * np.square(forces).sum(axis=1), 10.0),
}

both = pytest.mark.parametrize("name", COSTS)


def drop(name: str, contact_forces: bool, steps: int = 60) -> tuple[Simulation, list]:
    task = load_task(name, contact_forces=contact_forces)
    simulation = Simulation(task, num_envs=2, seed=0, threads=1)
    actions = np.zeros((2, simulation.model.nu), dtype=np.float32)
    return simulation, [simulation.advance(actions) for _ in range(steps)]


@both
def test_they_are_observed_and_paid_for(name: str) -> None:
    simulation, transitions = drop(name, contact_forces=True)
    term = simulation.observation_terms[-1]
    assert (term.name, term.size, term.unit) == ("contact_force", 13 * 6, "N m, N")
    forces = np.stack([transition.observation[:, -term.size :] for transition in transitions])
    assert np.abs(forces).max() > 0.5  # it lands on the floor
    for transition, felt in zip(transitions, forces, strict=True):
        np.testing.assert_allclose(transition.terms["contact"], -COSTS[name](felt), rtol=1e-12)
    if name == "ant":
        assert np.abs(forces).max() <= 1.0


@both
def test_they_change_nothing_else(name: str) -> None:
    with_forces, felt = drop(name, contact_forces=True)
    without, plain = drop(name, contact_forces=False)
    size = without.observation_space.shape[0]
    assert "contact_force" not in without.task.units
    for one, other in zip(felt, plain, strict=True):
        np.testing.assert_array_equal(one.observation[:, :size], other.observation)
        rest = {key: value for key, value in one.terms.items() if key != "contact"}
        for key, value in other.terms.items():
            np.testing.assert_array_equal(rest.pop(key), value)
        assert not rest
    assert with_forces.task.options == {"contact_forces": True}


@both
def test_they_are_those_of_the_last_physics_step(name: str) -> None:
    """A plain `mj_step` loop on the same model has the same `cfrc_ext` after the same steps."""
    simulation, transitions = drop(name, contact_forces=True, steps=40)
    start, _ = drop(name, contact_forces=True, steps=0)
    data = mujoco.MjData(simulation.model)
    data.qpos, data.qvel = start.qpos[0], start.qvel[0]
    mujoco.mj_forward(simulation.model, data)
    mujoco.mj_step(simulation.model, data, nstep=40 * simulation.substeps)
    felt = transitions[-1].observation[0, -78:]
    expected = np.clip(data.cfrc_ext[1:], -1, 1) if name == "ant" else data.cfrc_ext[1:]
    np.testing.assert_array_equal(felt, expected.ravel())


def test_other_options_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'contact_forces'"):
        load_task("ant", contact_force=True)
