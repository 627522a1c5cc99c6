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


def whole(report: Callable[[float, str], None]) -> Callable[[str, float], None]:
    """What `identify` reports to, for a `report` of the part of the whole, which never falls."""
    shown = 0.0

    def of_stage(what: str, done: float) -> None:
        nonlocal shown
        begin, end = next(
            (ends for name, ends in reversed(STAGES.items()) if what.startswith(name)),
            (shown, shown),
        )
        shown = max(shown, begin + (end - begin) * done)
        report(shown, what)

    return of_stage
