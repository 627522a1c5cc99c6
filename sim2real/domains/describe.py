"""What the parameters of a domain have in common: names of elements, and sentences."""

from __future__ import annotations

from typing import Any

from sim2real.domains.entries.course import Course


def names(value: Any) -> Any:
    """One name stands for a tuple of one."""
    return (value,) if isinstance(value, str) else value


def sentence(
    what: str, of: tuple[str, ...], shared: bool, amount: str, course: Course | None = None
) -> str:
    """A parameter as a person says it."""
    if course is not None:
        amount += f" {course.words()}"
    whose = f" of {', '.join(of)}" if of else ""
    together = ", one draw for all" if shared else ""
    return f"{what}{whose} {amount}{together}"
