"""A log cut into windows, each with the state at its start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim2real.errors import UserError, unknown
from sim2real.identification.log import Log
from sim2real.identification.record import actuator_names
from sim2real.identification.replay import Replay, Windows
from sim2real.identification.resample import Resampled, resample
from sim2real.identification.states import STARTS, States, estimate, with_differences
from sim2real.task import Array, BoolArray, IntArray, labels

FEWEST = 4
"""Windows, at least."""


@dataclass(frozen=True)
class Channels:
    """The k numbers of a reading, as the log has them.

    `scale` (k,) is the root mean square of their changes in one step, at which they are compared;
    `used` (k,): neither commanded nor without any change.
    """

    names: tuple[str, ...]
    scale: Array
    used: BoolArray

    @property
    def dead(self) -> tuple[str, ...]:
        """Sensor channels that never change."""
        return tuple(name for name, scale in zip(self.names, self.scale, strict=True) if scale == 0)


def check_log(log: Log, replay: Replay) -> None:
    """UserError unless the `log` is of the task: its actuators and terms."""
    task = replay.task
    expected = actuator_names(task)
    if log.actuators != expected:
        raise UserError(
            f"the log commands {', '.join(log.actuators)}; task {task.name!r} has "
            f"{', '.join(expected)}"
        )
    for term in replay.sensed:
        if term.name not in log.observations and not term.commanded:
            raise UserError(
                f"the log does not have {term.name!r}, which task {task.name!r} observes; it has "
                f"{', '.join(log.observations)}"
            )
    for name, values in log.observations.items():
        sizes = {term.name: term.size for term in replay.sensed}
        if name not in sizes:
            raise unknown(f"observation of task {task.name!r}", name, sizes)
        if values.shape[1] != sizes[name]:
            raise UserError(
                f"the log has {values.shape[1]} numbers of {name!r}; task {task.name!r} has "
                f"{sizes[name]}"
            )


def at_control_step(log: Log, replay: Replay) -> Resampled:
    """The log of the task at its control step; UserError for another robot's, or another rate."""
    check_log(log, replay)
    held = [term.name for term in replay.sensed if term.commanded]
    return resample(log, replay.dt, held)


def readings_of(log: Log, replay: Replay) -> Array:
    """The readings of a log, (rows, k), in the order of the task.

    A commanded term may be absent.
    """
    absent = {t.name: np.zeros((len(log), t.size)) for t in replay.sensed}
    terms = absent | dict(log.observations)
    return np.concatenate([terms[term.name] for term in replay.sensed], axis=1)


def channels_of(log: Log, replay: Replay) -> Channels:
    """What the log has of each number of a reading."""
    readings = readings_of(log, replay)
    changes = np.concatenate([np.diff(readings[rows], axis=0) for rows in log.episodes])
    scale = np.sqrt(np.mean(changes**2, axis=0))
    sensed = np.concatenate([np.full(t.size, not t.commanded) for t in replay.sensed])
    return Channels(tuple(labels(replay.sensed)), scale, sensed & (scale > 0))


def starts_of(log: Log, steps: int, before: int) -> IntArray:
    """The rows where windows of `steps` begin, one behind the other, `before` rows into episodes.

    The row before a start is there, too. Raises UserError for a log that is too short.
    """
    first = max(before, 1)
    found = [
        np.arange(rows.start + first, rows.stop - steps, steps, dtype=np.int64)
        for rows in log.episodes
    ]
    starts = np.concatenate(found)
    if len(starts) < FEWEST:
        raise UserError(
            f"the log has {len(starts)} windows of {steps} steps; allowed: {FEWEST} or more, so "
            "longer episodes or shorter windows"
        )
    return starts


def cut(
    log: Log, replay: Replay, channels: Channels, steps: int, searches: int = STARTS
) -> Windows:
    """All windows of `steps` control steps, with states estimated from the readings alone.

    Each is searched for from up to that many starts.
    """
    before = replay.rows_before
    starts = starts_of(log, steps, before)
    rows = starts[:, None] + np.arange(-before, steps + 1)
    readings = readings_of(log, replay)
    memory = {
        term.name: log.observations[term.name]
        for term in replay.sensed
        if replay.task.memory.get(term.name) == term.size and term.name in log.observations
    }

    def states(at: IntArray) -> States:
        kept = {name: values[at] for name, values in memory.items()}
        return estimate(replay, readings[at], kept, scale, channels.used, searches)

    scale = np.where(channels.used, channels.scale, 1.0)
    found = states(starts)
    if not found.seen[replay.model.nv :].all():
        seconds = log.times[starts + 1] - log.times[starts - 1]
        found = with_differences(replay, states(starts - 1), found, states(starts + 1), seconds)
    return Windows(
        commands=log.commands[rows[:, :-1]],
        observations=readings[rows[:, before:]],
        qpos=found.qpos,
        qvel=found.qvel,
        memory={name: values[rows] for name, values in memory.items()},
        first=starts,
        before=before,
    )
