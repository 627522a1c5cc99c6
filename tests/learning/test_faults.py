"""A number that is not finite stops a training at that step, and is saved for a replay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real import cli
from sim2real.envs.cartpole import Cartpole
from sim2real.envs.half_cheetah import HalfCheetah
from sim2real.envs.hopper import Hopper
from sim2real.errors import UserError
from sim2real.learning.faults import replay_fault
from sim2real.learning.pretrain import pretrain
from sim2real.runs.checkpoint import read_checkpoint
from sim2real.simulation import Simulation
from sim2real.simulation.soundness import NotFiniteError
from sim2real.task import Task
from sim2real.transfer.resume import resume

SMALL = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [4]}
TASKS: dict[str, type[Task]] = {"cartpole": Cartpole, "hopper": Hopper, "half_cheetah": HalfCheetah}
WORLD = 2


def broken(patch: pytest.MonkeyPatch, kind: type[Task], what: str, value: float, at: int) -> None:
    """From the step `at` on, the task gives `value` in the world WORLD."""

    def due(world: Any) -> bool:
        return bool(np.atleast_1d(world.steps)[-1] >= at and len(world.steps) > WORLD)

    if what == "reward":
        reward = kind.reward

        def bad_reward(self: Any, world: Any, action: Any) -> dict[str, Any]:
            terms = reward(self, world, action)
            first = np.array(next(iter(terms.values())), dtype=float)
            if due(world):
                first[WORLD] = value
            return {**terms, next(iter(terms)): first}

        patch.setattr(kind, "reward", bad_reward)
    elif what == "observation":
        observe = kind.observe

        def bad_observation(self: Any, world: Any) -> dict[str, Any]:
            terms = observe(self, world)
            first = np.array(next(iter(terms.values())), dtype=float)
            if due(world) and len(first) > WORLD:
                first[WORLD, 0] = value
            return {**terms, next(iter(terms)): first}

        patch.setattr(kind, "observe", bad_observation)
    else:
        control = kind.control

        def bad_state(self: Any, world: Any, action: Any) -> Any:
            if due(world):
                world.qvel[WORLD, 0] = value
            return control(self, world, action)

        patch.setattr(kind, "control", bad_state)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("what", ["observation", "reward", "state"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_it_is_found_at_that_step_in_that_world(
    task: str, what: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulation = Simulation(task, num_envs=4, threads=1)
    broken(monkeypatch, TASKS[task], what, value, 2)
    action = np.zeros((4, simulation.model.nu))
    simulation.step(action)
    if what == "state":  # written before the step, whose number is counted behind it
        simulation.step(action)
    with pytest.raises(NotFiniteError, match=f"is {value:g} in world {WORLD} at step 2") as caught:
        simulation.step(action)
    assert caught.value.world == WORLD


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_an_action_is_refused_before_it_acts(task: str, value: float) -> None:
    simulation = Simulation(task, num_envs=4, threads=1)
    before = simulation.snapshot()
    action = np.zeros((4, simulation.model.nu))
    action[WORLD, -1] = value
    with pytest.raises(NotFiniteError, match=f"of world {WORLD} is {value:g}; it must be") as found:
        simulation.step(action)
    assert found.value.world == WORLD
    after = simulation.snapshot()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


@pytest.fixture
def faulty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """A training that stops at a fault in its third rollout; returns the folder of the fault."""

    def train() -> Path:
        broken(monkeypatch, Cartpole, "reward", np.nan, 40)
        with pytest.raises(UserError, match=r"`sim2real replay .*` repeats it") as caught:
            pretrain(
                "cartpole", "randomized", steps=1024, num_envs=4, out=tmp_path / "run",
                options=SMALL, checkpoint_every=64, progress=False,
            )  # fmt: skip
        return Path(str(caught.value).split("`sim2real replay ")[1].split("`")[0])

    return train


def test_a_fault_of_a_training_is_replayed(
    faulty: Callable[[], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    fault = faulty()
    assert fault.parent == fault.parents[1].parent / "run" / "faults"
    found = replay_fault(fault)
    assert found.reproduced
    assert found.world == WORLD
    assert found.episode_step == 39
    assert found.qpos.shape == (5, 2)
    assert len(found.context) > 2
    assert np.isfinite(found.qpos).all()
    assert cli.main(["replay", str(fault), "--json"]) == 0
    assert f'"world": {WORLD}' in capsys.readouterr().out


def test_a_fault_that_was_mended_is_not_reproduced(
    faulty: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the fault is in the statistics, so the training goes on once it is mended."""
    fault = faulty()
    monkeypatch.undo()
    assert not replay_fault(fault).reproduced
    assert cli.main(["replay", str(fault)]) == 1
    saved = read_checkpoint(fault.parents[1])
    assert saved.step == 128
    assert all(np.isfinite(one.numpy()).all() for one in saved.policy.values())
    assert resume(fault.parents[1], progress=False).step == 1024


def test_what_is_no_fault_is_refused(tmp_path: Path, faulty: Callable[[], Path]) -> None:
    with pytest.raises(UserError, match=r"is no fault: it has no fault\.json"):
        replay_fault(tmp_path)
    fault = faulty()
    (fault / "worlds.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(UserError, match=r"worlds\.safetensors is damaged"):
        replay_fault(fault)
