"""Comparisons of ways to pretrain."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim2real.cli import main
from sim2real.errors import UserError
from sim2real.evaluation.statistics import rate
from sim2real.studies.comparison import (
    comparison_notes,
    reached,
    summarize_comparison,
    summarize_trade_off,
)
from sim2real.studies.config import ComparisonConfig, load_study
from sim2real.studies.study import plan_of, study

TINY: dict[str, Any] = {
    "about": "Which way to learn is better.",
    "task": "inverted_pendulum",
    "steps": 1024,
    "options": {"num_envs": 16, "n_steps": 16},
    "pretrainings": ["uniform", {"narrow": {"domain": "nominal"}}],
    "targets": ["medium"],
    "seeds": 3,
    "episodes": 3,
}


def write(tmp_path: Path, **changes: Any) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(TINY | {"out": str(tmp_path / "out")} | changes))
    return file


@pytest.mark.usefixtures("cells_in_process")
def test_a_comparison_from_file_to_report_and_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path)
    report = study(file, workers=2, progress=False)
    out = tmp_path / "out"
    assert json.loads((out / "report/report.json").read_text()) == report
    assert list(report["returns"]) == ["randomized", "medium"]
    for ways in report["returns"].values():
        assert ways["uniform"]["difference"] is None
        assert ways["narrow"]["low"] <= ways["narrow"]["value"] <= ways["narrow"]["high"]
    seeds = [
        json.loads(cell.read_text()) for cell in (out / "cells").glob("evaluate-medium-narrow*")
    ]
    energy = np.mean([seed["result"]["quality"]["energy"] for seed in seeds])
    assert report["quality"]["medium"]["narrow"]["energy"] == pytest.approx(energy)
    page = (out / "report/index.html").read_text()
    assert page.count("<circle") >= 3 * 2 * 2  # a dot for each seed, way and domain
    assert page.count("corrected for the 2 comparisons of this report") == 2 + 1
    assert "| medium | uniform |" in (out / "report/report.md").read_text()
    assert "success" not in (out / "report/report.md").read_text()
    before = {cell.name: cell.stat().st_mtime_ns for cell in (out / "cells").iterdir()}
    assert len(before) == 3 * 2 * (1 + 2)
    main(["study", str(file)])  # nothing is left to do
    assert "narrow" in capsys.readouterr().out
    assert before == {cell.name: cell.stat().st_mtime_ns for cell in (out / "cells").iterdir()}


def way(returns: Any, failed: int = 0, succeeded: int | None = None, unstable: int = 0) -> Any:
    """A way whose seeds all have the same counts."""
    results = [
        {
            "totals": list(row),
            "failed": failed,
            "unstable": unstable,
            "success": None if succeeded is None else succeeded / len(row),
        }
        for row in returns
    ]
    return reached(results)


def test_returns_and_their_paired_differences() -> None:
    first = np.arange(12.0).reshape(3, 4)
    ways = {"a": way(first), "b": way(first + 7.0, failed=1, succeeded=4)}
    found = summarize_comparison({"hard": ways})["hard"]
    assert found["a"]["success"] is None
    assert found["b"]["success"] == rate([4, 4, 4], 4).plain()
    assert found["b"]["failure"] == rate([1, 1, 1], 4).plain()
    assert found["a"]["value"] == first.mean()
    assert found["a"]["values"] == first.mean(axis=1).tolist()
    assert found["a"]["difference"] is None
    difference = found["b"]["difference"]
    assert [difference[key] for key in ("value", "low", "high")] == pytest.approx([7.0] * 3)
    assert (difference["verdict"], difference["comparisons"]) == ("better", 1)


def test_verdicts_are_corrected_over_all_domains_and_ways() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(5, 3))
    ways = {"a": way(first), "b": way(first + 1 + rng.normal(size=(5, 1))), "c": way(first)}
    found = summarize_comparison({"near": ways, "far": ways})
    difference = found["near"]["b"]["difference"]
    assert difference["comparisons"] == 4
    assert difference["p_corrected"] == pytest.approx(4 * difference["p"])
    assert "the 4 comparisons" in " ".join(comparison_notes(found, seeds=5))


def test_unstable_episodes_are_counted_where_they_were() -> None:
    ways = {"a": way(np.ones((3, 4))), "b": way(np.ones((3, 4)), unstable=2)}
    calm = summarize_comparison({"near": {"a": ways["a"]}})
    wild = summarize_comparison({"near": {"a": ways["a"]}, "far": ways})
    assert not any("unstable" in note for note in comparison_notes(calm, seeds=3))
    assert comparison_notes(wild, seeds=3)[-1].endswith("unstable: 6 of b in far.")


@pytest.mark.usefixtures("cells_in_process")
def test_success_is_a_column_where_the_task_states_it(tmp_path: Path) -> None:
    follower = Path(__file__).parents[1] / "robots" / "follower.py"
    own = tmp_path / "own.yaml"
    own.write_text("heavy: {dynamics: [{field: body_mass, scale: 2.0}]}")
    changes = {"task": str(follower), "domain": "nominal", "pretrainings": ["plain"]}
    changes |= {"targets": [f"{own}:heavy"], "seeds": 1, "audit": False}
    file = write(tmp_path, **changes)
    report = study(file, workers=1, progress=False, trust_code=True)
    success = report["returns"]["heavy"]["plain"]["success"]
    assert 0 <= success["low"] <= success["value"] <= success["high"] <= 1
    table = (tmp_path / "out/report/report.md").read_text().splitlines()
    rows = [line for line in table if line.startswith("|")]
    assert [row.count("|") for row in rows] == [6] * 4 + [7] * 3 * 2  # actions in two domains
    page = (tmp_path / "out/report/index.html").read_text()
    assert "Success" in page
    assert page.count("How each policy acts") == 2
    assert "<li>Jitter: Root mean square" in page


def test_what_is_wrong_is_reported_before_anything_is_run(tmp_path: Path) -> None:
    for changes, problem in (
        ({"pretrainings": ["a", "a"]}, "pretraining 'a' is there twice"),
        ({"pretrainings": [{"a": {"domian": "x"}}]}, "domain"),
        ({"pretrainings": [{"a": {"domain": "nominl"}}]}, "nominal"),
        ({"methods": ["fine_tune"]}, "methods"),
    ):
        with pytest.raises(UserError, match=problem):
            study(write(tmp_path, **changes), progress=False)
    assert not (tmp_path / "out" / "runs").exists()


def test_the_kind_of_study_is_seen_from_its_keys(tmp_path: Path) -> None:
    assert isinstance(load_study(write(tmp_path)), ComparisonConfig)


def test_the_worst_case_is_that_of_each_seed() -> None:
    home = {"a": way(np.full((3, 2), 9.0)), "b": way(np.full((3, 2), 8.0))}
    near = {"a": way([[1, 3], [5, 5], [6, 8]]), "b": way(np.full((3, 2), 7.0))}
    far = {"a": way([[4, 4], [3, 5], [6, 7]]), "b": way(np.full((3, 2), 6.0))}
    found = {"home": home, "near": near, "far": far}
    trade_off = summarize_trade_off(found, "home", ["near", "far"])
    assert trade_off["a"]["home"]["values"] == [9.0, 9.0, 9.0]
    assert trade_off["a"]["worst"]["values"] == [2.0, 4.0, 6.5]
    assert trade_off["a"]["target"] == "near"  # 4.67 on average, far 4.83
    assert (trade_off["b"]["worst"]["value"], trade_off["b"]["target"]) == (6.0, "far")
    assert summarize_trade_off(found, "home", []) == {}
    alone = {name: {"a": ways["a"]} for name, ways in found.items()}
    assert summarize_trade_off(alone, "home", ["near"]) == {}


@pytest.mark.usefixtures("cells_in_process", "short_cartpole")
def test_the_example_of_widths_shows_the_trade_off(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example = yaml.safe_load((Path(__file__).parents[2] / "studies/width.yaml").read_text())
    page = (Path(__file__).parents[2] / "docs/howto/randomization.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert yaml.safe_load(shown) == {k: v for k, v in example.items() if k != "about"}
    plan = plan_of(load_study(write(tmp_path, **TINY | example | {"steps": 1024})))
    assert [domain.name for domain in plan.worlds] == [  # to be audited
        *("randomized", "mild", "medium", "hard", "randomized-width-2")
    ]
    small = {"steps": 256, "seeds": 1, "episodes": 1, "audit": False, "targets": ["mild", "hard"]}
    file = write(tmp_path, **TINY | example | small)
    main(["study", str(file), "--workers", "1"])
    printed = capsys.readouterr().out
    assert "at home and in the worst case" in printed
    report = json.loads((tmp_path / "out/report/report.json").read_text())
    assert report["widths"] == {"none": 0.0, "half": 0.5, "full": 1.0, "double": 2.0}
    for label, ends in report["trade_off"].items():
        found = {name: ways[label]["value"] for name, ways in report["returns"].items()}
        assert ends["home"]["value"] == found.pop("randomized")
        assert ends["worst"]["value"] == found[ends["target"]] == min(found.values())
    page = (tmp_path / "out/report/index.html").read_text()
    assert "At home and in the worst case" in page
    assert "| double | 2 |" in (tmp_path / "out/report/report.md").read_text()
    assert "return in the worst target" in (tmp_path / "out/report/trade_off.svg").read_text()


def test_a_width_that_does_not_fit_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    for way, problem in (
        ({"width": -1}, "pretrainings.a.width: must be at least 0"),
        ({"width": 0.5, "domain": "medium"}, "domain 'medium' draws nothing from a range"),
        ({"width": 9}, "at width 9|'randomized-width-9'"),
    ):
        with pytest.raises(UserError, match=problem):
            study(write(tmp_path, pretrainings=[{"a": way}]), progress=False)
    assert not (tmp_path / "out" / "runs").exists()


def test_the_page_on_widths_quotes_its_report() -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = " ".join((docs / "howto/randomization.md").read_text().split())
    report = json.loads((docs / "results/width/report.json").read_text())
    home, hard, wide = report["returns"]["randomized"], report["returns"]["hard"], "double"
    assert f"fails there in {max(home['none']['failure']['values']):.0%}".replace("%", " %") in page
    assert f"as width 1, {home['full']['value']:.0f}" in page
    assert f"{home[wide]['value']:.0f}" == f"{home['full']['value']:.0f}"
    assert [report["returns"][name][wide]["failure"]["value"] for name in TARGETS] == [0, 0, 0]
    worst = [f"{value:.0f}" for value in report["trade_off"][wide]["worst"]["values"]]
    assert f"the three reach {worst[0]}, {worst[1]} and {worst[2]}. At" in page
    assert sorted(hard["full"]["failure"]["values"])[1:] == [1, 1]
    verdicts = {
        way["difference"]["verdict"]
        for ways in report["returns"].values()
        for way in ways.values()
        if way["difference"]
    }
    assert verdicts == {"undecided"}


TARGETS = ("mild", "medium", "hard")
