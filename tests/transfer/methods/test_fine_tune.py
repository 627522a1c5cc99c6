"""Options of fine-tuning that no suite over all methods covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS
from sim2real.transfer.resume import resume
from sim2real.transfer.selection import REPORT


@pytest.mark.usefixtures("short_cartpole")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_statistics_count_as_few_observations_as_asked_for(algorithm: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"num_envs": WORLDS, "progress": False}
    options = {"net_arch": [4], **SOURCE[algorithm]}
    source = pretrain(
        "cartpole",
        algorithm=algorithm,
        steps=100,
        options=options,
        out=tmp_path / "source",
        **given,
    )
    run = transfer(
        source,
        "hard",
        budget=40,
        options={"seen": 7, "recipe": TARGET[algorithm]},
        out=tmp_path / "run",
        **given,
        method="fine_tune",
    )
    before, after = source.checkpoint.policy, run.checkpoint.policy
    counts = {name for name in before if name.endswith("normalizer.count")}
    assert counts
    for name in counts:
        assert before[name] >= 100
        assert after[name] == 7 + 40
    rows = read_json(run.path / "report/manifest.json")["tensors"]
    assert {row["action"] for row in rows if row["tensor"] in counts} == {"adapted"}


@pytest.mark.usefixtures("short_cartpole")
def test_a_policy_that_is_worse_in_the_target_is_not_kept(tmp_path: Path) -> None:
    given: dict[str, Any] = {"num_envs": WORLDS, "progress": False}
    options = {"net_arch": [4], **SOURCE["ppo"]}
    source = pretrain("cartpole", steps=160, options=options, out=tmp_path / "source", **given)
    kept = {}
    for name, factor in (("ruined", 10.0), ("still", 1e-9)):
        run = transfer(
            source,
            "hard",
            budget=400,
            method="fine_tune",
            options={
                "verification": 0.5,
                "learning_rate_factor": factor,
                "seen": 0 if name == "ruined" else None,
                "recipe": TARGET["ppo"] | {"learning_rate": factor},
            },
            curve=2,
            curve_episodes=2,
            out=tmp_path / name,
            **given,
        )
        found = read_json(run.path / REPORT)
        means = {one["name"]: one["mean"] for one in found["standings"]}
        assert found["chosen"] == max(("source", "fine_tune"), key=lambda one: means[one])
        kept[name] = found["chosen"]
        used = read_json(run.path / "report/budget.json")["used"]["steps"]
        assert 200 < used <= 400
        assert run.step == used
        steps = [row["steps"] for row in read_json(run.path / "report/curve.json")["rows"]]
        assert (steps[0], steps[-1]) == (0, used)
        before, after = source.checkpoint.policy, run.checkpoint.policy
        same = all(torch.equal(before[one], after[one]) for one in before)
        assert same == (found["chosen"] == "source")
        with pytest.raises(UserError, match="another transfer with a larger budget"):
            resume(run.path, steps=800, progress=False)
    assert "source" in kept.values()


@pytest.mark.usefixtures("short_cartpole")
@pytest.mark.parametrize(("most", "begun"), [(None, -0.5), (-2.0, -2.0)])
def test_retraining_explores_like_a_fresh_policy_unless_bounded(
    most: float | None, begun: float, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"num_envs": WORLDS, "progress": False}
    options = {"net_arch": [4], **SOURCE["ppo"], "log_std_init": -0.5, "learning_rate": 0.3}
    source = pretrain("cartpole", steps=160, options=options, out=tmp_path / "source", **given)
    run = transfer(
        source,
        "hard",
        budget=40,
        method="retrain",
        options={
            "log_std": most,
            "learning_rate_factor": 1e-9,
            "verification": 0.0,
            "recipe": TARGET["ppo"],
        },
        out=tmp_path / "run",
        **given,
    )
    trained, moved = (one.checkpoint.policy["log_std"] for one in (source, run))
    assert not torch.allclose(trained, torch.tensor(begun), atol=1e-3)
    torch.testing.assert_close(moved, torch.full_like(moved, begun), rtol=0.0, atol=1e-6)
