"""The report of one transfer and the comparison of runs, and what is exported of both."""

from __future__ import annotations

import csv
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sim2real.cli import main
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.learning.pretrain import pretrain
from sim2real.runs.run import Run
from sim2real.studies.compare_runs import compare
from sim2real.studies.report.exports import csv_of, escaped, latex_table
from sim2real.studies.report.transfer_page import answer
from sim2real.studies.transfer_report import report
from sim2real.transfer.api import transfer

SMALL = {"net_arch": [6], "n_steps": 8, "batch_size": 16}


@pytest.fixture(scope="module")
def source(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("report") / "source"
    how: dict[str, Any] = {"num_envs": 4, "out": out, "options": SMALL, "progress": False}
    return pretrain("cartpole", "randomized", steps=64, **how)


@pytest.fixture(scope="module")
def moved(source: Run) -> Run:
    recipe = {"recipe": {"n_steps": 8, "batch_size": 16}}
    how: dict[str, Any] = {"method": "fine_tune", "options": recipe, "num_envs": 4}
    out = source.path.with_name("moved")
    return transfer(
        source, "hard", budget=64, curve=2, curve_episodes=3, out=out, progress=False, **how
    )


def test_the_page_begins_with_the_answer_and_has_everything(
    moved: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = moved.path / "report"
    (folder / "fall.gif").write_bytes(b"GIF89a")
    assert main(["report", str(moved.path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    page = html.unescape((folder / "index.html").read_text())
    assert page.index(answer(data)[0]) < page.index("<h2>")
    for words in (data["made"]["command"], "sticky rail", "figures/return-against-steps.csv"):
        assert words in page
    assert '<img src="fall.gif" alt="Animation fall.gif of the policy in hard">' in page
    assert not re.search('<script|<link|(src|href)="(https?:)?//', page)
    rows = list(
        csv.DictReader((folder / "figures" / "return-against-steps.csv").read_text().splitlines())
    )
    curve = json.loads((folder / "curve.json").read_text())["rows"]
    assert [int(row["steps"]) for row in rows] == [row["steps"] for row in curve]
    assert [float(row["value"]) for row in rows] == pytest.approx([row["mean"] for row in curve])
    assert r"\toprule" in (folder / "report.tex").read_text()
    assert data == json.loads((folder / "report.json").read_text())


def test_without_a_curve_the_figure_has_its_two_ends(moved: Run) -> None:
    curve = moved.path / "report" / "curve.json"
    kept = curve.read_bytes()
    curve.unlink()
    try:
        page = report(moved)
        data = json.loads(page.with_name("report.json").read_text())
        assert [point["steps"] for point in data["curve"]] == [0, 64]
        assert data["curve"][1]["value"] == data["outcome"]["after"]["value"]
        assert "There are two points only" in page.read_text()
    finally:
        curve.write_bytes(kept)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((40.0, 30.0, 50.0), "raised the return from 100 to 140, by 40 (30 to 50)."),
        ((-40.0, -50.0, -30.0), "lowered the return from 100 to 60, by −40 (−50 to −30)."),
        ((4.0, -10.0, 20.0), "by 4 (−10 to 20): this may be chance."),
    ],
)
def test_the_answer_does_not_call_chance_an_effect(
    change: tuple[float, float, float], words: str
) -> None:
    value, low, high = change
    found = {
        "domain": "hard",
        "zero_shot": {"value": 100.0},
        "after": {"value": 100.0 + value},
        "difference": {"value": value, "low": low, "high": high, "why": ""},
        "gap_closed": 0.25,
        "source": None,
        "used": {"steps": 5000, "seconds": 100.0},
    }
    first, second = answer({"method": "fine_tune", "outcome": found})
    assert first.startswith("With 5,000 control steps of hard, 100 s of one robot, fine-tune ")
    assert first.endswith(words)
    assert second == "It closed 25 % of the gap between source and target."


def test_only_a_transfer_has_such_a_report(source: Run) -> None:
    with pytest.raises(UserError, match="is a run of pretrain; a report is of a run of transfer"):
        report(source)


def test_runs_are_compared_on_the_same_episodes(
    source: Run, moved: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", str(source.path), str(moved.path), "--domains", "hard", "--episodes", "4"]
    assert main([*words, "--seed", "5", "--out", str(tmp_path), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data == json.loads((tmp_path / "compare.json").read_text())
    first, second = (
        returns(evaluate(run.policy, "cartpole", "hard", episodes=4, seed=5))
        for run in (source, moved)
    )
    found = data["returns"]["hard"]
    assert found["source"]["difference"] is None
    assert found["source"]["return"]["value"] == pytest.approx(first.mean())
    assert found["moved"]["difference"]["value"] == pytest.approx((second - first).mean())
    assert data["differs"]["config.kind"] == {"source": "pretrain", "moved": "transfer"}
    assert "config.task" not in data["differs"]
    assert "config.kind" in (tmp_path / "index.html").read_text()
    assert (tmp_path / "figures" / "returns.csv").read_text().startswith("domain,run,value")


def test_what_cannot_be_compared_is_refused(source: Run) -> None:
    with pytest.raises(UserError, match="1 runs are given; a comparison needs two or more"):
        compare([source])
    with pytest.raises(UserError, match="a run is given twice"):
        compare([source, source.path])
    with pytest.raises(UserError, match="runs are of the tasks cartpole, hopper"):
        compare([source, "pretrained:hopper"])


def test_exports_escape_what_has_a_meaning() -> None:
    assert escaped("50 % of a_b & −1") == r"50 \% of a\_b \& $-$1"
    table = latex_table(["way", "return"], [["a", "1"]], "c_1")
    assert r"\caption{c\_1}" in table
    assert "a & 1 \\\\" in table
    assert csv_of([{"a": "x,y", "b": 1}]) == 'a,b\n"x,y",1\n'
