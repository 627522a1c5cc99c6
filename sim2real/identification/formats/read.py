"""Read the files of other programs: which reader for which file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.identification.formats.appended import SUFFIX
from sim2real.identification.formats.csv import DELIMITERS, mapping_beside, read_csv
from sim2real.identification.formats.mapping import LogMapping, load_mapping
from sim2real.identification.formats.messages import is_bag, read_bag, read_mcap
from sim2real.identification.formats.parquet import (
    is_lerobot,
    lerobot_mapping,
    read_lerobot,
    read_parquet,
)
from sim2real.identification.formats.records import read_records
from sim2real.identification.formats.rows import Parts, Table, parts_of
from sim2real.identification.formats.toolbox import read_toolbox, toolbox_mapping


@dataclass(frozen=True)
class Format:
    """What reads the columns of a file that a mapping names, and the mapping of a file without."""

    read: Callable[[Path, LogMapping], Table]
    default: Callable[[Path], LogMapping] | None = None


FORMATS: dict[str, Format] = {
    ".csv": Format(read_csv, mapping_beside),
    ".tsv": Format(read_csv, mapping_beside),
    ".parquet": Format(read_parquet, mapping_beside),
    ".npz": Format(read_toolbox, toolbox_mapping),
    ".mcap": Format(read_mcap, mapping_beside),
    ".db3": Format(read_bag),
}
"""By suffix. What a LogWriter left is `.unfinished`."""
FOLDERS: dict[Callable[[Path], bool], Format] = {
    is_lerobot: Format(read_lerobot, lerobot_mapping),
    is_bag: Format(read_bag),
}
"""By what tells them."""
KNOWN = (
    f"{', '.join(FORMATS)}, the folder of a LeRobot dataset or of a ROS 2 bag, or, without a "
    "mapping, a file of `Log.save`"
)
"""What can be read, in words."""


def is_foreign(path: Path) -> bool:
    """Whether a file is one of another format than `Log.save` writes."""
    return path.is_dir() or path.suffix.lower() in {*FORMATS, SUFFIX}


def read_parts(path: Path, mapping: LogMapping | Mapping[str, Any] | Path | str | None) -> Parts:
    """The parts of the log in a file; UserError for an unknown format or no mapping."""
    if path.suffix == SUFFIX:
        return read_records(path)
    form = _format(path)
    if mapping is None and form.default is None:
        raise UserError(f"{path} needs a mapping: a YAML file that says which column is what")
    known = load_mapping(mapping) if mapping is not None else form.default(path)  # type: ignore[misc]
    table = form.read(path, known)
    try:
        return parts_of(table, known)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def check_name(path: Path) -> None:
    """UserError for the name of a file that can be read, but not written."""
    suffix = path.suffix.lower()
    if suffix in {*FORMATS, SUFFIX} - DELIMITERS.keys():
        raise UserError(
            f"{path}: a log is not written as {suffix}; allowed: {', '.join(DELIMITERS)}, or a "
            "name without the suffix of another format, such as .safetensors"
        )


def _format(path: Path) -> Format:
    found = [form for is_of, form in FOLDERS.items() if is_of(path)]
    if not found and (path.is_dir() or path.suffix.lower() not in FORMATS):
        raise UserError(f"{path} has no known format; allowed: {KNOWN}")
    return found[0] if found else FORMATS[path.suffix.lower()]
