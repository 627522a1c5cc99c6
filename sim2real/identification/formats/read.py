"""Read the files of other programs: which reader for which file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim2real.errors import UserError
from sim2real.identification.formats.csv import read_csv
from sim2real.identification.formats.mapping import LogMapping, load_mapping
from sim2real.identification.formats.rows import Parts, Table, parts_of

TABLES: dict[str, Callable[[Path, Sequence[str]], Table]] = {
    ".csv": read_csv,
    ".tsv": read_csv,
}
"""By suffix: what reads the named columns of a file."""


def is_foreign(path: Path) -> bool:
    """Whether a file is one of another format than `Log.save` writes."""
    return path.suffix.lower() in TABLES


def read_parts(path: Path, mapping: LogMapping | Mapping[str, Any] | Path | str | None) -> Parts:
    """The parts of the log in a file; UserError for an unknown format or no mapping."""
    suffix = path.suffix.lower()
    if suffix not in TABLES:
        raise UserError(f"{path} has no known format; allowed: {', '.join(TABLES)}")
    if mapping is None:
        raise UserError(f"{path} needs a mapping: a YAML file that says which column is what")
    known = load_mapping(mapping)
    table = TABLES[suffix](path, known.named)
    try:
        return parts_of(table, known)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
