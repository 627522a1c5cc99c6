"""Re-estimated observation statistics: pooled as the formula says, and chosen by episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, WORLDS, check_method
from sim2real.transfer.selection import REPORT
from sim2real.transfer.target import Target
from sim2real.transfer.target_env import TargetVecEnv

BUDGET = 120


@pytest.fixture(scope="module")
def sources(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        algorithm: pretrain(
            "cartpole",
            algorithm=algorithm,
            steps=100,
            num_envs=WORLDS,
            options={"net_arch": [4], **SOURCE[algorithm]},
            out=folder / algorithm,
            progress=False,
        )
        for algorithm in ALGORITHMS
    }


def move(source: Run, out: Path, **options: Any) -> Run:
    return transfer(
        source,
        "hard",
        method="statistics",
        budget=BUDGET,
        options=options,
        out=out,
        progress=False,
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("share", [0.25, 1.0])
def test_the_moments_are_pooled_with_the_share(
    algorithm: str,
    share: float,
    sources: dict[str, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[np.ndarray] = []
    step_wait = TargetVecEnv.step_wait

    def listening(env: TargetVecEnv) -> Any:
        result = step_wait(env)
        seen.append(np.array(result[0]))
        return result

    monkeypatch.setattr(TargetVecEnv, "step_wait", listening)
    source = sources[algorithm]
    run = move(source, tmp_path / "run", shares=[share], reward=False)
    observed = np.concatenate(seen)
    assert len(observed) == BUDGET
    before, after = source.checkpoint.policy, run.checkpoint.policy
    moments = [name for name in before if name.endswith("running_mean")]
    assert moments
    for name in moments:
        variance = name.replace("mean", "var")
        old, old_var = before[name].numpy(), before[variance].numpy()
        mean, var = observed.mean(axis=0), observed.var(axis=0)
        gap = share * (1 - share) * (mean - old) ** 2
        pooled = (1 - share) * old_var + share * var + gap
        np.testing.assert_allclose(after[name], (1 - share) * old + share * mean, rtol=1e-6)
        np.testing.assert_allclose(after[variance], pooled, rtol=1e-6)
    others = [name for name in before if "running" not in name and "critic_target" not in name]
    assert all(np.array_equal(before[name], after[name]) for name in others if name in after)


def test_the_better_policy_of_those_that_played_is_kept(
    sources: dict[str, Run], tmp_path: Path
) -> None:
    run = move(sources["ppo"], tmp_path / "run", shares=[0.5, 1.0])
    found = read_json(run.path / REPORT)
    names = [one["name"] for one in found["standings"]]
    assert names == ["source", "share 0.5", "share 1"]
    means = [one["mean"] for one in found["standings"]]
    assert found["chosen"] == names[int(np.argmax([-np.inf if m is None else m for m in means]))]
    assert read_json(run.path / "report/budget.json")["used"]["steps"] <= BUDGET


def test_several_shares_need_a_reward(sources: dict[str, Run], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"shares 0.5, 1 cannot be compared without a reward"):
        move(sources["ppo"], tmp_path / "run", shares=[0.5, 1.0], reward=False)
    assert not (tmp_path / "run").exists()


def test_a_policy_without_statistics_is_refused(
    tmp_path: Path, short_cartpole: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = pretrain(
        "cartpole",
        steps=100,
        num_envs=WORLDS,
        options={"net_arch": [4], "normalize_observations": False, **SOURCE["ppo"]},
        out=tmp_path / "source",
        progress=False,
    )
    monkeypatch.setattr(Target, "record", None)  # not a step
    with pytest.raises(UserError, match="no observation statistics"):
        move(plain, tmp_path / "run")


def test_the_checks_of_a_method_pass() -> None:
    assert all(found.passed for found in check_method("statistics", 200))
