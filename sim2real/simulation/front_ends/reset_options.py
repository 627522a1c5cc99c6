"""The options of a reset: which episodes to start, in which worlds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.config import LAST_SEED, LAST_SIMULATION_SEED
from sim2real.errors import UserError, brief, unknown, whole_number
from sim2real.task import BoolArray, IntArray

EPISODE, MASK = "episode", "reset_mask"


def copy_options(options: Any) -> dict[str, Any]:
    """A copy of the options of a reset, empty for None; UserError unless they are a mapping."""
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise UserError(
            f"the options of a reset are {options!r}; allowed: a mapping, such as {{'episode': 0}}"
        )
    return dict(options)


def options_of_worlds(options: Any, num_envs: int) -> list[dict[str, Any]]:
    """The options of each world that SB3's `set_options` took; UserError for another number."""
    if not isinstance(options, Sequence) or isinstance(options, str) or len(options) != num_envs:
        raise UserError(
            f"the options of a reset are {options!r}; allowed: a mapping, or {num_envs} of them"
        )
    return [copy_options(one) for one in options]


def check_options(options: Any, allowed: Iterable[str]) -> dict[str, Any]:
    """A copy of the options of a reset; UserError for a name that is not `allowed`."""
    given, names = copy_options(options), list(allowed)
    for name in given:
        if name not in names:
            raise unknown("reset option", name, names)
    return given


def episodes_of(options: Mapping[str, Any], count: int) -> IntArray | None:
    """The episodes that `options` ask for in `count` worlds, (count,); None where they do not.

    One number is that of the first world, and the others follow.
    """
    if EPISODE not in options:
        return None
    given = _array(options[EPISODE])
    whole = np.issubdtype(given.dtype, np.integer) and given.shape in ((), (count,))
    if not whole or not np.all((given >= 0) & (given < 2**62)):
        raise UserError(
            f"reset option 'episode' is {options[EPISODE]!r}; allowed: a whole number from 0"
            + (f", or {count} of them" if count > 1 else "")
        )
    numbers: IntArray = given.astype(np.int64)
    return numbers + np.arange(count) if given.ndim == 0 else numbers


def mask_of(options: Mapping[str, Any], num_envs: int) -> BoolArray | None:
    """Which worlds `options` reset, (num_envs,) bool; None where they have no mask."""
    if MASK not in options:
        return None
    mask = _array(options[MASK])
    if mask.shape != (num_envs,) or mask.dtype != np.bool_ or not mask.any():
        raise UserError(
            f"reset option 'reset_mask' is {options[MASK]!r}; allowed: {num_envs} of True or "
            "False, at least one True"
        )
    return mask


def _array(value: Any) -> NDArray[Any]:
    """The value as an array; one of objects, (), for rows of different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        return np.array(None, dtype=object)


def checked_seed(seed: Any) -> int | None:
    """The seed of a VecEnv, to which SB3 adds the index of a world; UserError if it is invalid."""
    return None if seed is None else whole_number("seed", seed, 0, LAST_SEED)


def one_seed(seed: Any) -> int | None:
    """The seed of a reset; UserError if it is invalid, or a list: all worlds share one."""
    if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str):
        raise UserError(
            f"seed is {brief(seed)}; allowed: one whole number; with the number of an episode it "
            "decides what is drawn"
        )
    return None if seed is None else whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
