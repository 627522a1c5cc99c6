"""Learn from the worlds in which the policy earns least.

    maximize  E[R(c) | R(c) <= q],    P(R(c) <= q) = `worst_share`,    c = what an episode drew

R(c) is the return of the policy in a world with the context c, and the objective is its conditional
value at risk (Rajeswaran et al. 2017, EPOpt, arXiv:1610.01283, section 3.1; Tamar et al. 2015,
"Optimizing the CVaR via sampling", arXiv:1404.3862). EPOpt takes the trajectories of the lowest
returns. Here a rollout holds parts of episodes, so the value of a context is predicted from the
lambda-returns in the worlds of the latest rollouts: by ridge regression on each number of the
context and its square. The steps of the lowest predictions are learned from, as many as the share.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from sim2real.config import Config
from sim2real.task import Array, BoolArray

RIDGE = 4.0
"""Penalty of the regression: that of four worlds at the mean."""


class WorstShare(Config):
    """Options of a recipe that learns from the worst worlds."""

    worst_share: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    """The share of each rollout that is learned from: the steps in the worlds whose contexts have
    the lowest returns; 1: all of it."""
    worst_share_start: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Part of the training before which all of each rollout is learned from."""


def predicted_returns(contexts: Array, returns: Array, asked: Array) -> Array:
    """The return, (k,), that each context `asked`, (k, d), is worth.

    `contexts` (m, d) and `returns` (m,) are of worlds whose returns are known.
    """
    mean, deviation = contexts.mean(axis=0), contexts.std(axis=0)
    scale = np.where(deviation > 0.0, deviation, 1.0)

    def features(rows: Array) -> torch.Tensor:
        standard = (rows - mean) / scale
        return torch.from_numpy(np.concatenate([standard, standard**2 - 1.0], axis=1))

    known, level = features(contexts), returns.mean()
    penalty = RIDGE * torch.eye(known.shape[1], dtype=known.dtype)
    weights = torch.linalg.solve(
        known.T @ known + penalty, known.T @ torch.from_numpy(returns - level)
    )
    found: Array = level + (features(asked) @ weights).numpy()
    return found


def lowest(values: Array, share: float) -> BoolArray:
    """Which of `values` are the lowest `share` of them, at least two.

    >>> lowest(np.array([[3.0, 1.0], [2.0, 4.0]]), 0.5)
    array([[False,  True],
           [ True, False]])
    """
    count = max(int(np.ceil(share * values.size)), 2)
    chosen = np.zeros(values.size, dtype=bool)
    chosen[np.argsort(values, axis=None, kind="stable")[:count]] = True
    return chosen.reshape(values.shape)
