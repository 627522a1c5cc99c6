"""Target data that was recorded before: the transitions of a log, and what is learned of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.run import Run
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.task import ObservationTerm
from sim2real.transfer.api import transfer
from sim2real.transfer.budget import Budget
from sim2real.transfer.conformance import METHOD_CHECKS, Trial
from sim2real.transfer.find import load_method
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.offline import OfflineMixing, Transitions, commands_of, transitions_of
from tests.transfer.test_mixed import LEARNING, MIXED, QUICK

TERMS = (ObservationTerm("place", 1), ObservationTerm("speed", 1))


def log_of(**changes: Any) -> Log:
    """Two episodes, of two and one commands; identifiable numbers."""
    rows = np.arange(5.0)
    given: dict[str, Any] = {
        "times": np.array([0.0, 0.1, 0.2, 0.0, 0.1]),
        "commands": (10.0 + rows)[:, None],
        "actuators": ("motor",),
        "observations": {"speed": (100.0 + rows)[:, None], "place": rows[:, None]},
        "control_dt": 0.1,
        "starts": np.array([0, 3]),
        "terminated": np.array([False, True]),
        "extras": {"reward": (-rows)[:, None]},
    }
    return Log(**{**given, **changes})


def test_the_transitions_of_a_log() -> None:
    found = transitions_of(log_of(), TERMS, (np.array([10.0]), np.array([5.0])))
    assert found.observations.tolist() == [[0, 100], [1, 101], [3, 103]]
    assert found.next_observations.tolist() == [[1, 101], [2, 102], [4, 104]]
    assert found.actions[:, 0].tolist() == pytest.approx([0.0, 0.2, 0.6])
    assert found.rewards.tolist() == [0.0, -1.0, -3.0]
    assert found.dones.tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extras": {}}, "no rewards to learn from; allowed: one with the extra 'reward'"),
        ({"observations": {"place": np.zeros((5, 1))}}, "the policy observes .*'speed'"),
    ],
)
def test_a_log_that_lacks_something_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        transitions_of(log_of(**changes), TERMS, (np.zeros(1), np.ones(1)))


@pytest.mark.parametrize("task", ["cartpole", "furuta"])
def test_the_actions_of_a_recording_are_those_that_were_played(task: str) -> None:
    worlds = SimVecEnv(Simulation(task, "hard", 1, seed=3, actions="normalized"))
    size = worlds.action_space.shape[0]  # type: ignore[index]
    played = np.random.default_rng(0).uniform(-1, 1, (20, size))
    log = record(worlds, played, 20)
    found = transitions_of(
        log,
        worlds.get_attr("observation_terms")[0],
        commands_of(SimVecEnv(Simulation(task, "nominal", 2, actions="normalized"))),
    )
    np.testing.assert_allclose(found.actions, played[: len(found)], atol=1e-6)


def test_commands_that_depend_on_more_than_the_action_are_refused() -> None:
    """The arm's action moves its last command."""
    worlds = SimVecEnv(Simulation("arm_reach", "nominal", actions="normalized"))
    with pytest.raises(UserError, match="no affine function of the action"):
        commands_of(worlds)


@pytest.mark.parametrize("share", [pytest.param(0.75, marks=pytest.mark.slow), 1.0])
def test_the_best_of_the_mixture_is_learned(share: float, toy: Any) -> None:
    """With labels -x in the log and x in the source the best action is (1 - 2 p) x, p the share."""
    method = load_method("mixed_replay", {"recipe": QUICK, "target_share": share})
    assert isinstance(method, MixedMethod)
    recipe = load_recipe("sac", None, LEARNING)
    policy = build_algorithm(recipe, toy.ToyVecEnv(8), 0).policy
    run: Any = SimpleNamespace(policy=policy, checkpoint=SimpleNamespace(training={}, state={}))
    budget = Budget(2_400)
    resized = method.target_recipe(recipe, budget)
    prepared = method.prepare(run, resized, toy.ToyVecEnv(8), budget, 0)
    rng = np.random.default_rng(0)
    x, actions = rng.uniform(-1, 1, 2_000), rng.uniform(-1, 1, 2_000)
    seen = np.stack([x, 3.0 * x + 5.0], axis=1)
    data = Transitions(
        seen, actions[:, None], 1.0 - (actions + x) ** 2, seen, np.zeros(len(x), bool)
    )
    algorithm: Any = prepared.algorithm
    mixing = OfflineMixing(algorithm, data, method.sampler(algorithm, budget), share)
    algorithm.learn(budget.steps, callback=[*prepared.callbacks, mixing])
    found = algorithm.policy.predict(seen[:50], deterministic=True)[0][:, 0]
    assert np.abs(found - (1 - 2 * share) * x[:50]).mean() < 0.15


OFFLINE: dict[str, Any] = {"offline": True, "simulated_steps": 96}


@pytest.fixture(scope="module")
def source(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain(
        "cartpole",
        "randomized",
        algorithm="sac",
        steps=16,
        num_envs=4,
        out=tmp_path_factory.mktemp("source") / "sac",
        options={"net_arch": [4], "learning_starts": 8},
        progress=False,
    )


def moved(source: Run, out: Path, method: str = "mixed_replay", **options: Any) -> Run:
    given = {**OFFLINE, "recipe": {"batch_size": 8}, **options}
    asked: dict[str, Any] = {"budget": 40, "num_envs": 4, "out": out, "progress": False}
    return transfer(source, "hard", method=method, options=given, **asked)


@pytest.mark.parametrize(
    "method", [slow_unless(name in ("mixed_replay", "par"), name) for name in MIXED]
)
def test_the_target_is_recorded_and_not_stepped_again(
    method: str, source: Run, tmp_path: Path
) -> None:
    run = moved(source, tmp_path / "run", method)
    report = read_json(run.path / "report" / "budget.json")
    assert report["used"]["steps"] == 40
    assert report["source_steps"] == 96 + 3  # and what the commands of the log are
    first = source.checkpoint.policy
    assert not all(torch.equal(first[name], one) for name, one in run.checkpoint.policy.items())


def test_a_log_of_the_target_needs_no_step_of_it(source: Run, tmp_path: Path) -> None:
    worlds = SimVecEnv(Simulation("cartpole", "hard", 1, seed=3, actions="normalized"))
    record(worlds, source.policy, 30, noise=0.2).save(tmp_path / "target.log")
    run = moved(source, tmp_path / "run", target_log=str(tmp_path / "target.log"))
    assert read_json(run.path / "report" / "budget.json")["used"]["steps"] == 0


@pytest.mark.usefixtures("short_cartpole")
def test_the_checks_of_a_method_pass(tmp_path: Path) -> None:
    options = {"importance": True, **OFFLINE}
    trial = Trial("mixed_replay", "sac", tmp_path, 150, options)
    for check in METHOD_CHECKS.values():
        check(trial)


def test_missing_target_data_is_refused(source: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.log"):
        moved(source, tmp_path / "run", target_log=str(tmp_path / "absent.log"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match="learn from offline; set offline=true"):
        load_method("darc", {"target_log": "a.log"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchor": 1.0, "anchor_to": "absent-run"}, "absent-run does not exist"),
        ({"simulated_steps": 3}, "a budget of 3 steps does not cover one step of 4 worlds"),
    ],
)
def test_what_is_wrong_is_refused_before_the_target_is_recorded(
    options: dict[str, Any], message: str, source: Run, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        moved(source, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
