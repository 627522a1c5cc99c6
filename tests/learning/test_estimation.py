"""Recipes with an estimator: saved, resumed, transferred, frozen, distilled."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resumed import assert_resumed_equals

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.pretrain import pretrain
from sim2real.policies.normalizer import normalizers
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.api import distill, transfer

slow = functools.partial(pytest.param, marks=pytest.mark.slow)
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}
ENCODER = "features_extractor.encoder.0.weight"


def train(out: Path, algorithm: str = "ppo", **options: Any) -> Run:
    given = {"net_arch": [6, 5], "privileged": True, "estimate": {"truth": 5}}
    return pretrain(
        "cartpole",
        "randomized",
        algorithm=algorithm,
        steps=320,
        num_envs=4,
        out=out,
        options=given | {"estimator_net_arch": [7]} | SMALL[algorithm] | options,
        checkpoint_every=160,
        progress=False,
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return load_run(train(tmp_path_factory.mktemp("estimation") / "run").path)


def moved(source: Run, out: Path, method: str = "fine_tune", **recipe: Any) -> Run:
    options: dict[str, Any] = {"recipe": {"n_steps": 16, "batch_size": 32, **recipe}}
    run = transfer(
        source,
        "hard",
        method=method,
        budget=256,
        num_envs=4,
        options=options,
        out=out,
        progress=False,
    )
    return load_run(run.path)


def tensors(run: Run) -> dict[str, torch.Tensor]:
    return dict(run.policy.state_dict())


def test_the_policy_acts_without_what_is_privileged(source: Run) -> None:
    action, _ = source.policy.predict(np.zeros((3, 5)), deterministic=True)
    assert action.shape == (3, 1)
    assert len(evaluate(source.policy, "cartpole", ["nominal", "hard"], episodes=2)) == 4


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), "td3"])
def test_a_resumed_run_equals_an_uninterrupted_one(algorithm: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", algorithm)
    assert_resumed_equals(whole, tmp_path / "parts", kept=1)


def test_a_target_that_shows_nothing_keeps_the_estimator(source: Run, tmp_path: Path) -> None:
    run = moved(source, tmp_path / "run")
    assert torch.equal(tensors(run)[ENCODER], tensors(source)[ENCODER])
    assert {len(one.running_mean) for one in normalizers(run.policy)} == {5}
    assert not torch.equal(
        tensors(run)["mlp_extractor.policy_net.0.weight"],
        tensors(source)["mlp_extractor.policy_net.0.weight"],
    )


def test_a_target_that_shows_it_teaches_the_estimator(source: Run, tmp_path: Path) -> None:
    run = moved(source, tmp_path / "run", privileged=True)
    assert not torch.equal(tensors(run)[ENCODER], tensors(source)[ENCODER])


def test_it_can_be_frozen(source: Run, tmp_path: Path) -> None:
    run = moved(source, tmp_path / "run", "freeze", privileged=True)
    assert torch.equal(tensors(run)[ENCODER], tensors(source)[ENCODER])
    assert ENCODER in run.config.frozen


@pytest.mark.parametrize("estimates", [False, True])
def test_it_teaches_a_student(estimates: bool, source: Run, tmp_path: Path) -> None:
    recipe = {"privileged": True, "estimate": {"truth": 5}} if estimates else {}
    options = {"rollout": 8, "updates": 2, "batch_size": 16, "recipe": recipe}
    run = distill(
        source,
        "randomized",
        student="same",
        budget=96,
        num_envs=4,
        options=options,
        out=tmp_path / "student",
        progress=False,
    )
    assert (ENCODER in tensors(load_run(run.path))) == estimates
    assert len(evaluate(load_run(run.path).policy, "cartpole", "hard", episodes=2)) == 2


def test_an_estimator_without_a_teacher_is_refused(source: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="show them with privileged=true"):
        train(tmp_path / "run", privileged=False)
    with pytest.raises(UserError, match="privileged term to estimate 'speed'; allowed: truth, con"):
        train(tmp_path / "run", estimate={"speed": 1})
    assert not (tmp_path / "run").exists()
    given = {"recipe": {"estimate": {"truth": 5}}}
    with pytest.raises(UserError, match="show them with privileged=true"):
        distill(source, "randomized", budget=96, options=given, out=tmp_path / "student")
    with pytest.raises(UserError, match="estimate is for an actor without privileged_actor"):
        train(tmp_path / "run", privileged_actor=True)
