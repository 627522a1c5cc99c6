"""Columns of Parquet files, and of the layout of LeRobot's datasets, with pyarrow alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files
from sim2real.errors import UserError, brief
from sim2real.extras import needed
from sim2real.identification.formats.mapping import LogMapping
from sim2real.identification.formats.rows import MOST_BYTES, Table, check_size
from sim2real.world import Array

INFO = Path("meta") / "info.json"
"""Where a LeRobot dataset describes itself."""


def read_parquet(path: Path, mapping: LogMapping) -> Table:
    """The columns of a file that the `mapping` names; a list of numbers is several columns.

    Other columns of the file are there without values. Raises UserError for a file that is damaged
    or too large, for columns without numbers, and without pyarrow.
    """
    return _columns(path, mapping.named)


def _columns(path: Path, names: Sequence[str]) -> dict[str, Array]:
    parquet, arrow = (needed(one, "Parquet", "logs") for one in ("pyarrow.parquet", "pyarrow"))
    try:
        with parquet.ParquetFile(path) as file:
            return _read(path, file, names)
    except UserError:
        raise
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise UserError(f"{path} is no Parquet file: {brief(str(error))}") from None


def _read(path: Path, file: Any, names: Sequence[str]) -> dict[str, Array]:
    held = file.schema_arrow.names
    wanted = [name for name in held if any(_is_of(one, name) for one in names)]
    _check_size(path, file.metadata, wanted)
    table = file.read(columns=wanted, use_threads=False)
    found: dict[str, Array] = {name: np.zeros(0) for name in held if name not in wanted}
    for name in wanted:
        found |= _numbers(path, name, table.column(name))
    return found


def _is_of(asked: str, name: str) -> bool:
    """Whether "action[3]" asks for the column "action", or "action" for itself."""
    return asked == name or (asked.startswith(f"{name}[") and asked.endswith("]"))


def _check_size(path: Path, about: Any, wanted: Sequence[str]) -> None:
    """UserError for too many numbers; for row groups that are too large when they are unpacked.

    The sizes of single columns are not asked for: where they are damaged, pyarrow ends the process.
    """
    check_size(str(path), about.num_rows, max(len(wanted), 1))
    size = max((about.row_group(k).total_byte_size for k in range(about.num_row_groups)), default=0)
    if size > MOST_BYTES:
        raise UserError(
            f"{path} has a row group of {size:,} bytes; allowed: {MOST_BYTES:,} in memory"
        )


def _numbers(path: Path, name: str, column: Any) -> dict[str, Array]:
    arrow = needed("pyarrow", "Parquet", "logs")
    types, kind = arrow.types, column.type
    listed = types.is_list(kind) or types.is_fixed_size_list(kind) or types.is_large_list(kind)
    number = kind.value_type if listed else kind
    if types.is_timestamp(number) or types.is_duration(number):
        column = column.cast(arrow.int64())
    elif not (types.is_floating(number) or types.is_integer(number) or types.is_boolean(number)):
        raise UserError(f"{path}: column {name!r} holds {kind}; allowed: numbers")
    if not listed:
        return {name: _floats(column)}
    rows = column.combine_chunks()
    flat = _floats(rows.flatten())
    width = len(flat) // max(len(rows), 1)
    if width * len(rows) != len(flat) or (rows.value_lengths().unique().to_pylist() != [width]):
        raise UserError(f"{path}: the lists of column {name!r} differ in length")
    return {f"{name}[{k}]": one for k, one in enumerate(flat.reshape(-1, width).T)}


def _floats(column: Any) -> Array:
    """Numbers of an arrow array, NaN where one is missing."""
    found: Array = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def is_lerobot(path: Path) -> bool:
    """Whether a folder has the layout of a LeRobot dataset."""
    return (path / INFO).is_file()


def read_lerobot(path: Path, mapping: LogMapping) -> Table:
    """The columns of all data files of a LeRobot dataset, version 2 or 3.

    An entry of a feature is named by its place, "action[0]", or as the dataset names it,
    "action[shoulder_pan.pos]".
    """
    aliases = _aliases(_features(path))
    plain = {name: aliases.get(name, name) for name in mapping.named}
    several = [_columns(one, list(plain.values())) for one in _data_files(path)]
    held = [name for name, values in several[0].items() if len(values)]
    missing = [name for name in held if not all(name in one for one in several)]
    if missing:
        raise UserError(f"{path}: not every file has the column {missing[0]!r}")
    check_size(str(path), sum(len(one[held[0]]) for one in several if held), len(held))
    joined = {name: np.concatenate([one[name] for one in several]) for name in held}
    named = {alias: joined[name] for alias, name in plain.items() if name in joined}
    others = {name: np.zeros(0) for name in (*several[0], *aliases)}
    return others | joined | named


def _data_files(path: Path) -> list[Path]:
    files.refuse_links_out_of(path)
    found = sorted((path / "data").rglob("*.parquet"))
    if not found:
        raise UserError(f"{path / 'data'} has no Parquet file; allowed: a dataset with data")
    return found


def lerobot_mapping(path: Path) -> LogMapping:
    """The mapping of a LeRobot dataset: `action` as commands, `observation.*` as observations.

    Its units are those of the dataset, which does not say them.
    """
    features = _features(path)
    aliases = {place: alias for alias, place in _aliases(features).items()}
    observed = {
        name.removeprefix("observation."): {"columns": [name]}
        for name, one in features.items()
        if name.startswith("observation.") and str(one.get("dtype")).startswith(("float", "int"))
    }
    actions = [f"action[{k}]" for k in range(_size(features.get("action", {})))]
    commands = {aliases.get(one, one).removeprefix("action[").rstrip("]"): one for one in actions}
    return LogMapping.model_validate(
        {
            "time": "timestamp",
            "episode": "episode_index",
            "commands": commands,
            "observations": observed,
        }
    )


def _features(path: Path) -> Mapping[str, Any]:
    about = files.read_json(path / INFO)
    features = about.get("features") if isinstance(about, Mapping) else None
    if not isinstance(features, Mapping) or not all(map(_is_mapping, features.values())):
        raise UserError(f"{path / INFO} has no features by name; allowed: a LeRobot dataset")
    return features


def _is_mapping(value: object) -> bool:
    return isinstance(value, Mapping)


def _size(feature: Mapping[str, Any]) -> int:
    shape = feature.get("shape")
    sizes = shape if isinstance(shape, list) and len(shape) == 1 else [0]
    return sizes[0] if isinstance(sizes[0], int) and 0 < sizes[0] <= 1_000 else 0


def _aliases(features: Mapping[str, Any]) -> dict[str, str]:
    """The named entries of the features, "action[elbow]", and the places that they stand for."""
    found = {}
    for feature, about in features.items():
        names = about.get("names")
        if isinstance(names, Mapping):  # {"motors": [...]}, as in version 2
            names = next(iter(names.values()), None)
        for place, name in enumerate(names if isinstance(names, list) else ()):
            found[f"{feature}[{name}]"] = f"{feature}[{place}]"
    return found
