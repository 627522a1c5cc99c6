"""A log: time-stamped commands and observations of a target, simulated or real."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import ArrayLike

from sim2real import files
from sim2real.errors import UserError, brief
from sim2real.identification.formats.appended import SUFFIX
from sim2real.identification.formats.csv import DELIMITERS, write_csv
from sim2real.identification.formats.mapping import LogMapping
from sim2real.identification.formats.read import KNOWN, check_name, is_foreign, read_parts
from sim2real.identification.formats.rows import Parts
from sim2real.world import Array, BoolArray, IntArray

FORMAT = "sim2real.log"
"""The key of the metadata in a file of `Log.save`."""
OBSERVATIONS, EXTRAS = "observations/", "extras/"
EVEN = 0.01
"""Largest difference of a step from the control step, as a share, at which a log is even."""
SHORTEST = 2
"""Rows of an episode, at least: one command, and what was observed before and after it."""


@dataclass(frozen=True, eq=False)
class Log:
    """Commands and observations of one or more episodes, row after row.

    Row k of an episode is at `times[k]`: what was observed then, and the command that was given
    then and held until the next row. So an episode of m commands has m + 1 rows; the command of its
    last row has no effect in the log.

    Shapes, for n rows, m episodes: `times` (n,) in s, increasing within an episode; `commands`
    (n, nu) as the actuators get them, in the order of `actuators`; `observations` and `extras`
    (poses, torques, what else was recorded) (n, k) by name, with `units` by name; `starts` (m,),
    the first row of each episode; `terminated` (m,), whether an episode ended by itself (a fall)
    and not by a time limit or the end of the recording. `control_dt` is the control step in s.

    Raises UserError for arrays of different lengths, numbers that are not finite, times that do
    not increase, and episodes of fewer than two rows.
    """

    times: Array
    commands: Array
    actuators: tuple[str, ...]
    observations: Mapping[str, Array]
    control_dt: float
    starts: IntArray = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    terminated: BoolArray | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    extras: Mapping[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._set(
            times=_numbers("times", self.times, 1),
            commands=_numbers("commands", self.commands, 2),
            observations=_columns("observation", self.observations),
            extras=_columns("extra", self.extras),
            actuators=tuple(self.actuators),
            units=dict(self.units),
            starts=_starts(self.starts, len(np.atleast_1d(self.times))),
        )
        _check_lengths(self)
        _check_names(self)
        _check_times(self)
        given = np.zeros(len(self.starts)) if self.terminated is None else self.terminated
        self._set(terminated=_marks(given, len(self.starts)))

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        terms = ", ".join(f"{name} ({one.shape[1]})" for name, one in self.observations.items())
        return f"Log({self.steps} steps in {len(self.starts)} episodes, observed {terms})"

    @property
    def steps(self) -> int:
        """Control steps in all episodes."""
        return len(self) - len(self.starts)

    @property
    def episodes(self) -> tuple[slice, ...]:
        """The rows of each episode."""
        ends = [*self.starts[1:].tolist(), len(self)]
        return tuple(slice(a, b) for a, b in zip(self.starts.tolist(), ends, strict=True))

    def take(self, episodes: ArrayLike) -> Log:
        """The log of some episodes alone, by their indices; UserError for an unknown index."""
        chosen = np.atleast_1d(np.asarray(episodes, dtype=np.int64))
        if not len(chosen) or chosen.min() < 0 or chosen.max() >= len(self.starts):
            raise UserError(f"episodes {brief(episodes)}; allowed: 0 to {len(self.starts) - 1}")
        slices = [self.episodes[index] for index in chosen]
        rows = np.concatenate([np.arange(len(self))[one] for one in slices])
        lengths = [one.stop - one.start for one in slices]
        assert self.terminated is not None
        return Log(
            times=self.times[rows],
            commands=self.commands[rows],
            actuators=self.actuators,
            observations={name: one[rows] for name, one in self.observations.items()},
            control_dt=self.control_dt,
            starts=np.cumsum([0, *lengths[:-1]]),
            terminated=self.terminated[chosen],
            units=self.units,
            extras={name: one[rows] for name, one in self.extras.items()},
        )

    @property
    def digest(self) -> str:
        """The hexadecimal SHA-256 of all that the log has."""
        return hashlib.sha256(self._packed()).hexdigest()

    def save(self, path: Path | str) -> None:
        """Write one safetensors file, whole or not at all; `Log.load` reads it.

        A path that ends in .csv or .tsv becomes a table, with its mapping beside it. Raises
        UserError for one that would be read as another format.
        """
        place = files.user_path(path)
        check_name(place)
        if place.suffix.lower() in DELIMITERS:
            write_csv(place, Parts(**vars(self)))
        else:
            files.write_bytes(place, self._packed())

    def _packed(self) -> bytes:
        """The bytes of its file."""
        tensors: dict[str, np.ndarray[Any, Any]] = {
            "times": self.times,
            "commands": self.commands,
            "starts": self.starts,
            "terminated": np.asarray(self.terminated),
        }
        tensors |= {f"{OBSERVATIONS}{name}": one for name, one in self.observations.items()}
        tensors |= {f"{EXTRAS}{name}": one for name, one in self.extras.items()}
        about = {
            "actuators": self.actuators,
            "control_dt": self.control_dt,
            "units": self.units,
            "terms": list(self.observations),
            "extras": list(self.extras),
        }
        whole = {name: np.ascontiguousarray(one) for name, one in tensors.items()}
        return safetensors.numpy.save(whole, metadata={FORMAT: json.dumps(about)})

    @classmethod
    def load(
        cls, path: Path | str, mapping: LogMapping | Mapping[str, Any] | Path | str | None = None
    ) -> Log:
        """The log in a file of `save`, or in one of another format (`formats.FORMATS`).

        The `mapping`, a LogMapping, its values or its YAML file, says which column is what. Nothing
        in a file is executed, and nothing is read that would not fit in memory. Raises UserError
        for a file that is missing, damaged or of an unknown format, and what the Log raises.
        """
        place = files.user_path(path)
        if not place.exists():
            left = place.with_name(place.name + SUFFIX)
            if left.exists():
                raise UserError(
                    f"{place} does not exist; {left} is left from a process that was killed"
                )
            raise files.absent(place)
        if mapping is not None or is_foreign(place):
            return cls(**vars(read_parts(place, mapping)))
        try:
            with safetensors.safe_open(place, "numpy") as file:
                about = json.loads((file.metadata() or {})[FORMAT])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return cls._of(about, tensors)
        except UserError as error:
            raise UserError(f"{place}: {error}") from None
        except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{place} is no log, or it is damaged: {brief(str(error))}"
            raise UserError(f"{problem}; allowed: {KNOWN}") from None

    @classmethod
    def _of(cls, about: Any, tensors: Mapping[str, Any]) -> Log:
        return cls(
            times=tensors["times"],
            commands=tensors["commands"],
            actuators=tuple(about["actuators"]),
            observations={name: tensors[f"{OBSERVATIONS}{name}"] for name in about["terms"]},
            control_dt=about["control_dt"],
            starts=tensors["starts"],
            terminated=tensors["terminated"],
            units=about["units"],
            extras={name: tensors[f"{EXTRAS}{name}"] for name in about["extras"]},
        )


def join(logs: Sequence[Log]) -> Log:
    """One log with the episodes of several, which have the same terms, actuators and rate."""
    first, *others = logs
    for other in others:
        for name in ("actuators", "control_dt", "units"):
            if getattr(first, name) != getattr(other, name):
                given = f"{brief(getattr(first, name))} and {brief(getattr(other, name))}"
                raise UserError(f"logs: {name} are {given}; allowed: the same in all")
    lengths = np.cumsum([0, *(len(log) for log in logs[:-1])])

    def columns(kind: str) -> dict[str, Array]:
        several = [getattr(log, kind) for log in logs]
        if any(one.keys() != several[0].keys() for one in several):
            raise UserError(f"logs: their {kind} have different names; allowed: the same in all")
        return {name: np.concatenate([one[name] for one in several]) for name in several[0]}

    return Log(
        times=np.concatenate([log.times for log in logs]),
        commands=np.concatenate([log.commands for log in logs]),
        actuators=first.actuators,
        observations=columns("observations"),
        control_dt=first.control_dt,
        starts=np.concatenate([log.starts + at for log, at in zip(logs, lengths, strict=True)]),
        terminated=np.concatenate([np.asarray(log.terminated) for log in logs]),
        units=first.units,
        extras=columns("extras"),
    )


def _numbers(name: str, values: ArrayLike, ndim: int) -> Array:
    """Finite numbers with `ndim` dimensions, as a read-only copy."""
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise UserError(f"log: {name} must be numbers, got {brief(values)}") from None
    if array.ndim != ndim:
        shape = "(n,)" if ndim == 1 else "(n, k)"
        raise UserError(f"log: {name} must be {shape}, got {array.shape}")
    wrong = np.argwhere(~np.isfinite(array))
    if len(wrong):
        place = tuple(wrong[0].tolist())
        where = ", ".join(map(str, place))
        raise UserError(f"log: {name}[{where}] is {array[place]}; allowed: finite numbers")
    array.flags.writeable = False
    return array


def _columns(kind: str, values: Mapping[str, ArrayLike]) -> dict[str, Array]:
    if not isinstance(values, Mapping):
        raise UserError(f"log: {kind}s must be arrays by name, got {brief(values)}")
    return {str(name): _numbers(f"{kind} {name!r}", one, 2) for name, one in values.items()}


def _starts(starts: ArrayLike, rows: int) -> IntArray:
    """The first rows of the episodes; UserError unless they cut the rows into long enough parts."""
    array = np.array(starts)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not len(array) or array[0] != 0:
        raise UserError(f"log: starts are {brief(starts)}; allowed: rows in order, the first 0")
    for index, length in enumerate(np.diff([*array.tolist(), rows]).tolist()):
        if length < SHORTEST:
            raise UserError(
                f"log: episode {index} has {length} rows; allowed: at least {SHORTEST}, one "
                "command and what was observed before and after it"
            )
    array = array.astype(np.int64)
    array.flags.writeable = False
    return array


def _marks(values: ArrayLike, episodes: int) -> BoolArray:
    array = np.array(values).astype(bool)
    if array.shape != (episodes,):
        raise UserError(f"log: terminated must be ({episodes},), got {array.shape}")
    array.flags.writeable = False
    return array


def _check_lengths(log: Log) -> None:
    for name, values in _named(log):
        if len(values) != len(log.times):
            raise UserError(
                f"log: {name} has {len(values)} rows, times has {len(log.times)}; allowed: as many"
            )


def _named(log: Log) -> Iterator[tuple[str, Array]]:
    yield "commands", log.commands
    for name, values in log.observations.items():
        yield f"observation {name!r}", values
    for name, values in log.extras.items():
        yield f"extra {name!r}", values


def _check_names(log: Log) -> None:
    if not log.observations:
        raise UserError("log: there is no observation; allowed: at least one term")
    if len(log.actuators) != log.commands.shape[1] or not log.actuators:
        raise UserError(
            f"log: {len(log.actuators)} actuators are named for {log.commands.shape[1]} columns of "
            "commands; allowed: one name for each, at least one"
        )
    if len(set(log.actuators)) < len(log.actuators):
        raise UserError(f"log: the actuators are {', '.join(log.actuators)}; allowed: each once")
    for name in log.units:
        if name not in log.observations and name not in log.extras:
            known = ", ".join([*log.observations, *log.extras])
            raise UserError(f"log: a unit is given for {name!r}; allowed: {known}")


def _check_times(log: Log) -> None:
    dt = log.control_dt
    if isinstance(dt, bool) or not isinstance(dt, int | float) or not 0 < dt < np.inf:
        raise UserError(f"log: control_dt is {brief(dt)}; allowed: seconds, more than 0")
    for rows in log.episodes:
        steps = np.diff(log.times[rows])
        if (steps <= 0).any():
            row = rows.start + 1 + int(np.argmax(steps <= 0))
            raise UserError(
                f"log: times[{row}] is {log.times[row]:g} s after {log.times[row - 1]:g} s; "
                "allowed: times that increase within an episode"
            )
