"""Parts of the motion, and the size of the residuals in each: where a fit misses most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.identification.problem import Fit, Problem
from sim2real.identification.replay import Windows
from sim2real.identification.windows import Channels
from sim2real.task import Array, BoolArray, IntArray

THIRD = 1.0 / 3.0
FEWEST = 0.03
"""Share of the steps that a part of a motion needs at least, to be judged alone."""
CLEAR = 1.25
"""Residual, as a multiple of that over all steps, from which the worst part is reported."""


@dataclass(frozen=True)
class Part:
    """A part of the motion, and its share of the steps.

    `residual` (k,) is the root mean square of the residuals in it, as a share of a channel's change
    in a step.
    """

    name: str
    share: float
    residual: Array


def parts_of(problem: Problem, fit: Fit, starts: IntArray) -> tuple[Part, ...]:
    """All steps, and the parts of them that are long enough; `starts`: rows of the episodes.

    The last of the `starts` is the number of rows.
    """
    residuals = fit.residuals[:, 1:]
    parts = [Part("all steps", 1.0, size(residuals, (0, 1)))]
    for name, steps in _parts(problem, fit, starts):
        if FEWEST < steps.mean() < 1 - FEWEST:
            parts.append(Part(name, float(steps.mean()), size(residuals[steps], (0,))))
    return tuple(parts)


def worst(parts: Sequence[Part], channels: BoolArray) -> tuple[str, ...]:
    """In which part some `channels` (k,) are explained worst, in words, if this is clear."""
    whole, *others = parts
    ratios = [
        float(np.median((one.residual / np.maximum(whole.residual, 1e-12))[channels]))
        for one in others
    ]
    best = int(np.argmax(ratios)) if ratios else 0
    if not ratios or ratios[best] < CLEAR:
        return ()
    part = others[best]
    return (
        f"what is not explained is largest in this part of the motion: {part.name} "
        f"({part.share:.0%} of the steps), {ratios[best]:.1f} times the residual of all steps",
    )


def size(values: Array, axes: tuple[int, ...]) -> Array:
    """The root mean square along some axes."""
    found: Array = np.sqrt(np.mean(values**2, axis=axes))
    return found


def _parts(problem: Problem, fit: Fit, starts: IntArray) -> Iterator[tuple[str, BoolArray]]:
    """Parts of the motion by name, each as the steps that belong to it, (w, steps)."""
    windows = problem.windows
    yield from _by_speed(windows, problem.channels)
    yield from _by_command(windows)
    yield from _by_contact(_contacts(problem, fit))
    yield from _by_place(windows, starts)


def _by_speed(windows: Windows, channels: Channels) -> Iterator[tuple[str, BoolArray]]:
    used = channels.used
    changes = np.diff(windows.observations[:, :, used], axis=1) / channels.scale[used]
    speed = size(changes, (2,))
    yield "slowest third", speed <= np.quantile(speed, THIRD)
    yield "fastest third", speed >= np.quantile(speed, 1 - THIRD)


def _by_command(windows: Windows) -> Iterator[tuple[str, BoolArray]]:
    commands = windows.commands[:, windows.before :]
    large = np.abs(commands / np.maximum(np.abs(commands).max(axis=(0, 1)), 1e-12)).mean(axis=2)
    yield "smallest commands", large <= np.quantile(large, THIRD)
    yield "largest commands", large >= np.quantile(large, 1 - THIRD)
    earlier = windows.commands[:, windows.before - 1 : -1]
    turns: BoolArray = np.any(np.sign(commands) * np.sign(earlier) < 0, axis=2)
    yield "a command turns", turns


def _contacts(problem: Problem, fit: Fit) -> Array:
    """The number of contacts in the replays of a fit, (w, steps + 1); NaN where one is lost."""
    count, replay = len(problem.windows), problem.replay
    shares = np.tile(fit.shares, (count, 1))
    choice = np.arange(count)

    def read(ids: IntArray) -> Array:
        return np.asarray(replay.ncon[ids, None], dtype=np.float64)

    return replay.run(shares, problem.windows, choice, fit.offsets, read)[:, :, 0]


def _by_contact(contacts: Array) -> Iterator[tuple[str, BoolArray]]:
    before, after = contacts[:, :-1], contacts[:, 1:]
    yield "no contact", (before == 0) & (after == 0)
    yield "steady contact", (before > 0) & (before == after)
    yield "contacts change", (before != after) & np.isfinite(after)


def _by_place(windows: Windows, starts: IntArray) -> Iterator[tuple[str, BoolArray]]:
    rows = windows.first[:, None] + np.arange(windows.steps)
    episode = np.searchsorted(starts, rows, side="right") - 1
    place = (rows - starts[episode]) / np.diff(starts)[episode]
    yield "start of an episode", place < THIRD
    yield "end of an episode", place >= 1 - THIRD
