"""The .npz files of MuJoCo's system identification toolbox (`mujoco.sysid`)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.errors import UserError, brief
from sim2real.identification.formats.mapping import LogMapping
from sim2real.identification.formats.rows import MOST_BYTES, Table, held_at
from sim2real.plain import parse_json
from sim2real.world import Array

TIME = "time"
SERIES = ("control", "sensordata", "state")


def read_toolbox(path: Path, mapping: LogMapping) -> Table:
    """The signals of a trajectory at the times of its sensors; controls are held.

    A signal is named as the file names it ("hip_ctrl", or "gyro[0]"), or by its place
    ("control[0]", "sensordata[3]"). Nothing in the file is executed.
    """
    return _table(path, _arrays(path))


def toolbox_mapping(path: Path) -> LogMapping:
    """The mapping of a trajectory: all its controls and sensors, by name where they have one."""
    arrays = _arrays(path)
    controls, sensors = (_signals(arrays, name) for name in SERIES[:2])
    if not controls or not sensors:
        raise UserError(f"{path} has no controls or no sensors; allowed: both")
    return LogMapping.model_validate(
        {
            "time": TIME,
            "commands": {name.removesuffix("_ctrl"): columns[0] for name, columns in controls},
            "observations": dict(sensors),
        }
    )


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_BYTES:
            raise UserError(f"{path} takes {size:,} bytes in memory; allowed: {MOST_BYTES:,}")
        with np.load(path) as file:
            return {name: file[name] for name in file.files}
    except UserError:
        raise
    except Exception as error:  # zipfile and zlib raise what they meet in damaged bytes
        raise UserError(f"{path} is no .npz of numbers: {brief(str(error))}") from None


def _table(path: Path, arrays: Mapping[str, Any]) -> Table:
    for name in SERIES[:2]:
        _check(path, arrays, name)
    times = np.asarray(arrays["sensordata_times"], dtype=np.float64)
    table: dict[str, Array] = {TIME: times}
    for series in (name for name in SERIES if f"{name}_data" in arrays):
        _check(path, arrays, series)
        given = np.asarray(arrays[f"{series}_times"], dtype=np.float64)
        values = np.asarray(arrays[f"{series}_data"], dtype=np.float64)
        at = values if np.array_equal(given, times) else held_at(given, values, times)
        table |= {f"{series}[{k}]": column for k, column in enumerate(at.T)}
    named = {
        name if len(columns) == 1 else f"{name}[{k}]": table[column]
        for series in SERIES
        for name, columns in _signals(arrays, series)
        for k, column in enumerate(columns)
    }
    return table | named


def _check(path: Path, arrays: Mapping[str, Any], series: str) -> None:
    times, data = arrays.get(f"{series}_times"), arrays.get(f"{series}_data")
    if times is None or data is None:
        raise UserError(f"{path} has no {series}_times and {series}_data; allowed: a trajectory")
    right = times.dtype.kind in "fiu" and data.dtype.kind in "fiu" and times.ndim == 1
    if not right or data.ndim != 2 or len(data) != len(times):
        raise UserError(
            f"{path}: {series}_times is {times.shape}, {series}_data {data.shape}; allowed: (n,) "
            "and (n, k) numbers"
        )


def _signals(arrays: Mapping[str, Any], series: str) -> list[tuple[str, list[str]]]:
    """The signals of a series and their columns."""
    data = arrays.get(f"{series}_data")
    width = data.shape[1] if data is not None and data.ndim == 2 else 0
    encoded = arrays.get(f"{series}_signal_mapping")
    if encoded is None:
        return [(f"{series}[{k}]", [f"{series}[{k}]"]) for k in range(width)]
    try:
        found = parse_json(str(encoded))
        return [
            (str(name), [f"{series}[{range(width)[int(k)]}]" for k in places])
            for name, (_, places) in found.items()
            if places
        ]
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise UserError(f"the signal mapping of {series} is damaged: {error}") from None
