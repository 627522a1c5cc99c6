from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from sim2real.cli import main
from sim2real.domains import load_domain
from sim2real.evaluation.references import References, keep_references
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.curve import CURVE_EPISODES, SEED
from sim2real.learning.pretrain import pretrain
from sim2real.runs.load import load_run
from sim2real.runs.run import Run

SMALL = {"net_arch": [6], "n_steps": 8, "batch_size": 16}


@pytest.fixture(scope="module")
def source(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("outcome") / "source"
    return pretrain(
        "cartpole", "randomized", steps=64, num_envs=4, out=out, options=SMALL, progress=False
    )


def move(source: Run, out: Path, *more: str) -> int:
    command = ["transfer", str(source.path), "--domain", "hard", "--budget", "64", "--seed", "3"]
    command += ["--method", "fine_tune"]
    recipe = "recipe={n_steps: 8, batch_size: 16}"
    return main([*command, "--out", str(out), "--num-envs", "4", "--set", recipe, *more])


def test_a_transfer_ends_with_what_it_was_worth(
    source: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert move(source, tmp_path / "moved", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    policies = {"zero_shot": source.policy, "after": load_run(tmp_path / "moved").policy}
    for name, policy in policies.items():
        rows = evaluate(policy, "cartpole", "hard", episodes=CURVE_EPISODES, seed=SEED + 3)
        mean = sum(row.total for row in rows) / len(rows)
        assert found[name]["value"] == pytest.approx(mean)
        assert found[name]["about"] == "this policy"
        forces = [row.quality["force"] for row in rows]
        assert found["quality"][name]["force"] == pytest.approx(sum(forces) / len(forces))
        rows = evaluate(policy, "cartpole", "randomized", episodes=CURVE_EPISODES, seed=SEED + 3)
        mean = sum(row.total for row in rows) / len(rows)
        assert found["source"][name.replace("zero_shot", "before")]["value"] == pytest.approx(mean)
    change = found["after"]["value"] - found["zero_shot"]["value"]
    assert found["difference"]["value"] == pytest.approx(change)
    assert found["gap_closed"] is None
    assert found["used"]["steps"] == 64
    assert found["used"]["resets"] == 4 + found["used"]["episodes"]


def test_the_gap_closed_is_reported_where_a_study_left_references(
    source: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))
    rows = evaluate(source.policy, "cartpole", "randomized", episodes=CURVE_EPISODES, seed=SEED + 3)
    home = sum(row.total for row in rows) / len(rows)
    # at home the policy is the oracle itself; in the target the oracle is far above
    keep_references(source.task, source.domain, References(home - 10.0, home, "a test"))
    keep_references(
        source.task, load_domain(source.task, "hard"), References(0.0, 1000.0, "a test")
    )
    move(source, tmp_path / "moved", "--json")
    found = json.loads(capsys.readouterr().out)
    old, new = (found[name]["value"] / 1000 for name in ("zero_shot", "after"))
    assert found["gap_closed"] == pytest.approx((new - old) / (1 - old))


def test_the_table_is_printed(
    source: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    move(source, tmp_path / "moved")
    shown = capsys.readouterr().out
    for words in (
        "return before (zero-shot)",
        "how it acts in the target",
        "return after",
        "gap closed",
        "in the source, randomized, after",
        "robot time",
    ):
        assert words in shown


def test_resume_ends_with_what_the_transfer_was_worth(
    source: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an interruption as without; and a finished transfer keeps its report."""
    move(source, tmp_path / "moved", "--json")
    expected = json.loads(capsys.readouterr().out)
    report = tmp_path / "moved" / "report" / "transfer.json"
    written = report.read_text()
    assert main(["resume", str(tmp_path / "moved"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert report.read_text() == written
    shutil.rmtree(tmp_path / "moved" / "checkpoints" / "000000064")
    report.unlink()
    assert main(["resume", str(tmp_path / "moved"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == expected
    assert report.read_text() == written
