from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr

from sim2real.evaluation.references import random_rows
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.sensitivity import FEWEST, by_parameter, return_against_context
from sim2real.evaluation.sensitivity_figure import sensitivity_png, write_sensitivity
from sim2real.registry import load_task
from sim2real.simulation import Simulation


def row(total: float, domain: str = "d", **context: float) -> Row:
    return Row(domain, 0, 0, total, 10, False, False, False, {}, context)


def test_bins_thirds_and_correlation_in_closed_form() -> None:
    """24 episodes of return 2 x: two bins of 12, of means 2 * 6.5 and 2 * 18.5."""
    values = np.arange(1.0, 25.0)
    rows = [row(2 * x, mass=x, same=1.0) for x in np.random.default_rng(0).permutation(values)]
    (found,) = return_against_context(rows)
    assert found.name == "mass"
    np.testing.assert_array_equal(found.values, values)
    np.testing.assert_array_equal(found.totals, 2 * values)
    np.testing.assert_allclose(found.centres, [6.5, 18.5])
    np.testing.assert_allclose(found.means, [13.0, 37.0])
    # the variance of 12 numbers two apart is 4 * 13: n (n + 1) / 12 * 2^2
    # and t of 11 degrees of freedom at 97.5 % is 2.201
    np.testing.assert_allclose(found.highs - found.means, 2.201 * np.sqrt(52 / 12), rtol=1e-3)
    np.testing.assert_allclose(found.means - found.lows, 2.201 * np.sqrt(52 / 12), rtol=1e-3)
    assert found.correlation == pytest.approx(1.0)
    assert (found.low, found.high) == (9.0, 41.0)  # means of 1 to 8 and of 17 to 24, twice
    assert found.is_clear
    assert found.chance == pytest.approx(1.959964 / np.sqrt(23.0))


def test_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(1)
    mass, total = rng.integers(0, 9, 60).astype(float), rng.integers(0, 5, 60).astype(float)
    found = return_against_context([row(t, mass=m) for m, t in zip(mass, total, strict=True)])
    assert found[0].correlation == pytest.approx(spearmanr(mass, total).statistic)


def test_chance_is_called_so_one_time_in_twenty() -> None:
    rng = np.random.default_rng(2)
    clear = []
    for _ in range(400):
        rows = [row(total, mass=x) for total, x in rng.normal(size=(40, 2))]
        clear.append(return_against_context(rows)[0].is_clear)
    assert 0.02 < np.mean(clear) < 0.09


def test_chance_is_called_so_one_time_in_twenty_whatever_the_number_of_entries() -> None:
    rng = np.random.default_rng(3)
    clear = []
    for _ in range(200):
        rows = [
            row(x[0], **{f"p{i}": x[i] for i in range(1, 13)}) for x in rng.normal(size=(40, 13))
        ]
        clear.append(any(one.is_clear for one in return_against_context(rows)))
    assert 0.01 < np.mean(clear) < 0.09


def test_what_states_nothing() -> None:
    assert return_against_context([]) == ()
    assert return_against_context([row(1.0, mass=x) for x in range(FEWEST - 1)]) == ()
    (still,) = return_against_context([row(1.0, mass=x) for x in range(FEWEST)])
    assert still.correlation == 0.0
    assert not still.is_clear


def test_rows_carry_what_was_drawn_and_tell_it_by_domain() -> None:
    rows = random_rows(load_task("cartpole"), "randomized", episodes=FEWEST, seed=3)
    simulation = Simulation("cartpole", "randomized", FEWEST, seed=3)
    assert [one.context for one in rows] == simulation.contexts()
    table = by_parameter([*rows, *[row(1.0, "constant", mass=2.0) for _ in range(20)]])
    assert {line["domain"] for line in table} == {"randomized"}
    varied = np.ptp(simulation.context, axis=0) > 0
    names = np.array(simulation.context_names)[varied].tolist()
    assert [line["parameter"] for line in table] == names
    assert set(table[0]) == {
        "domain",
        "parameter",
        "correlation",
        "chance",
        "lowest_third",
        "highest_third",
    }


def test_the_picture(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    names = [f"parameter_{index}:with_a_long_name_of_its_own" for index in range(6)]
    rows = [
        row(float(draws[0] ** 2), **dict(zip(names, draws, strict=True)))
        for draws in rng.uniform(0.0, 2.0, (60, 6))
    ]
    found = return_against_context(rows)
    picture = Image.open(io.BytesIO(sensitivity_png({"one": found, "none": (), "two": found[:1]})))
    pixels = np.asarray(picture.convert("RGB")).reshape(-1, 3).astype(int)
    assert picture.width > 1000
    blue = (np.abs(pixels - [0, 0x72, 0xB2]).sum(axis=1) < 30).sum()
    assert blue > 200  # the one that matters, twice
    path = tmp_path / "sensitivity.png"
    assert write_sensitivity(path, rows) == path
    with Image.open(path) as written:
        assert written.width > 1000
    assert write_sensitivity(tmp_path / "no.png", [row(1.0, mass=1.0)] * 20) is None
    assert not (tmp_path / "no.png").exists()
