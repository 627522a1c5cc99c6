"""Observations of a target that are aligned with those of the source, without a reward."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.policies.modifiers import merge
from sim2real.policies.normalizer import EPSILON, normalizers
from sim2real.runs.load import load_run
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import METHOD_CHECKS, SOURCE, WORLDS, Trial
from sim2real.transfer.methods.align import FOUND
from sim2real.transfer.selection import REPORT

SMALL: dict[str, Any] = {"simulated_steps": 320, "updates": 20, "rounds": 2}
SENSORS = Domain(
    name="sensors",
    about="A cart whose encoder counts 1.5 times as much, from another zero.",
    sensing=({"scale": 1.5, "of": "cart"}, {"bias": 0.3, "of": "cart"}),
)


def moved(out: Path, budget: int = 120, **options: Any) -> Any:
    given: dict[str, Any] = {"method": "align", "budget": budget, "out": out, "progress": False}
    return transfer("pretrained:cartpole", SENSORS, options=options, **given)


def test_the_policy_acts_on_the_map_of_the_observation(tmp_path: Path) -> None:
    run = moved(tmp_path / "run", reward=False, **SMALL)
    found = read_json(run.path / FOUND)
    weight, bias = np.array(found["weight"]), np.array(found["bias"])
    assert found["observations"][0] == "cart[0]"
    assert (weight != np.eye(len(weight))).sum() == len(weight)  # the diagonal alone
    source = load_run("pretrained:cartpole").policy
    statistics = normalizers(source)[0]
    mean = statistics.running_mean.numpy()
    std = np.sqrt(statistics.running_var.numpy() + EPSILON)
    seen = mean + std * np.random.default_rng(0).normal(size=(16, len(mean)))
    read = mean + std * ((seen - mean) / std @ weight.T + bias)
    wanted, _ = source.predict(read, deterministic=True)
    for policy in (run.policy, merge(run.policy)):
        np.testing.assert_allclose(policy.predict(seen, deterministic=True)[0], wanted, atol=1e-4)
    before, after = load_run("pretrained:cartpole").checkpoint.policy, run.checkpoint.policy
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert read_json(run.path / "report/budget.json")["used"]["steps"] == 120


def test_the_better_policy_is_kept_where_there_is_a_reward(tmp_path: Path) -> None:
    run = moved(tmp_path / "run", 1_200, verification=0.9, **SMALL)
    found = read_json(run.path / REPORT)
    assert [one["name"] for one in found["standings"]] == ["source", "align"]
    assert read_json(run.path / "report/budget.json")["used"]["steps"] <= 1_200


@pytest.mark.slow
def test_a_wrong_encoder_is_put_right(tmp_path: Path) -> None:
    run = moved(tmp_path / "run", 4_000, reward=False)
    weight = np.array(read_json(run.path / FOUND)["weight"])
    assert weight[0, 0] == pytest.approx(1 / 1.5, abs=0.1)


@pytest.mark.parametrize("algorithm", [slow_unless(one == "ppo", one) for one in ALGORITHMS])
def test_the_checks_of_a_method_pass(algorithm: str, short_cartpole: None, tmp_path: Path) -> None:
    trial = Trial("align", algorithm, tmp_path, 200, SMALL)
    for check in METHOD_CHECKS.values():
        check(trial)


@pytest.mark.parametrize("options", [{"history": 2}, {"normalize_observations": False}])
def test_what_is_not_one_normalized_observation_is_refused(
    options: dict[str, Any], short_cartpole: None, tmp_path: Path
) -> None:
    source = pretrain(
        "cartpole",
        steps=100,
        num_envs=WORLDS,
        options={"net_arch": [4], **options, **SOURCE["ppo"]},
        out=tmp_path / "source",
        progress=False,
    )
    with pytest.raises(UserError, match="maps the normalized observations of the present"):
        transfer(source, "hard", method="align", budget=100, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
