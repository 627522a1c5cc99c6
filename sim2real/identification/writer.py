"""Write a log from a control loop, row by row, so that a killed process loses nothing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sim2real import files
from sim2real.errors import UserError, brief, unknown, whole_number
from sim2real.identification.formats.appended import Header, RowFile
from sim2real.identification.formats.read import check_name
from sim2real.identification.formats.records import read_records, unusable
from sim2real.identification.log import Log

MOST_NUMBERS = 100_000


class LogWriter:
    """Write what a controller observes and commands, step by step.

    `actuators` are names, `terms` and `extras` the number of values of each by name, `control_dt`
    is in s, `units` are by name. Every row goes to the file PATH.unfinished at once, which
    `Log.load` reads if the process was killed; `close` makes the log PATH of it, whole or not at
    all, as `Log.save` does::

        with LogWriter("run.safetensors", ["hip"], {"position": 1}, control_dt=0.02) as log:
            while True:
                observation = {"position": read_encoder()}
                command = controller(observation)
                log.add(time.monotonic(), command, observation)
                send(command)

    Raises UserError for names and sizes that cannot be, and if PATH or PATH.unfinished exists.
    """

    def __init__(
        self,
        path: Path | str,
        actuators: Sequence[str],
        terms: Mapping[str, int],
        control_dt: float,
        units: Mapping[str, str] | None = None,
        extras: Mapping[str, int] | None = None,
    ) -> None:
        self.path = files.user_path(path)
        check_name(self.path)
        self._header = _header(actuators, terms, control_dt, units or {}, extras or {})
        self._row = np.zeros(self._header.width)
        self._file = RowFile(self.path, self._header)

    def add(
        self,
        time: float,
        command: ArrayLike,
        observation: Mapping[str, ArrayLike],
        extras: Mapping[str, ArrayLike] | None = None,
    ) -> None:
        """Add what was observed at `time`, in s, and the command given then, held until the next.

        A command has one number for each actuator, an observation the size of each term. A value
        that is not finite, or a time that does not increase, does not stop the controller: the row
        is left out of the log, and `close` warns. Raises UserError for a missing term or another
        size, and after `close`.
        """
        if self._file.closed:
            raise UserError(f"{self.path} is closed; allowed: rows before `close`")
        values = [("command", command, len(self._header.actuators))]
        values += _given("observation", observation, self._header.terms)
        values += _given("extras", extras or {}, self._header.extras)
        self._row[1:3] = 0.0, time
        self._row[3:] = np.concatenate([_sized(*one) for one in values])
        self._file.add(self._row)

    def begin_episode(self, terminated: bool = False) -> None:
        """Let the next row begin an episode; `terminated`: the last one ended by itself (a fall).

        The first episode has begun when the writer is made.
        """
        if terminated:
            self.terminate()
        self._row[0] += 1.0

    def terminate(self) -> None:
        """Mark the present episode as one that ended by itself, at the last row that was added."""
        self._file.terminate()

    def close(self) -> None:
        """Write the log as one whole file, and remove the unfinished one.

        Raises UserError, and keeps the unfinished file, if there is no episode of two rows.
        """
        if self._file.closed:
            return
        self._file.close()
        Log(**vars(read_records(self._file.path))).save(self.path)
        self._warn()
        self._file.path.unlink()

    def _warn(self) -> None:
        lost = unusable(self._file.rows())
        if len(lost):
            warnings.warn(
                f"{self.path}: {len(lost)} rows were left out, the first is row {lost[0] + 1}: a "
                "value is not finite, or the time does not increase",
                stacklevel=3,
            )

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except UserError as problem:  # the error of the block is the one to show
            assert error is not None
            error.add_note(f"no log was written: {problem}")


def _header(
    actuators: Sequence[str],
    terms: Mapping[str, int],
    control_dt: float,
    units: Mapping[str, str],
    extras: Mapping[str, int],
) -> Header:
    """The header, checked as a log of two rows of it is."""
    if not isinstance(terms, Mapping) or not isinstance(extras, Mapping):
        raise UserError(f"terms are {brief(terms)}; allowed: the number of values of each, by name")
    for name, size in (*terms.items(), *extras.items()):
        whole_number(f"the size of {name!r}", size, 1, MOST_NUMBERS)
    header = Header(tuple(actuators), dict(terms), control_dt, dict(units), dict(extras))
    blank = {name: np.zeros((2, size)) for name, size in {**terms, **extras}.items()}
    Log(
        times=np.arange(2.0),
        commands=np.zeros((2, len(header.actuators))),
        actuators=header.actuators,
        observations={name: blank[name] for name in terms},
        control_dt=control_dt,
        units=units,
        extras={name: blank[name] for name in extras},
    )
    return header


def _given(
    kind: str, values: Mapping[str, ArrayLike], sizes: Mapping[str, int]
) -> list[tuple[str, Any, int]]:
    for name in values:
        if name not in sizes:
            raise unknown(f"name in {kind}", name, sizes)
    missing = [name for name in sizes if name not in values]
    if missing:
        raise UserError(f"{kind} without {', '.join(missing)}; allowed: all of {', '.join(sizes)}")
    return [(f"{kind} {name!r}", values[name], size) for name, size in sizes.items()]


def _sized(name: str, values: ArrayLike, size: int) -> Any:
    array = np.asarray(values, dtype=np.float64).ravel()
    if len(array) != size:
        raise UserError(f"{name} has {len(array)} numbers; allowed: {size}")
    return array
