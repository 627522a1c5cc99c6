"""Named checks of a log by itself: each finding is one line with the channel and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sim2real.identification.log import Log
from sim2real.task import Array, BoolArray

STUCK = 0.05
"""Share of the rows at the largest or smallest value from which a channel counts as saturated."""
RUN, VISITS = 3, 2
"""Rows in sequence at that value, and separate visits to it, at least: a robot at rest has one."""
DISTINCT = 20
"""Values of a channel that is not one of a few states, at least."""
TURN = 0.15
"""How close to a full turn a jump must be, as a share."""
RARE = 0.2
"""Share of the steps that are such jumps, at most."""


@dataclass(frozen=True)
class Finding:
    """What a check found: its name, the channel, and what is wrong with the remedy in one line."""

    check: str
    channel: str
    message: str

    def __str__(self) -> str:
        return f"{self.channel}: {self.message}"


def channels(log: Log) -> Iterator[tuple[str, Array]]:
    """Every column of a log with its name, "command of hip" or "position[1]"."""
    for name, values in zip(log.actuators, log.commands.T, strict=True):
        yield f"command of {name}", values
    for term, columns in log.observations.items():
        for index, values in enumerate(columns.T):
            yield f"{term}[{index}]", values


def constant(log: Log) -> Iterator[Finding]:
    """Channels that never change."""
    for name, values in channels(log):
        if np.ptp(values) == 0:
            cause = "no part of the robot" if name.startswith("command") else "a dead sensor"
            yield Finding(
                "constant",
                name,
                f"never changes ({values[0]:.4g}): {cause}, or the wrong column; leave it out, or "
                "record a log in which it moves",
            )


def saturated(log: Log) -> Iterator[Finding]:
    """Sensors that stay at the end of their range."""
    for name, values in channels(log):
        if name.startswith("command") or len(np.unique(values)) < DISTINCT:
            continue
        for side, end in (("largest", values.max()), ("smallest", values.min())):
            at = values == end
            if at.mean() > STUCK and _visits(at) >= VISITS:
                yield Finding(
                    "saturated",
                    name,
                    f"is at its {side} value {end:.4g} in {at.mean():.0%} of the rows: saturated, "
                    "at rest, or at an end stop; move less, or choose a wider range of the sensor",
                )


def _visits(at: BoolArray) -> int:
    """How often RUN rows in sequence, or more, are at a value."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], at, [False]])))
    return int(((edges[1::2] - edges[::2]) >= RUN).sum())


def wrapped(log: Log) -> Iterator[Finding]:
    """Angles that jump by a full turn."""
    for name, values in channels(log):
        steps = np.concatenate([np.diff(values[rows]) for rows in log.episodes])
        for turn, unit in ((2 * np.pi, "2 pi"), (360.0, "360")):
            jumps = np.abs(np.abs(steps) / turn - 1) < TURN
            if jumps.any() and jumps.mean() < RARE and np.median(np.abs(steps)) < turn / 4:
                yield Finding(
                    "wrapped",
                    name,
                    f"jumps by {unit} in {int(jumps.sum())} rows: an angle that is wrapped; unwrap "
                    "it (numpy.unwrap) before it is read",
                )


CHECKS: dict[str, Callable[[Log], Iterator[Finding]]] = {
    "constant": constant,
    "saturated": saturated,
    "wrapped": wrapped,
}
"""What a log is checked for by itself; what no log may have (numbers that are not finite, times
that run backwards, short episodes) is refused when it is read."""


def check_log_alone(log: Log) -> tuple[Finding, ...]:
    """What the checks find in a log by itself."""
    return tuple(finding for check in CHECKS.values() for finding in check(log))
