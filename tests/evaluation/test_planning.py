"""Promised and obtained widths of synthetic pilots and the evaluations that they plan."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sim2real.cli import main
from sim2real.errors import UserError
from sim2real.evaluation.planning import ASSURED, SampleSize, pilot_returns, plan
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.row_files import save_rows
from sim2real.evaluation.statistics import interval
from sim2real.task import Array

TOLERANCE = 3 * np.sqrt(ASSURED * (1 - ASSURED) / 200)
"""Three standard errors of a share of 200 studies."""


def study(rng: np.random.Generator, seeds: int, episodes: int) -> Array:
    """Returns of seeds that differ by 100, with episodes that differ by 200."""
    means = 1000.0 + 100.0 * rng.standard_normal((seeds, 1))
    found: Array = means + 200.0 * rng.standard_normal((seeds, episodes))
    return found


def obtained(returns: Array) -> float:
    found = interval(returns)
    return found.high - found.low


def rows(returns: Array, domain: str = "nominal") -> list[Row]:
    return [
        Row(domain, 0, number, float(value), 10, False, True, False, {}, {})
        for number, value in enumerate(returns)
    ]


def test_200_pilots_of_several_seeds_keep_their_promise() -> None:
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(200):
        (size,) = plan(study(rng, 5, 10), width=200.0, episodes=[10])
        assert size.width <= 200.0
        kept.append(obtained(study(rng, size.seeds, 10)) <= size.width)
    assert abs(np.mean(kept) - ASSURED) < TOLERANCE


def test_200_pilots_of_one_policy_keep_their_promise() -> None:
    rng = np.random.default_rng(1)
    kept = []
    for _ in range(200):
        (size,) = plan(200.0 * rng.standard_normal((1, 20)), width=200.0)
        assert size.seeds == 1
        kept.append(obtained(200.0 * rng.standard_normal((1, size.episodes))) <= size.width)
    assert abs(np.mean(kept) - ASSURED) < TOLERANCE


def test_the_promise_of_many_units_is_that_of_the_f_distribution() -> None:
    """For t intervals: 2 t sqrt(F / n), with the ASSURED quantile of F(n - 1, m - 1)."""
    pilot = study(np.random.default_rng(2), 1, 100)
    (size,) = plan(pilot, width=70.0)
    n, m = size.episodes, 100
    ratio = stats.f.ppf(ASSURED, n - 1, m - 1)
    expected = 2 * stats.t.ppf(0.975, n - 1) * pilot.std(ddof=1) * np.sqrt(ratio / n)
    assert size.width == pytest.approx(expected, rel=0.04)


def test_more_episodes_need_fewer_seeds() -> None:
    found = plan(study(np.random.default_rng(2), 5, 20), width=250.0)
    seeds = [size.seeds for size in found]
    assert seeds == sorted(seeds, reverse=True)
    assert seeds[0] > seeds[-1]


def test_a_narrower_interval_needs_more_seeds() -> None:
    pilot = study(np.random.default_rng(3), 5, 20)
    wide, narrow = (plan(pilot, width, episodes=[20])[0].seeds for width in (300.0, 150.0))
    assert narrow > 2 * wide


def test_the_fewest_seeds_are_found() -> None:
    pilot = study(np.random.default_rng(3), 5, 20)
    (size,) = plan(pilot, 200.0, episodes=[20])
    (fewer,) = plan(pilot, size.width * 1.0001, episodes=[20])
    (more,) = plan(pilot, size.width * 0.9999, episodes=[20])
    assert fewer.seeds == size.seeds
    assert more.seeds == size.seeds + 1
    assert plan(pilot, 1e6, episodes=[20])[0].seeds == 3


def test_what_cannot_be_planned_is_refused() -> None:
    pilot = study(np.random.default_rng(4), 5, 20)
    with pytest.raises(UserError, match=r"the pilot has 2 seeds; it needs at least 3"):
        plan(pilot[:2], 100.0)
    with pytest.raises(UserError, match=r"the pilot has 2 episodes of one policy; it needs at l"):
        plan(pilot[:1, :2], 100.0)
    with pytest.raises(UserError, match=r"the pilot has 1 episode per seed; it needs at least 2"):
        plan(pilot[:, :1], 100.0)
    with pytest.raises(UserError, match=r"all returns of the pilot are equal"):
        plan(np.ones((5, 20)), 100.0)
    for width in (-1.0, 0.0, np.nan, np.inf):
        with pytest.raises(UserError, match=rf"width is {width}; allowed: a number above 0"):
            plan(pilot, width)
    with pytest.raises(UserError, match=r"episodes is 0; allowed: 1 to "):
        plan(pilot, 100.0, episodes=[0])
    with pytest.raises(UserError, match=r"episodes is empty"):
        plan(pilot, 100.0, episodes=[])
    with pytest.raises(UserError, match=r"1000 seeds do not reach a width of 0.001, only "):
        plan(pilot, 0.001)


def test_a_pilot_is_read_from_rows() -> None:
    values = study(np.random.default_rng(5), 2, 4)
    seeds = [rows(one, "a") + rows(one + 1.0, "b") for one in values]
    assert np.array_equal(pilot_returns(seeds, "b"), values + 1.0)
    with pytest.raises(UserError, match=r"the pilot has 2 domains; choose one of a, b"):
        pilot_returns(seeds)
    with pytest.raises(UserError, match=r"unknown domain of the pilot 'c'"):
        pilot_returns(seeds, "c")
    with pytest.raises(UserError, match=r"have 4, 3 episodes in a; allowed: the same number"):
        pilot_returns([seeds[0], seeds[1][:3]], "a")
    with pytest.raises(UserError, match=r"the pilot has no episodes"):
        pilot_returns([])


def test_the_verb_plans_as_the_function_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pilot = study(np.random.default_rng(6), 4, 10)
    files = [tmp_path / f"{number}.jsonl" for number in range(len(pilot))]
    for file, one in zip(files, pilot, strict=True):
        save_rows(file, rows(one))
    words = [*map(str, files), "--width", "250"]
    assert main(["plan", *words, "--episodes", "10", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["sizes"]
    assert [SampleSize(**one) for one in found] == list(plan(pilot, 250.0, (10, 50)))
    assert main(["plan", *words]) == 0
    assert "80% of evaluations" in " ".join(capsys.readouterr().out.split())
    assert main(["plan", *words[:2], *words[-2:]]) == 2
    assert "the pilot has 2 seeds; it needs at least 3" in capsys.readouterr().err
    assert main(["plan", str(tmp_path), *words[-2:]]) == 2
    assert "is no file of rows" in capsys.readouterr().err
