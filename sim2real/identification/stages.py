"""How far an identification is: its stages, as parts of the time that a whole one takes."""

from __future__ import annotations

from collections.abc import Callable

STAGES = {
    "checking": (0.0, 0.03),
    "searching the family": (0.03, 0.3),
    "refining": (0.3, 0.5),
    "searching the family once more": (0.5, 0.6),
    "looking for what": (0.7, 0.9),
    "validating": (0.92, 0.95),
    "fitting": (0.95, 1.0),
}
"""Begin and end of the stages by how their names begin; the later one of two counts."""
FIRST = "checking"
"""How the name of the first stage begins."""


def whole(report: Callable[[float, str], None], logs: int = 1) -> Callable[[str, float], None]:
    """What `identify` reports to, for a `report` of the part of the whole, which never falls.

    `logs` are identified one after the other.
    """
    number, shown = 0, 0.0

    def of_stage(what: str, done: float) -> None:
        nonlocal number, shown
        if what.startswith(FIRST):
            number, shown = number + 1, 0.0
        begin, end = next(
            (ends for name, ends in reversed(STAGES.items()) if what.startswith(name)),
            (shown, shown),
        )
        shown = max(shown, begin + (end - begin) * done)
        which = f"log {number} of {logs}, " if logs > 1 else ""
        report((number - 1 + shown) / logs, which + what)

    return of_stage
