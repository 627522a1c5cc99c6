"""Intervals hold the truth as often as they say; noise is told from misfit."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sim2real.identification.family import PRIOR_PRECISION
from sim2real.identification.fit import Equations, noise_of
from sim2real.identification.posterior import Posterior, misfit_of, misfit_of_logs, posterior_of
from sim2real.identification.problem import Fit
from sim2real.identification.windows import Channels


def linear(rng: np.random.Generator, windows: int, same: float) -> tuple[Any, Fit, Equations]:
    """A straight line's slope from windows of 10 rows; `same` is noise that a window shares."""
    turns = rng.standard_normal((windows, 10, 1))
    noise = (
        rng.standard_normal((windows, 10))
        + same * rng.standard_normal((windows, 1)) * turns[..., 0]
    )
    slopes = 10.0 * turns  # far more is known than by the prior
    information = np.swapaxes(slopes, 1, 2) @ slopes
    gradient = np.einsum("wrd,wr->wd", slopes, noise)
    mean = np.linalg.solve(information.sum(0), gradient.sum(0))
    at_best = gradient - np.einsum("wde,e->wd", information, mean)
    family = SimpleNamespace(
        names=("slope",),
        space=SimpleNamespace(bases=(None,)),
        prior_information=lambda shares: np.array([PRIOR_PRECISION]),
    )
    problem = SimpleNamespace(replay=SimpleNamespace(family=family))
    nothing = np.zeros((windows, 1, 1))
    fit = Fit(mean, np.zeros((windows, 2)), nothing, np.ones(1), 0.0)
    return problem, fit, Equations(information, at_best, nothing, nothing[..., 0])


@pytest.mark.parametrize(("same", "least"), [(0.0, 0.85), (2.0, 0.8)])
def test_intervals_of_90_percent_cover(same: float, least: float) -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        posterior = posterior_of(*linear(rng, 30, same), rng)
        held += abs(posterior.mean[0]) < 1.645 * posterior.std[0]
    assert least < held / 100 < 0.98


def test_laplace_alone_would_not_cover_windows_of_one_motion() -> None:
    rng = np.random.default_rng(1)
    problem, fit, equations = linear(rng, 30, 2.0)
    posterior = posterior_of(problem, fit, equations, rng)
    laplace = 1 / np.sqrt(equations.information.sum())
    assert posterior.std[0] > 2 * laplace


def test_a_bootstrap_widens_no_axis_beyond_the_prior() -> None:
    rng = np.random.default_rng(2)
    problem, fit, equations = linear(rng, 30, 2.0)
    small = dataclasses.replace(
        equations,
        information=equations.information * 1e-6,
        gradient=equations.gradient * 1e-2,
    )
    posterior = posterior_of(problem, fit, small, rng)
    assert posterior.std[0] == pytest.approx(PRIOR_PRECISION**-0.5, rel=1e-3)


@pytest.mark.parametrize("same", [0.0, 2.0])
def test_a_quarter_of_the_likelihood_doubles_the_standard_deviation(same: float) -> None:
    problem, fit, equations = linear(np.random.default_rng(3), 30, same)
    whole = posterior_of(problem, fit, equations, np.random.default_rng(4))
    quarter = posterior_of(problem, fit, equations.tempered(0.25), np.random.default_rng(4))
    assert quarter.std[0] == pytest.approx(2 * whole.std[0], rel=0.01)


def test_combinations_are_named_by_the_scale() -> None:
    matrix = np.array([[1.0, -0.99, 0.0], [-0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
    names = ("mass:leg", "mass:foot", "delay")
    one = Posterior(names, np.full(3, 0.5), matrix, (False, False, False))
    assert one.combinations() == (
        "mass:leg and mass:foot: only their sum is determined (correlation -0.99)",
    )
    assert "only their product" in Posterior(names, one.mean, matrix, (True,) * 3).combinations()[0]
    ratio = Posterior(names, one.mean, np.abs(matrix), (True,) * 3)
    assert "only their ratio" in ratio.combinations()[0]


def residuals(rng: np.random.Generator, smooth: float) -> Fit:
    """Unit noise on two channels; on the second also a slope that grows to `smooth`."""
    values = rng.standard_normal((40, 16, 2))
    values[:, :, 1] += smooth * rng.standard_normal((40, 1)) * np.linspace(0, 1, 16)
    return Fit(np.zeros(1), np.zeros((40, 2)), values, np.array([1.0, 1.0]), 0.0)


CHANNELS = Channels(
    ("a[0]", "b[0]", "dead[0]"), np.array([0.5, 2.0, 0.0]), np.array([True, True, False])
)


def test_noise_is_no_misfit() -> None:
    found = misfit_of(CHANNELS, residuals(np.random.default_rng(0), 0.0))
    assert found.noticed == ()
    assert found.sentence == "the family explains this log down to its noise"
    assert found.noise == pytest.approx([0.5, 2.0], rel=0.1)
    assert CHANNELS.dead == ("dead[0]",)


def test_what_grows_in_a_replay_is_misfit() -> None:
    found = misfit_of(CHANNELS, residuals(np.random.default_rng(0), 3.0))
    assert found.noticed == ("b[0]",)
    assert "does not explain this log: 1 of 2 channels" in found.sentence
    assert "most of all b[0]" in found.sentence
    assert found.noise[0] == pytest.approx(0.5, rel=0.1)


def test_a_log_of_another_world_is_no_outlier() -> None:
    """Of most windows hardly anything remains; a log with more noise alone is explained, too."""
    fit, logs = residuals(np.random.default_rng(0), 0.0), np.repeat([1, 2], [24, 16])
    second = (logs == 2)[:, None, None]
    quiet = dataclasses.replace(fit, residuals=1e-3 * fit.residuals)
    assert misfit_of_logs(CHANNELS, quiet, logs).noticed == ()
    noisy = np.where(second, fit.residuals, quiet.residuals)
    assert misfit_of_logs(CHANNELS, dataclasses.replace(fit, residuals=noisy), logs).noticed == ()
    other = quiet.residuals + second * np.linspace(0, 1, 16)[:, None]
    apart = dataclasses.replace(fit, residuals=other, noise=noise_of(other, 2))
    assert misfit_of(CHANNELS, apart).noticed == ()
    found = misfit_of_logs(CHANNELS, apart, logs)
    assert (found.log, found.noticed) == (2, ("a[0]", "b[0]"))
    assert "log 2 together with the others: 2 of 2 channels" in found.sentence


def test_a_perfect_replay_is_no_misfit() -> None:
    fit = Fit(np.zeros(1), np.zeros((40, 2)), np.full((40, 16, 2), 1e-6), np.full(2, 1e-3), 0.0)
    assert misfit_of(CHANNELS, fit).noticed == ()


def test_what_is_known_in_proportion_only_is_told() -> None:
    free = np.array([1.0, 1.0, 0.0, 1.0]) / np.sqrt(3.0)
    matrix = 1e-4 * np.eye(4) + 0.07 * np.outer(free, free)
    names = ("mass", "damping", "delay", "strength")
    one = Posterior(names, np.full(4, 0.5), matrix, (True,) * 4)
    assert one.common() == (
        "how large mass, damping, strength are together is not determined, only their proportions",
    )
    assert one.combinations() == ()  # said already
    assert Posterior(names, np.full(4, 0.5), 1e-4 * np.eye(4), (True,) * 4).common() == ()
