"""Every warning that MuJoCo has is provoked, counted in its world, and never shown."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.simulation import Simulation
from sim2real.simulation.warnings import BAD_STATE

WORLD = 1
KINDS = mujoco.mjtWarning


def bad(field: str, value: float) -> Any:
    def provoke(simulation: Simulation) -> None:
        getattr(simulation, field)[WORLD, 0] = value

    return provoke


PROVOKED: dict[mujoco.mjtWarning, Any] = {
    KINDS.mjWARN_BADQPOS: bad("qpos", 1e11),
    KINDS.mjWARN_BADQVEL: bad("qvel", 1e11),
    KINDS.mjWARN_BADQACC: bad("qfrc_applied", 1e15),
}


@pytest.mark.parametrize("task", ["cartpole", "hopper", "half_cheetah"])
@pytest.mark.parametrize("kind", PROVOKED, ids=lambda kind: kind.name)
def test_it_is_counted_in_its_world(
    task: str, kind: mujoco.mjtWarning, capfd: pytest.CaptureFixture[str]
) -> None:
    simulation = Simulation(task, num_envs=3, threads=1)
    before = simulation.warning_counts.copy()
    PROVOKED[kind](simulation)
    transition = simulation.step(np.zeros((3, simulation.model.nu)))
    counted = simulation.warning_counts - before
    assert counted[WORLD, int(kind)] >= 1
    assert int(kind) in BAD_STATE
    assert transition.unstable.tolist() == [False, True, False]
    assert transition.terminated.tolist() == [False, True, False]
    counted[WORLD] = 0
    assert not counted.any()
    assert np.isfinite(transition.observation).all()
    assert np.isfinite(transition.reward).all()
    assert capfd.readouterr() == ("", "")
