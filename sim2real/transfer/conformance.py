"""Checks of a transfer method: what every shipped one fulfils, and what `sim2real check` tests.

Each algorithm gets a tiny source, pretrained on cartpole, which the method moves into `hard`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

from sim2real.checks import Check, require, run_checks
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.api import SOURCE_STEPS, transfer
from sim2real.transfer.find import describe_method, find_method, load_method
from sim2real.transfer.resume import resume
from sim2real.transfer.work import PHASES

BUDGET = 1_000
"""Control steps of the target, by default."""
WORLDS = 4
SOURCE: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}
"""Recipes of the sources."""
TARGET: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32},
    "sac": {"batch_size": 16},
    "td3": {"batch_size": 16},
}
"""Recipes in the target, small so that it takes seconds."""


class Trial:
    """A method with one algorithm, and the runs that its checks make in `folder`."""

    def __init__(
        self, method: str, algorithm: str, folder: Path, budget: int, options: Mapping[str, Any]
    ) -> None:
        self.method, self.algorithm, self.folder = method, algorithm, folder
        self.budget = budget
        self._options = {"recipe": TARGET[algorithm], "num_envs": WORLDS, **options}

    @cached_property
    def source(self) -> Run:
        """What is moved."""
        return pretrain(
            "cartpole",
            "randomized",
            algorithm=self.algorithm,
            steps=160,
            num_envs=WORLDS,
            out=self.folder / "source",
            options={"net_arch": [6, 5], **SOURCE[self.algorithm]},
            progress=False,
        )

    @cached_property
    def moved(self) -> Run:
        """The transfer that the others are compared with."""
        return self.move("moved")

    def move(self, name: str) -> Run:
        """Transfer the source."""
        return transfer(
            self.source,
            "hard",
            method=self.method,
            budget=self.budget,
            out=self.folder / name,
            options=self._options,
            checkpoint_every=max(self.budget // 4, 1),
            progress=False,
        )


def check_method(
    reference: str, budget: int = BUDGET, options: Mapping[str, Any] | None = None
) -> Iterator[Check]:
    """Run every check of a method with each of its algorithms; it takes seconds to a minute.

    `reference` is a shipped name, a file or "module:Class"; `options` are the method's.
    """
    given = dict(options or {})

    def is_described(reference: str) -> None:
        method = load_method(reference, given)
        again = load_method(describe_method(method))
        require(again == method, "its options change when they are written as JSON")

    described = list(run_checks({"is described by its options": is_described}, reference))
    yield from described
    if not all(one.passed for one in described):
        return
    for algorithm in find_method(reference).algorithms:
        with tempfile.TemporaryDirectory() as folder:
            trial = Trial(reference, algorithm, Path(folder), budget, given)
            for result in run_checks(METHOD_CHECKS, trial):
                yield Check(f"{algorithm}: {result.name}", result.passed, result.message)
                if not result.passed:
                    break  # what follows needs it


def check_adapts(trial: Trial) -> None:
    """`adapt` returns a policy and writes what was used of the target and of the budget."""
    used = read_json(trial.moved.path / "report" / "budget.json")
    require(used["used"]["steps"] + used["remaining"] == trial.budget, "it changed the meter")


def check_acts(trial: Trial) -> None:
    """The policy of the run, loaded again, gives finite actions within the action space."""
    policy = load_run(trial.moved.path).policy
    size, space = policy.observation_space.shape or (), policy.action_space
    assert isinstance(space, spaces.Box)
    observations = np.random.default_rng(0).normal(size=(16, *size))
    actions, _ = policy.predict(observations, deterministic=True)
    inside = np.isfinite(actions) & (actions >= space.low) & (actions <= space.high)
    require(inside.all(), "the policy gives actions that are not finite or out of bounds")


def check_repeats(trial: Trial) -> None:
    """The same seed gives the same weights."""
    require(
        same_policy(trial.move("again"), trial.moved),
        "the same seed gives other weights; draw from work.generator",
    )


def check_resumes(trial: Trial) -> None:
    """A run that lost its last phases or checkpoints goes on to the same weights and counts."""
    path = trial.folder / "killed"
    shutil.copytree(trial.moved.path, path)
    rewind(path)
    resumed = resume(path, progress=False)
    advice = "step environments only within work.once and learners, and keep no state elsewhere"
    require(same_policy(resumed, trial.moved), f"a resumed run has other weights; {advice}")
    counts = [read_json(run.path / "report" / "budget.json") for run in (resumed, trial.moved)]
    require(counts[0] == counts[1], f"a resumed run counts other steps; {advice}")


METHOD_CHECKS: dict[str, Callable[[Trial], None]] = {
    "adapts within its budget": check_adapts,
    "acts": check_acts,
    "repeats": check_repeats,
    "resumes": check_resumes,
}


def same_policy(one: Run, other: Run) -> bool:
    """Whether the policies are equal, bit for bit."""
    left, right = one.checkpoint.policy, other.checkpoint.policy
    same_names = left.keys() == right.keys()
    return same_names and all(torch.equal(left[name], right[name]) for name in left)


def rewind(path: Path) -> None:
    """Remove the last half of what a run has saved, as if it had been killed before it."""
    saved = checkpoints.steps(path)
    if (path / SOURCE_STEPS).is_file():
        (path / SOURCE_STEPS).unlink()
        phases = sorted((path / PHASES).glob("*"))
        for phase in phases[len(phases) // 2 :]:
            shutil.rmtree(phase)
        middle = -1
    else:
        middle = saved[len(saved) // 2 - 1]
    checkpoints.discard_after(path, middle)
