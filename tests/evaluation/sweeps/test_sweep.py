"""Sweeps against `evaluate` at single values, and verdicts of known curves."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.cli import main
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.evaluation.statistics import interval
from sim2real.evaluation.sweeps import axis, sweep
from sim2real.evaluation.sweeps.figure import sweep_svg
from sim2real.evaluation.sweeps.sweep import Curve, Sweep, safe_ranges

NOMINAL = Domain(name="nominal")
RANGES = Domain(
    name="ranges",
    dynamics=[{"field": "dof_damping", "scale": {"uniform": [1.0, 3.0]}}],  # type: ignore[list-item]
    actuation=[{"strength": {"uniform": [0.5, 1.0]}}],  # type: ignore[list-item]
)


class Push:
    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        action = observation[:, 1:2] + 0.3 * observation[:, 4:5]
        return np.clip(self.gain * action, -1.0, 1.0), None


def made(*curves: Curve, values: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Sweep:
    one = axis("strength", NOMINAL, RANGES, values)
    return Sweep("cartpole", "nominal", "return", (one,), 3, 0, curves)


def curve(policy: str, means: list[float], reach: float = 1.0) -> Curve:
    at = np.array(means)
    zeros = np.zeros(len(at))
    return Curve(policy, at, at - reach, at + reach, zeros, zeros.astype(np.int64))


def test_each_point_is_an_evaluation() -> None:
    one = axis("strength", NOMINAL, RANGES, (0.6, 1.0))
    found = sweep({"a": Push(), "b": Push(0.2)}, "cartpole", [one], episodes=4, seed=2)
    assert [curve.policy for curve in found.curves] == ["a", "b"]
    weak = Domain(name="weak", actuation=[{"strength": 0.6}])  # type: ignore[list-item]
    for place, domain in enumerate((weak, NOMINAL)):
        rows = evaluate(Push(), "cartpole", domain, episodes=4, seed=2)
        mean = interval([[row.total for row in rows]])
        curve_ = found.curves[0]
        at = (curve_.means[place], curve_.lows[place], curve_.highs[place])
        assert at == (mean.value, mean.low, mean.high)


def test_two_axes_are_a_grid() -> None:
    axes = [axis(name, NOMINAL, RANGES, count=2) for name in ("strength", "dof_damping")]
    found = sweep({"a": Push()}, "cartpole", axes, episodes=3, measure="return")
    assert found.points == [(0.5, 1.0), (0.5, 3.0), (1.0, 1.0), (1.0, 3.0)]
    assert len(found.records()) == 4
    figure = sweep_svg(found, threshold=10.0)
    assert figure.startswith("<svg")
    assert "safe: return above 10" in figure


def test_verdicts_follow_the_interval() -> None:
    found = made(curve("a", [5.0, 3.5, 1.0]))
    assert found.curves[0].verdicts(3.0) == ["safe", "undecided", "unsafe"]
    assert [one["verdict"] for one in found.records(3.0)] == ["safe", "undecided", "unsafe"]


def test_a_point_without_a_mean_is_unsafe() -> None:
    lost = curve("a", [np.nan, 5.0, 5.0])
    assert lost.verdicts(3.0) == ["unsafe", "safe", "safe"]
    assert made(lost).records()[0]["mean"] is None


def test_safe_ranges_join_neighbours() -> None:
    assert safe_ranges([1, 2, 3, 4, 5], ["safe", "safe", "undecided", "unsafe", "safe"]) == [
        (1, 2),
        (5, 5),
    ]
    assert safe_ranges([1.0], ["unsafe"]) == []


def test_the_safe_sets_of_all_policies_are_in_one_figure() -> None:
    found = made(curve("first", [5.0, 5.0, 1.0]), curve("second", [1.0, 5.0, 5.0]))
    figure = sweep_svg(found, threshold=3.0)
    assert figure == sweep_svg(found, threshold=3.0)
    assert "first" in figure
    assert "second" in figure
    assert len(figure) > len(sweep_svg(found))


def test_bad_sweeps_are_refused() -> None:
    one = axis("strength", NOMINAL, RANGES)
    with pytest.raises(UserError, match="one or two parameters, got 3"):
        sweep({"a": Push()}, "cartpole", [one, one, one])
    with pytest.raises(UserError, match="episodes is 2; allowed: 3 to"):
        sweep({"a": Push()}, "cartpole", [one], episodes=2)
    with pytest.raises(UserError, match="'sucess'; did you mean 'success'"):
        sweep({"a": Push()}, "cartpole", [one], measure="sucess")


def test_the_verb_writes_figure_and_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], short_cartpole: None
) -> None:
    words = ["sweep", "pretrained:cartpole", "--parameter", "strength", "--values", "0.5", "1"]
    assert main([*words, "--episodes", "3", "--threshold", "1", "--out", str(tmp_path)]) == 0
    assert "safe strength" in capsys.readouterr().out
    data = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["strength"] for point in data["points"]] == [0.5, 1.0]
    table = list(csv.DictReader(io.StringIO((tmp_path / "sweep.csv").read_text())))
    assert float(table[0]["mean"]) == data["points"][0]["mean"]
    assert (tmp_path / "sweep.svg").read_text().startswith("<svg")


def test_policies_of_several_tasks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["sweep", "pretrained:cartpole", "pretrained:furuta", "--parameter", "delay"]
    assert main(words) == 2
    assert "the policies are of several tasks" in capsys.readouterr().err
