"""Closed forms of Beta distributions against numeric integrals, gradients against differences."""

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from sim2real.learning.adaptive.beta import (
    divergence,
    divergence_gradient,
    entropy,
    entropy_gradient,
    log_density,
    log_density_gradient,
)

NEW = np.array([[1.5, 4.0], [12.0, 9.0], [1.0, 1.0]])
OLD = np.array([[2.0, 3.0], [30.0, 20.0], [1.0, 6.0]])
POINTS = np.array([[0.2, 0.6, 0.5], [0.7, 0.55, 0.05]])
LOGS = np.stack([np.log(POINTS), np.log1p(-POINTS)], axis=2)


def integral(function):
    value, _ = scipy.integrate.quad(function, 0.0, 1.0, epsabs=1e-12, limit=200)
    return value


def test_entropy():
    np.testing.assert_allclose(entropy(NEW), scipy.stats.beta(*NEW.T).entropy(), atol=1e-12)
    for shapes, value in zip(NEW[:2], entropy(NEW[:2]), strict=True):
        one = scipy.stats.beta(*shapes)
        numeric = integral(lambda x, one=one: -one.pdf(x) * one.logpdf(x) if 0 < x < 1 else 0.0)
        np.testing.assert_allclose(value, numeric, rtol=1e-8)
    assert entropy(np.ones((1, 2))).tolist() == [0.0]


def test_divergence():
    def numeric(new, old):
        p, q = scipy.stats.beta(*new), scipy.stats.beta(*old)
        return integral(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)) if 0 < x < 1 else 0.0)

    expected = sum(numeric(new, old) for new, old in zip(NEW, OLD, strict=True))
    np.testing.assert_allclose(divergence(NEW, OLD), expected, rtol=1e-7)
    assert divergence(OLD, OLD) == 0.0


def test_density():
    expected = scipy.stats.beta(*NEW.T).logpdf(POINTS).sum(axis=1)
    np.testing.assert_allclose(log_density(NEW, LOGS), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (lambda s: entropy(s).sum(), entropy_gradient),
        (lambda s: divergence(s, OLD), lambda s: divergence_gradient(s, OLD)),
        (lambda s: log_density(s, LOGS)[1], lambda s: log_density_gradient(s, LOGS)[1]),
    ],
)
def test_gradients(function, gradient):
    expected, h = np.empty_like(NEW), 1e-6
    for index in np.ndindex(*NEW.shape):
        step = np.zeros_like(NEW)
        step[index] = h
        expected[index] = (function(NEW + step) - function(NEW - step)) / (2 * h)
    np.testing.assert_allclose(gradient(NEW), expected, rtol=1e-6, atol=1e-8)
