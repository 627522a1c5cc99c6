"""A mapping: which column of a file is which term, actuator or time, in which unit::

    time: {column: stamp, unit: ms}
    commands:
      hip: {column: goal_hip, unit: deg, sign: -1}
    observations:
      position: [hip_angle, knee_angle]
      velocity: {columns: [hip_speed, knee_speed], unit: rpm, sign: [-1, 1]}

The times become s, commands and observations SI units.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from sim2real import files
from sim2real.config import Config, parse
from sim2real.errors import UserError, brief, unknown
from sim2real.identification.formats.units import UNITS
from sim2real.world import Array

Finite = float | tuple[float, ...]
Sign = Literal[1, -1]


class Columns(Config):
    """One or more columns of a file and their unit; a name, or a list of names, is short for it.

    A value is offset + sign * scale * unit * (what the file has). `scale`, `sign` and `offset` are
    one number, or one for each column.
    """

    columns: Annotated[tuple[str, ...], Field(min_length=1)]
    unit: str = ""
    scale: Finite = 1.0
    sign: Sign | tuple[Sign, ...] = 1
    offset: Finite = 0.0

    @model_validator(mode="before")
    @classmethod
    def _from_short(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"columns": (data,)}
        if isinstance(data, list | tuple):
            return {"columns": data}
        if isinstance(data, Mapping) and "column" in data:
            rest = {name: value for name, value in data.items() if name != "column"}
            return {"columns": (data["column"],), **rest}
        return data

    @field_validator("unit")
    @classmethod
    def _known(cls, unit: str) -> str:
        if unit not in UNITS:
            raise UserError(f"{unknown('unit', unit, UNITS)}; for another one give `scale`")
        return unit

    @property
    def si(self) -> str:
        """The unit of the values in the log."""
        return UNITS[self.unit][1]

    def values(self, raw: Array) -> Array:
        """The values (n, k) of what the file has, (n, k). UserError for a wrong count."""
        numbers = [self._each(name, raw.shape[1]) for name in ("sign", "scale", "offset")]
        sign, scale, offset = numbers
        converted: Array = offset + sign * scale * UNITS[self.unit][0] * raw
        return converted

    def _each(self, name: str, count: int) -> Array:
        given = np.atleast_1d(np.asarray(getattr(self, name), dtype=np.float64))
        if len(given) not in (1, count):
            raise UserError(
                f"{name} has {len(given)} numbers for {count} columns, {', '.join(self.columns)}"
            )
        return given


class LogMapping(Config):
    """What the columns of a file are. `Log.load(FILE, mapping)` takes one, or the path of its YAML.

    `time` is the time of a row, by default in s; where only its `unit` is known it may be any
    clock. `commands` are by actuator, `observations` by the task's terms, `extras` by any name.
    A new episode begins where the column `episode` changes; `terminated` is 1 in the last row of an
    episode that ended by itself. Rows where the column `only_where` is 0 are left out: there an
    episode ends. Rows with a value that is no number are refused, or left out with `missing: drop`.
    `control_dt`, in s, is the step of the controller; by default the median step of the rows.
    """

    time: Columns
    commands: Annotated[dict[str, Columns], Field(min_length=1)]
    observations: Annotated[dict[str, Columns], Field(min_length=1)]
    extras: dict[str, Columns] = Field(default_factory=dict)
    episode: str | None = None
    terminated: str | None = None
    only_where: str | None = None
    missing: Literal["refuse", "drop"] = "refuse"
    control_dt: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _single(self) -> LogMapping:
        for name, one in {"time": self.time, **self.commands}.items():
            if len(one.columns) > 1:
                raise UserError(f"{name} has the columns {', '.join(one.columns)}; allowed: one")
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """All columns that the mapping names, each once."""
        groups = (self.commands, self.observations, self.extras)
        several = [self.time, *(one for group in groups for one in group.values())]
        marks = [self.episode, self.terminated, self.only_where]
        names = [*(name for one in several for name in one.columns), *filter(None, marks)]
        return tuple(dict.fromkeys(names))


def load_mapping(given: LogMapping | Mapping[str, Any] | Path | str) -> LogMapping:
    """A mapping from its YAML file, or from plain data; UserError for what it does not allow."""
    if isinstance(given, LogMapping):
        return given
    if isinstance(given, Mapping):
        return parse(LogMapping, given, "mapping")
    if not isinstance(given, Path | str):
        raise UserError(f"the mapping is {brief(given)}; allowed: a YAML file, or keys and values")
    path = files.user_path(given)
    return parse(LogMapping, files.read_yaml(path), f"mapping {path}")
