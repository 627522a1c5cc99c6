"""One suite for every method that is one learner, with every algorithm; a new one writes no test.

`sim2real check` is the suite of the others: see tests/transfer/methods.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import named_tensors, optimizer_owners
from sim2real.runs.checkpoint import read_checkpoint, steps
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS
from sim2real.transfer.find import find_method
from sim2real.transfer.method import LearnerMethod
from sim2real.transfer.methods import METHODS
from sim2real.transfer.resume import resume

FREEZES = ("freeze", "distill", "adapter", "residual", "features")
"""Methods that freeze tensors by default."""
ANEW = ("scratch", "distill", "features")
"""Methods whose first actions are not the source's; the manifest says why."""
BESIDE: dict[str, Any] = {"source_ratio": 2, "prefill": 40}
OPTIONS: dict[str, dict[str, Any]] = {
    "retrain": {"verification": 0.0},
    "distill": {"student": [4], "rollout": 8, "updates": 3},
    "mixed_replay": {"importance": True, "penalty": 0.1, **BESIDE},
    "darc": {"correct_after": 0.5, **BESIDE},
    "par": BESIDE,
    "vgdf": {"select_after": 0.5, "members": 2, **BESIDE},
    "freeze": {"anchor": 1.0, "gradual": 0.5, "learning_rates": {"head": 2.0}},
}
BUDGET = 150  # covers 37 steps of 4 worlds, and 2 are left over

Case = tuple[str, str]


@pytest.fixture(scope="module")
def sources(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A tiny pretrained run of every algorithm."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        algorithm: pretrain(
            "cartpole",
            "randomized",
            algorithm=algorithm,
            steps=160,
            num_envs=WORLDS,
            out=folder / algorithm,
            options={"net_arch": [6, 5], **SOURCE[algorithm]},
            progress=False,
        )
        for algorithm in ALGORITHMS
    }


def move(source: Run, method: str, out: Path, **others: Any) -> Run:
    options = {"recipe": TARGET[source.config.algorithm], **OPTIONS.get(method, {})}
    return transfer(
        source,
        "hard",
        method=method,
        budget=BUDGET,
        num_envs=WORLDS,
        out=out,
        options=options,
        checkpoint_every=40,
        progress=False,
        **others,
    )


@pytest.fixture(scope="module")
def moved(
    sources: dict[str, Run], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Case], tuple[Run, int]]:
    """The run of a case, made once, and how many control steps its target really made."""
    made: dict[Case, tuple[Run, int]] = {}
    folder = tmp_path_factory.mktemp("moved")

    def get(case: Case) -> tuple[Run, int]:
        if case not in made:
            method, algorithm = case
            count = 0
            step_wait = SimVecEnv.step_wait

            def counted(env: SimVecEnv) -> Any:
                nonlocal count
                count += env.num_envs if env.simulation.domain.name == "hard" else 0
                return step_wait(env)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(SimVecEnv, "step_wait", counted)
                out = folder / f"{method}-{algorithm}"
                run = move(sources[algorithm], method, out, curve=2, curve_episodes=2)
            made[case] = run, count
        return made[case]

    return get


LEARNERS = [name for name in METHODS if issubclass(find_method(name), LearnerMethod)]
CASES = [(method, algorithm) for method in LEARNERS for algorithm in find_method(method).algorithms]
pytestmark = pytest.mark.parametrize(
    "case",
    [slow_unless("ppo" in case or "fine_tune" in case, case) for case in CASES],
    ids=["-".join(case) for case in CASES],
)


def report(run: Run, name: str) -> Any:
    return json.loads((run.path / "report" / f"{name}.json").read_text())


def fates(run: Run) -> dict[str, str]:
    return {row["tensor"]: row["action"] for row in report(run, "manifest")["tensors"]}


def equal(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def test_the_budget_is_used_and_not_exceeded(case: Case, moved: Callable[..., Any]) -> None:
    run, stepped = moved(case)
    used = report(run, "budget")
    assert stepped == used["used"]["steps"] == run.step == 148
    assert (used["budget"], used["remaining"]) == (150, 2)
    assert used["used"]["resets"] >= WORLDS
    assert used["used"]["seconds"] == pytest.approx(148 * run.task.control_dt)


def test_the_manifest_has_every_tensor_once(case: Case, moved: Callable[..., Any]) -> None:
    run, _ = moved(case)
    tensors = [row["tensor"] for row in report(run, "manifest")["tensors"]]
    several = reversed(named_tensors(run.policy).items())  # PPO names one normalizer three times
    first = set({tensor.data_ptr(): name for name, tensor in several}.values())
    expected = first | ({"log_ent_coef"} if case[1] == "sac" else set())
    assert len(tensors) == len(set(tensors))
    assert set(tensors) == expected
    frozen = {name for name, fate in fates(run).items() if fate == "frozen"}
    assert first & set(run.config.frozen) == frozen
    assert bool(frozen) == (case[0] in FREEZES)


def test_tensors_start_and_stay_as_the_manifest_says(
    case: Case, moved: Callable[..., Any], sources: dict[str, Run]
) -> None:
    run, _ = moved(case)
    source = sources[case[1]].checkpoint.policy
    first, last = read_checkpoint(run.path, 0).policy, run.checkpoint.policy
    found = {name: fate for name, fate in fates(run).items() if name != "log_ent_coef"}
    kept = [name for name, fate in found.items() if fate in ("copied", "frozen")]
    assert bool(kept) == (case[0] != "scratch")
    for name in kept:
        assert torch.equal(first[name], source[name]), name
    frozen = [name for name in kept if found[name] == "frozen"]
    assert len(steps(run.path)) > 1
    for step in steps(run.path):
        policy = read_checkpoint(run.path, step).policy
        assert all(torch.equal(policy[name], source[name]) for name in frozen), step
    assert not equal(first, last)


def test_the_first_actions_are_the_sources(
    case: Case, moved: Callable[..., Any], sources: dict[str, Run]
) -> None:
    run, _ = moved(case)
    first, source = load_run(run.path, step=0).policy, sources[case[1]].policy
    size = run.task_info["observation_space"]["shape"][0]
    seen = np.random.default_rng(0).normal(size=(16, size))
    actions = [policy.predict(seen, deterministic=True)[0] for policy in (first, source)]
    assert np.array_equal(*actions) == (case[0] not in ANEW)


def test_frozen_tensors_are_frozen_again_when_loaded(case: Case, moved: Callable[..., Any]) -> None:
    run, _ = moved(case)
    policy = load_run(run.path).policy
    tensors = named_tensors(policy)
    frozen = {id(tensors[name]) for name in run.config.frozen}
    assert not any(tensors[name].requires_grad for name in run.config.frozen)
    for owner in optimizer_owners(policy).values():
        learning = {id(p) for group in owner.optimizer.param_groups for p in group["params"]}
        assert learning
        assert not learning & frozen


def test_the_run_predicts(case: Case, moved: Callable[..., Any]) -> None:
    run, _ = moved(case)
    size = run.task_info["observation_space"]["shape"][0]
    actions, _ = run.policy.predict(np.zeros((3, size)), deterministic=True)
    assert actions.shape == (3, 1)
    assert np.isfinite(actions).all()
    assert run.config.kind == ("distill" if case[0] == "distill" else "transfer")
    assert run.algorithm.policy.observation_space.shape == (size,)


def test_the_curve_goes_from_the_start_to_the_end(case: Case, moved: Callable[..., Any]) -> None:
    run, _ = moved(case)
    curve = report(run, "curve")
    at = [row["steps"] for row in curve["rows"]]
    assert at == sorted(at)
    assert (at[0], at[-1], len(at)) == (0, 148, 3)
    assert all(len(row["totals"]) == 2 for row in curve["rows"])
    assert curve["charged_to_budget"] is False


def test_same_seed_same_result_and_a_resumed_run_equals_it(
    case: Case, moved: Callable[..., Any], sources: dict[str, Run], tmp_path: Path
) -> None:
    run, _ = moved(case)
    method, algorithm = case
    again = move(sources[algorithm], method, tmp_path / "again", curve=2, curve_episodes=2)
    assert equal(again.checkpoint.policy, run.checkpoint.policy)
    middle = steps(again.path)[len(steps(again.path)) // 2]
    for step in steps(again.path):
        if step > middle:
            shutil.rmtree(again.path / "checkpoints" / f"{step:09d}")
    for left_over in (again.path / "report").glob("*.json"):
        left_over.unlink() if left_over.name != "manifest.json" else None
    assert 0 < middle < run.step
    resumed = resume(again.path, progress=False)
    assert equal(resumed.checkpoint.policy, run.checkpoint.policy)
    assert equal(resumed.checkpoint.training, run.checkpoint.training)
    for name in ("budget", "curve"):
        assert report(resumed, name) == report(run, name)


def test_another_seed_gives_another_result(
    case: Case, moved: Callable[..., Any], sources: dict[str, Run], tmp_path: Path
) -> None:
    run, _ = moved(case)
    other = move(sources[case[1]], case[0], tmp_path / "other", seed=1)
    assert not equal(other.checkpoint.policy, run.checkpoint.policy)
