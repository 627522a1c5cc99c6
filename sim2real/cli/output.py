"""The result of a command: plain data, and the same as tables."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sim2real.files import unwritable

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True)
class Outcome:
    """The result of a command: plain data, the same as tables, and the file for the data."""

    data: Any
    tables: list[Table]
    file: Path | None = None
    page: Path | None = None
    """A page, figure or video that was written."""
    code: int = 0
    """Exit code of the command."""


def table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A rich table of rows that share their keys."""
    from rich.table import Table

    shown = Table(title=title, title_justify="left")
    for name in rows[0]:  # folded: what a narrow terminal cuts off may be all that differs
        shown.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        shown.add_row(*[f"{v:,.2f}" if isinstance(v, float) else str(v) for v in row.values()])
    return shown


def show(tables: Sequence[Table], file: TextIO | None = None) -> None:
    """Print tables to `file`, standard error by default, with `-` as the minus sign."""
    from rich.console import Console

    stream = file or sys.stderr
    console = Console(file=stream, markup=False, emoji=False)  # texts of the user's, as they are
    for shown in tables:
        with console.capture() as captured:
            console.print(shown)
        stream.write(captured.get().replace("−", "-"))


def can_write(folder: Path) -> bool:
    """Whether results can be written to `folder`; standard error gets the reason if not."""
    reason = unwritable(folder)
    if reason:
        print(f"{folder} cannot be written: {reason}; the result is only shown", file=sys.stderr)
    return reason is None
