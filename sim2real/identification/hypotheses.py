"""Faults of a log that a replay shows: wrong units, reversed axes, a clock offset.

Each fault is a hypothesis: the log without it. What a hypothesis would repair is replayed, and the
one with which the nominal world predicts the log far better than without is named. Then the next
is looked for, until none helps. What a hypothesis on units or clocks repairs must be predicted
better than by straight lines, too: in a log whose readings are made larger, speeds count more and
forces less, until any world predicts it as well as straight lines do. A reversed sign leaves all
sizes as they are.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.errors import UserError
from sim2real.identification.checks import Finding
from sim2real.identification.known import with_known
from sim2real.identification.log import Log
from sim2real.identification.predictions import errors, predictions, relative
from sim2real.identification.replay import Replay
from sim2real.identification.states import STARTS, linearized
from sim2real.identification.windows import channels_of, cut
from sim2real.task import Array, BoolArray, IntArray

STEPS, ROWS = 8, 240
"""Control steps of the windows, and rows of the log that are looked at, at most."""
DEGREES = 180 / np.pi
SUSPICIOUS = 0.6
"""Share of its change by which some channel must be missed before anything is suspected."""
BETTER = 0.6
"""What a hypothesis must leave of the error, at most."""
MOST_FAULTS = 3
REVERSED = "reversed"
"""The name of the check for reversed signs."""
EARLY, LATE, USUAL = 4, 10, 4
"""Control steps by which the clocks are shifted: commands given too late in the log, too early,
and the delay that a robot may have."""


@dataclass(frozen=True)
class Hypothesis:
    """A fault, the remedy in one line, and the log without it."""

    finding: Finding
    repaired: Log


@dataclass(frozen=True)
class _Errors:
    """How far each channel that is used is missed, as a share of its change, at most 2, (k,).

    By the replay, and by straight lines through the first two readings of a window.
    """

    replayed: Array
    straight: Array

    @property
    def total(self) -> float:
        """The mean of all channels; infinite where the log is too short."""
        return float(self.replayed.mean()) if len(self.replayed) else np.inf


def _repairs(before: _Errors, after: _Errors, hypothesis: Hypothesis) -> bool:
    """Whether the errors are far smaller with the hypothesis, and less than those of lines."""
    if after.total > BETTER * before.total:
        return False
    better = after.replayed < before.replayed
    beats_lines = after.replayed[better].mean() < after.straight[better].mean()
    return bool(beats_lines) or hypothesis.finding.check == REVERSED


def faults(
    log: Log, replay: Replay, known: Mapping[str, float] | None = None
) -> tuple[Finding, ...]:
    """The faults of a log, as far as the world of the `replay` shows them.

    `known` has the values of unknowns that are known of the log.
    """
    found: list[Finding] = []
    part = shortened(log)
    judged = functools.partial(_errors, replay, known or {})
    searches = _searches(part, judged)
    now = judged(part, searches)
    while len(found) < MOST_FAULTS and now.replayed.max(initial=0.0) > SUSPICIOUS:
        tried = [(judged(one.repaired, searches), one) for one in hypotheses(part, replay)]
        repairing = [pair for pair in tried if _repairs(now, *pair)]
        if not repairing:
            break
        now, best = min(repairing, key=lambda pair: pair[0].total)
        found += [best.finding] if best.finding.message else []
        part = best.repaired
    return tuple(found)


def _searches(log: Log, judged: Callable[[Log, int], _Errors]) -> int:
    """Starts of the search for states: one, unless several see far more of this log."""
    one, several = (judged(log, count).total for count in (1, STARTS))
    return 1 if one <= 1 / BETTER * several else STARTS


def shortened(log: Log) -> Log:
    """The first ROWS rows of a log, in whole windows."""
    kept, count = [], 0
    for index, rows in enumerate(log.episodes):
        if count < ROWS:
            kept.append(index)
            count += rows.stop - rows.start
    part = log.take(kept)
    last = part.episodes[-1]
    end = max(last.start + 2, min(len(part), ROWS))
    return _changed(part, slice(0, end))


def _changed(log: Log, rows: slice) -> Log:
    return dataclasses.replace(
        log,
        times=log.times[rows],
        commands=log.commands[rows],
        observations={name: one[rows] for name, one in log.observations.items()},
        extras={},
        units={name: one for name, one in log.units.items() if name in log.observations},
    )


def _errors(replay: Replay, known: Mapping[str, float], log: Log, searches: int) -> _Errors:
    """The errors of a log in the world of the `replay`; empty ones of a log that is too short."""
    channels = channels_of(log, replay)
    try:
        windows = with_known(cut(log, replay, channels, STEPS, searches), known)
    except UserError:  # too short
        return _Errors(np.zeros(0), np.zeros(0))
    found = []
    for shown in (predictions(replay, windows), _lines(windows.observations)):
        missed, changed = errors(windows, shown, channels)
        shares = relative(missed, changed, channels.scale[channels.used])[1:]
        found.append(np.minimum(shares, 2.0).mean(axis=0))
    return _Errors(*found)


def _lines(readings: Array) -> Array:
    """Straight lines through the first two rows of readings (w, rows, k)."""
    rows = np.arange(readings.shape[1])[:, None]
    lines: Array = readings[:, :1] + rows * (readings[:, 1:2] - readings[:, :1])
    return lines


def hypotheses(log: Log, replay: Replay) -> Iterator[Hypothesis]:
    """All logs that are looked at instead of a log."""
    yield from _units(log, replay)
    yield from _reversed(log, replay)
    yield from _shifted(log, replay.dt)


def _units(log: Log, replay: Replay) -> Iterator[Hypothesis]:
    angular = _is_angular(replay)
    several = [
        [term.name]
        for term in replay.sensed
        if term.name in log.observations and angular[term.name].any() and not term.commanded
    ]
    several += [[name for (name,) in several]] if len(several) > 1 else []
    for names, (factor, is_in, should, remedy) in itertools.product(several, _ANGLES):
        message = f"seems to be in {is_in}, where the task has {should}: a factor of 57.3; {remedy}"
        scaled = {
            name: log.observations[name] * np.where(angular[name], factor, 1.0) for name in names
        }
        yield Hypothesis(Finding("unit", " and ".join(names), message), _with(log, scaled))
    for factor, is_in, should, remedy in _ANGLES:
        message = f"seem to be in {is_in}, where the actuators have {should}: a factor of 57.3"
        yield Hypothesis(
            Finding("unit", "commands", f"{message}; {remedy}"),
            dataclasses.replace(log, commands=factor * log.commands),
        )


_ANGLES = (
    (1 / DEGREES, "degrees", "radians", "give `unit: deg` (or deg/s) in the mapping"),
    (DEGREES, "radians", "degrees", "give `scale: 57.3` in the mapping"),
)


def _is_angular(replay: Replay) -> dict[str, BoolArray]:
    """Which columns of each term are not those of a slide joint alone."""
    joints = _joints(replay)
    kinds = replay.model.jnt_type[replay.model.dof_jntid[np.maximum(joints, 0)]]
    angular = (joints < 0) | (kinds != mujoco.mjtJoint.mjJNT_SLIDE)
    ends = np.cumsum([term.size for term in replay.sensed])[:-1]
    parts = np.split(angular, ends)
    return {term.name: part for term, part in zip(replay.sensed, parts, strict=True)}


def _with(log: Log, observations: Mapping[str, Array]) -> Log:
    return dataclasses.replace(log, observations={**log.observations, **observations})


def _reversed(log: Log, replay: Replay) -> Iterator[Hypothesis]:
    remedy = "`sign: -1` in the mapping"
    if len(log.actuators) > 1:
        yield Hypothesis(
            Finding(REVERSED, "commands", f"all seem to be reversed; give each {remedy}"),
            dataclasses.replace(log, commands=-log.commands),
        )
    for index, name in enumerate(log.actuators):
        commands = log.commands * np.where(np.arange(len(log.actuators)) == index, -1.0, 1.0)
        yield Hypothesis(
            Finding(REVERSED, f"command of {name}", f"seems to be reversed; give it {remedy}"),
            dataclasses.replace(log, commands=commands),
        )
    for columns in _groups(log, replay):
        names = [f"{term}[{index}]" for term, index in columns]
        them = "it" if len(names) == 1 else "each"
        verb = "seems" if len(names) == 1 else "seem"
        yield Hypothesis(
            Finding(REVERSED, " and ".join(names), f"{verb} to be reversed; give {them} {remedy}"),
            _with(log, _flipped(log, columns)),
        )


Places = list[tuple[str, int]]


def _flipped(log: Log, columns: Places) -> dict[str, Array]:
    found = {term: log.observations[term].copy() for term, _ in columns}
    for term, index in columns:
        found[term][:, index] *= -1.0
    return found


def _groups(log: Log, replay: Replay) -> list[Places]:
    """Channels that may be reversed: each alone, and those that show the same joint."""
    places = [
        (term.name, index)
        for term in replay.sensed
        if not term.commanded and term.name in log.observations
        for index in range(term.size)
    ]
    alone: list[Places] = [[one] for one in places]
    joints, columns = _joints(replay), _names(replay)
    together = [
        [place for place in places if joints[columns.index(place)] == joint]
        for joint in sorted({int(one) for one in joints if one >= 0})
    ]
    return alone + [one for one in together if len(one) > 1]


def _names(replay: Replay) -> list[tuple[str, int]]:
    return [(term.name, index) for term in replay.sensed for index in range(term.size)]


def _joints(replay: Replay) -> IntArray:
    """The degree of freedom that each channel shows alone, (k,), or -1."""
    model = replay.model
    memory = {name: np.zeros((1, size)) for name, size in replay.task.memory.items()}
    qpos, qvel = model.qpos0[None].copy(), np.zeros((1, model.nv))
    slopes = np.abs(linearized(replay, qpos, qvel, memory)[1][0])
    by_joint = slopes[:, : model.nv] + slopes[:, model.nv :]
    alone = (by_joint > 1e-6).sum(axis=1) == 1
    return np.where(alone, by_joint.argmax(axis=1), -1)


def _shifted(log: Log, dt: float) -> Iterator[Hypothesis]:
    """Logs whose commands are given earlier or later by whole steps."""
    for steps in [*range(-EARLY, 0), *range(1, LATE + 1)]:
        shifted = _later(log, steps)
        if shifted is None:
            continue
        when = "before they are given" if steps < 0 else f"{steps} steps after they are given"
        message = (
            f"show in the observations {when} ({steps * dt * 1e3:+.3g} ms): the clocks of commands "
            "and observations differ; shift one of them"
        )
        shown = message if steps < 0 or steps > USUAL else ""  # a robot may have a delay
        yield Hypothesis(Finding("clock", "commands", shown), shifted)


def _later(log: Log, steps: int) -> Log | None:
    """The log with the commands `steps` later, of the episodes that are long enough."""
    pieces = [rows for rows in log.episodes if rows.stop - rows.start > abs(steps) + STEPS + 2]
    if not pieces:
        return None
    late, early = max(steps, 0), max(-steps, 0)
    observed = [np.arange(rows.start + late, rows.stop - early) for rows in pieces]
    rows = np.concatenate(observed)
    lengths = [len(one) for one in observed]
    return dataclasses.replace(
        log,
        times=log.times[rows],
        commands=log.commands[rows - steps],
        observations={name: one[rows] for name, one in log.observations.items()},
        starts=np.cumsum([0, *lengths[:-1]]),
        terminated=None,
        extras={},
    )
