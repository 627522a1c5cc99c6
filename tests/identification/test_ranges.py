"""Ranges from several logs: variances between and within units, and the domain of both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from sim2real.domains.distributions.distribution import LogUniform, TruncatedNormal
from sim2real.errors import UserError
from sim2real.identification.family import PRIOR_PRECISION, family_of
from sim2real.identification.ranges import (
    UNIFORM,
    Ranges,
    _restricted,
    combined,
    identify_ranges,
    random_effects,
)
from sim2real.identification.result import NORMAL_90, with_noise
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY, log_of, target


def test_the_restricted_likelihood_is_that_of_contrasts() -> None:
    rng = np.random.default_rng(0)
    values, own = rng.standard_normal(5), rng.uniform(0.5, 2.0, 5)
    contrasts = np.linalg.svd(np.ones((1, 5)))[2][1:]

    def both(shared: float) -> tuple[float, float]:
        covariance = shared * np.eye(5) + np.diag(own)
        law = multivariate_normal(np.zeros(4), contrasts @ covariance @ contrasts.T)
        return _restricted(shared * np.eye(5), own, values)[0], law.logpdf(contrasts @ values)

    one, two = np.array(both(0.1)), np.array(both(3.0))
    assert (two - one)[0] == pytest.approx((two - one)[1])


def test_differences_between_and_within_units_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(10), 2)
    found = []
    for _ in range(4):
        own = 0.5 + 0.1 * rng.standard_normal(10)
        estimates = own[unit] + 0.03 * rng.standard_normal(20) + 0.01 * rng.standard_normal(20)
        found.append(random_effects(unit, estimates, np.full(20, 0.01**2)))
    assert np.sqrt(np.mean([one.between for one in found])) == pytest.approx(0.1, rel=0.25)
    assert np.sqrt(np.mean([one.within for one in found])) == pytest.approx(0.03, rel=0.25)
    assert np.mean([one.mean for one in found]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("spread", [0.05, 0.1])
def test_a_new_unit_lies_in_the_range_as_often_as_said(spread: float) -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(150):
        mean = rng.uniform(0.3, 0.7)
        units = mean + spread * rng.standard_normal(5)
        found = random_effects(
            np.arange(4), units[:4] + 0.02 * rng.standard_normal(4), np.full(4, 0.02**2)
        )
        held.append(abs(units[4] - found.mean) < NORMAL_90 * np.sqrt(found.total))
    assert 0.83 < np.mean(held) < 0.99


def identification(shares: dict[str, tuple[float, float]], noise: float = 0.0) -> Any:
    """What `combined` reads of an identification, by the mean and std of its shares."""
    family = family_of(load_task("cartpole"), FAMILY)
    places = {
        name: (0.5, mean - NORMAL_90 * std, mean + NORMAL_90 * std, mean)
        for name, (mean, std) in shares.items()
    }
    return SimpleNamespace(
        evidence=SimpleNamespace(shares=places),
        table=[SimpleNamespace(name=name, status="identified") for name in family.names],
        domain=with_noise(target(), {"cart": noise}),
        explained=True,
        plain=dict,
    )


def ranges(spread: float, error: float) -> Ranges:
    family = family_of(load_task("cartpole"), FAMILY)
    apart = spread * np.array([-1.2, -0.4, 0.4, 1.2])
    precision = error**-2 + PRIOR_PRECISION
    logs = []
    for one in apart:
        # a log with a likelihood around 0.6, and the prior around the nominal share
        shares = {
            name: ((0.6 + one) / error**2 / precision + nominal * PRIOR_PRECISION / precision,)
            for name, nominal in zip(family.names, family.nominal, strict=True)
        }
        logs.append(identification({n: (m, precision**-0.5) for n, (m,) in shares.items()}, 0.01))
    return combined(family, ["a", "b", "c", "d"], logs)


def test_the_prior_is_taken_out_of_what_logs_show() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    row = ranges(spread=0.0, error=0.15).table[0]
    assert row.name == "body_mass:pole"
    assert row.value == pytest.approx(family.values(np.full(4, 0.6))[0][0])
    wide, narrow = ranges(0.15, 0.02), ranges(0.0, 0.02)
    assert wide.table[0].part == pytest.approx(0.15 / UNIFORM, rel=0.25)
    assert narrow.table[0].part < 0.35
    assert wide.table[0].between > 3 * narrow.table[0].between
    assert "4 units in 4 logs ask for" in wide.notes[0]


def test_the_domain_is_drawn_from() -> None:
    found = ranges(0.1, 0.02)
    worlds = Simulation("cartpole", found.domain, 400, threads=1)
    for row in found.table:
        drawn = worlds.context[:, worlds.context_names.index(row.name)]
        assert np.mean((drawn >= row.low) & (drawn <= row.high)) > 0.8, row
    assert [one.of for one in found.domain.sensing] == [("cart",)]
    assert found.domain.sensing[0].distribution.std == pytest.approx(0.01)


def test_what_no_log_determines_keeps_the_range() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    known = dict.fromkeys(family.names, (0.6, 0.02))
    logs = [identification(known | {"body_mass:pole": (0.5, 0.28)}) for _ in range(2)]
    found = combined(family, ["a", "b"], logs)
    assert isinstance(found.domain.dynamics[0].distribution, LogUniform)
    assert isinstance(found.domain.dynamics[1].distribution, TruncatedNormal)
    assert found.table[0].part == 1.0
    assert "body_mass:pole: keeps the range of the family" in found.notes


def test_one_log_is_refused() -> None:
    with pytest.raises(UserError, match="there are 1 logs; allowed: 2 or more"):
        identify_ranges({"a": [log_of(None, 100)]}, "cartpole", FAMILY)
    with pytest.raises(UserError, match="there is 1 log; allowed: 2 or more"):
        identify_ranges("log.safetensors", "cartpole", FAMILY)


@pytest.mark.slow
def test_units_that_differ_give_their_spread() -> None:
    strengths = {"a": 0.7, "b": 0.8, "c": 0.9, "d": 1.0}
    logs = {
        name: [log_of(target(0.002, **{"strength:drive": one}), 300, seed)]
        for seed, (name, one) in enumerate(strengths.items())
    }
    found = identify_ranges(logs, "cartpole", FAMILY, threads=1)
    rows = {row.name: row for row in found.table}
    assert rows["strength:drive"].value == pytest.approx(0.85, abs=0.03)
    assert rows["strength:drive"].between == pytest.approx(0.13, rel=0.35)
    assert rows["body_mass:pole"].part < rows["strength:drive"].part
