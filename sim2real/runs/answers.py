"""The actions of a policy for a few observations, stored with its weights.

Weights alone do not say what a policy does: the activation, the bounds of the actions and more come
from text files beside them. So a checkpoint keeps a few observations with the actions that the
policy gave, and a policy that is loaded must give them again.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

import numpy as np
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy

from sim2real.config import Config, parse
from sim2real.errors import ChangedError, UserError
from sim2real.policies.normalizer import normalizers
from sim2real.simulation.actions import describe_range
from sim2real.task import Array

COUNT = 4
TOLERANCE = 1e-3
"""Largest difference of an action, as a share of its range; processors differ by far less."""

ROUNDING = 1e-5
"""How far a stored action may lie outside its range, as a share of it."""

Rows = Annotated[tuple[tuple[float, ...], ...], Field(min_length=1, max_length=100)]


class Answers(Config):
    """Observations and the actions that were given, one row each, and the range of actions."""

    observations: Rows
    actions: Rows
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    """None in a checkpoint of an older version."""


def answers_of(policy: BasePolicy) -> dict[str, Any]:
    """The actions of `policy` for a few observations, spread as its own statistics are; as JSON."""
    rng = np.random.default_rng(0)
    (size,) = policy.observation_space.shape or (0,)
    seen = _rounded(rng.normal(size=(COUNT, size)) * _spread(policy, size) + _center(policy, size))
    given, space = _rounded(_act(policy, seen)), cast(spaces.Box, policy.action_space)
    bounds = {"low": space.low.tolist(), "high": space.high.tolist()}
    return {"observations": seen.tolist(), "actions": given.tolist(), **bounds}


def require_answers(policy: BasePolicy, stored: Any, where: str) -> None:
    """Ask `policy` again; UserError if its answers differ from those `stored`.

    `stored` is None in a checkpoint of an older version. `where` names the run.
    """
    if stored is None:
        return
    answers = parse(Answers, stored, f"{where}: stored answers")
    seen, expected = (_array(one) for one in (answers.observations, answers.actions))
    space = cast(spaces.Box, policy.action_space)
    shapes = seen.shape[1:], expected.shape[1:], len(seen)
    if shapes != (policy.observation_space.shape, space.shape, len(expected)):
        raise UserError(f"{where}: the stored answers are of another shape than the policy's")
    _require_range(answers, space, where)
    width = space.high - space.low
    off = np.abs(_act(policy, seen) - expected) / width
    outside = np.maximum(space.low - expected, expected - space.high) / width
    if not (off <= TOLERANCE).all() or (outside > ROUNDING).any():
        raise ChangedError(
            f"{where}: the policy acts otherwise than when it was saved, by {off.max():.1%} of the "
            "actions' range; its config.yaml or task.json was changed"
        )


def _require_range(answers: Answers, space: spaces.Box, where: str) -> None:
    """UserError if the actions have another range than when the answers were stored."""
    if answers.low is None or answers.high is None:
        return
    if (list(answers.low), list(answers.high)) != (space.low.tolist(), space.high.tolist()):
        before = ", ".join(
            f"[{a:g}, {b:g}]" for a, b in zip(answers.low, answers.high, strict=False)
        )
        raise ChangedError(
            f"{where}: the policy acts otherwise than when it was saved: in "
            f"{describe_range(space)}, not in {before}; its task.json was changed"
        )


def _act(policy: BasePolicy, observations: Array) -> Array:
    actions, _ = policy.predict(observations, deterministic=True)
    return np.asarray(actions, dtype=np.float64)


def _center(policy: BasePolicy, size: int) -> Array:
    center = np.zeros(size)
    for one in normalizers(policy)[:1]:
        center[list(one.columns)] = one.running_mean.numpy()
    return center


def _spread(policy: BasePolicy, size: int) -> Array:
    spread = np.ones(size)
    for one in normalizers(policy)[:1]:
        spread[list(one.columns)] = one.running_var.sqrt().numpy()
    return spread


def _rounded(values: Array) -> Array:
    """The values to six significant digits, which a file holds in little space."""
    digits = [float(f"{value:.6g}") for value in values.flat]
    return np.array(digits).reshape(values.shape)


def _array(rows: tuple[tuple[float, ...], ...]) -> Array:
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError:
        return np.zeros((0, 0))
