"""Independent Beta distributions on [0, 1]: entropy, divergence and density in closed form.

Shapes are arrays (d, 2): a and b of each of d parameters. Gradients are by these shapes, (d, 2).
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, digamma, polygamma

from sim2real.task import Array


def entropy(shapes: Array) -> Array:
    """Differential entropy of each, (d,), in nats; 0 for the uniform distribution, else less."""
    a, b = shapes.T
    value: Array = (
        betaln(a, b) - (a - 1) * digamma(a) - (b - 1) * digamma(b) + (a + b - 2) * digamma(a + b)
    )
    return value


def entropy_gradient(shapes: Array) -> Array:
    """Gradient of the sum of the entropies."""
    together = shapes.sum(axis=1, keepdims=True)
    value: Array = (together - 2) * _trigamma(together) - (shapes - 1) * _trigamma(shapes)
    return value


def divergence(new: Array, old: Array) -> float:
    """Kullback-Leibler divergence KL(new || old) of the joint distributions, in nats."""
    moved, (a, b), (a0, b0) = new - old, new.T, old.T
    parts = (
        betaln(a0, b0)
        - betaln(a, b)
        + np.sum(moved * digamma(new), axis=1)
        - np.sum(moved, axis=1) * digamma(a + b)
    )
    return float(parts.sum())


def divergence_gradient(new: Array, old: Array) -> Array:
    """Gradient of `divergence` by the new shapes."""
    moved, together = new - old, new.sum(axis=1, keepdims=True)
    value: Array = moved * _trigamma(new) - moved.sum(axis=1, keepdims=True) * _trigamma(together)
    return value


def log_density(shapes: Array, logs: Array) -> Array:
    """Logarithm of the joint density, (m,), at points x given as `logs` = ln x, ln(1 - x).

    Shape of `logs`: (m, d, 2).
    """
    value: Array = np.sum((shapes - 1) * logs, axis=(1, 2)) - betaln(*shapes.T).sum()
    return value


def log_density_gradient(shapes: Array, logs: Array) -> Array:
    """Gradient of `log_density` at each point, (m, d, 2)."""
    value: Array = logs - digamma(shapes) + digamma(shapes.sum(axis=1, keepdims=True))
    return value


def _trigamma(x: Array) -> Array:
    value: Array = polygamma(1, x)
    return value
