"""Files of the rows of an evaluation: JSON, one line an episode."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from sim2real.errors import UserError, brief
from sim2real.evaluation.rollout import Row
from sim2real.files import write_text

FIELDS = {"domain": str, "episode": int, "total": int | float, "unstable": bool}
"""The types of what statistics are computed from."""


def save_rows(path: Path | str, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    lines = [json.dumps(dataclasses.asdict(row), allow_nan=False) for row in rows]
    write_text(Path(path), "".join(f"{line}\n" for line in lines))


def load_rows(path: Path | str) -> tuple[Row, ...]:
    """The rows that `save_rows` wrote; UserError if the file is missing or broken."""
    try:
        lines = Path(path).read_text().splitlines()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no file of rows: {error}") from None
    return tuple(_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, 1))


def _parse(line: str, where: str) -> Row:
    try:
        row = Row(**json.loads(line))
    except (TypeError, json.JSONDecodeError, RecursionError) as error:
        raise UserError(f"{where} is no row of an evaluation: {error}") from None
    for name, kinds in FIELDS.items():
        if not isinstance(value := getattr(row, name), kinds):
            raise UserError(f"{where} is no row of an evaluation: {name} is {brief(value)}")
    return row
