"""Find numbers that are not finite, and report their origin.

Where the physics diverges from a finite state, the episode ends as unstable. Where a task, a domain
or a caller gives such a number, UserError names the world, the term and the control step. The check
of a step is one `np.isfinite` over all worlds; only where it fails is the number searched for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sim2real.errors import UserError
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray

FAR = 1e6
"""An action that is more than so many ranges from the middle of its space is named as the cause."""


class NotFiniteError(UserError):
    """A number that is not finite, with its origin; `world` is the index of its world, if known."""

    def __init__(self, message: str, world: int | None = None) -> None:
        super().__init__(message)
        self.world = world


@contextlib.contextmanager
def naming_far_actions(
    action: NDArray[Any], space: spaces.Box, active: BoolArray | None
) -> Iterator[None]:
    """Name the first action (n, nu) that lies far outside its `space`, where a step of `active`
    worlds gives a number that is not finite."""
    try:
        yield
    except NotFiniteError as error:
        low, high = space.low.astype(float), space.high.astype(float)
        with np.errstate(over="ignore"):
            far = np.abs(action - (low + high) / 2) > FAR * (high - low)
        far &= True if active is None else active[:, None]
        for world, index in np.argwhere(far)[:1]:
            raise NotFiniteError(
                f"action {index} of world {world} is {action[world, index]:g}, far outside "
                f"[{low[index]:g}, {high[index]:g}]; with it {error}",
                int(world),
            ) from None
        raise


def finite(*parts: NDArray[Any]) -> bool:
    """Whether all numbers of all parts are finite."""
    return all(bool(np.isfinite(part).all()) for part in parts)


def sound_worlds(world: Worlds, unstable: BoolArray, active: BoolArray | None) -> BoolArray:
    """The `active` worlds whose physics is finite, (n,); those where it is not join `unstable`."""
    unsound = world.unsound()
    unstable |= unsound if active is None else unsound & active
    return ~unstable if active is None else active & ~unstable


def check_columns(
    author: str,
    labels: Sequence[str],
    values: NDArray[Any],
    world: Worlds,
    sound: BoolArray,
    ids: IntArray,
) -> None:
    """UserError for the first of the `values` (m, k) that is not finite where it is `sound`, (m,).

    The rows are the worlds `ids`, the `labels` name the columns.
    """
    for row, column in np.argwhere(~np.isfinite(values) & sound[:, None])[:1]:
        raise not_finite(f"{author}: {labels[column]}", values[row, column], world, ids[row])


def check_reward(
    author: str,
    terms: Mapping[str, Array],
    world: Worlds,
    unstable: BoolArray,
    active: BoolArray | None,
) -> None:
    """UserError for the first reward term, (n,), that is not finite although the physics is.

    Or for their sum, where that is not. Worlds whose physics is not finite join the `unstable`,
    (n,).
    """
    values = np.stack(list(terms.values()), axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(axis=1, dtype=np.float64)
    if finite(total):
        return
    sound = sound_worlds(world, unstable, active)
    values = np.column_stack([values, total])
    check_columns(author, [*terms, "the sum"], values, world, sound, np.arange(len(sound)))


def check_names(task: str, terms: Mapping[str, Array], names: Sequence[str]) -> None:
    """UserError unless the reward's terms have the `names` that they had at the start."""
    if tuple(terms) != tuple(names):
        raise UserError(
            f"task {task!r}: reward: the terms are {list(terms)}, at the start they were "
            f"{list(names)}; allowed: the same terms at every step"
        )


def check_returns(task: str, total: Array) -> None:
    """UserError unless the returns (n,) so far are finite."""
    for world in np.flatnonzero(~np.isfinite(total))[:1].tolist():
        raise NotFiniteError(
            f"task {task!r}: reward: its sum over an episode of world {world} is not finite; "
            "allowed: rewards whose sum stays below 1e308",
            world,
        )


def check_written(
    task: str, domain: str, commanded: NDArray[Any], world: Worlds, active: BoolArray | None
) -> None:
    """UserError for the first number of an `active` world's state that is not finite before a step.

    `commanded` (n, nu) is what the task asked of the actuators, `world.ctrl` what the domain's
    imperfections made of it.
    """
    bad = world.not_finite()
    if not bad.any():
        return
    bad &= True if active is None else active[:, None]
    for one, column in np.argwhere(bad)[:1]:
        field, place, value = world.state_number(one, column)
        if field != "ctrl":
            what = f"{field}[{place}], written by the task's control, a disturbance or the caller,"
            raise not_finite(what, value, world, one)
        by_task = not np.isfinite(commanded[one, place])
        author = f"task {task!r}: control" if by_task else f"domain {domain!r}: actuation"
        actuator = world.model.actuator(place).name or f"#{place}"
        raise not_finite(f"{author}: the command of {actuator}", value, world, one)


def check_start(author: str, world: Worlds, ids: IntArray) -> None:
    """UserError for a state, written by `author` into the worlds `ids`, that MuJoCo refuses."""
    for row, column in np.argwhere(world.refused()[ids])[:1]:
        field, place, value = world.state_number(ids[row], column)
        raise UserError(
            f"{author}: {field}[{place}] of world {ids[row]} is {value:g}; allowed: finite "
            "numbers, positions and velocities within 1e10"
        )


def not_finite(what: str, value: float, world: Worlds, one: int) -> NotFiniteError:
    """The error for a `value` of a world at its present control step."""
    step = int(world.steps[one])
    told = f"{what} is {value:g} in world {one} at step {step}; it must be finite"
    return NotFiniteError(told, int(one))
