"""The error that a user can cause, and its wording."""

from __future__ import annotations

import difflib
import operator
import reprlib
from collections.abc import Iterable, Sequence


class UserError(ValueError):
    """Bad input; the message is one line for the user: what was given, what is allowed."""


class ChangedError(UserError):
    """A run, its task or its files are not what they were when it was made.

    `what` is the difference; the message adds the option that accepts it in Python.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; accept_changes=True goes on")
        self.what = what


LONGEST = 100
"""Characters of a value in a message, at most."""


def brief(value: object) -> str:
    """A value as a message shows it: whole if it is short.

    >>> brief("windy"), brief(list(range(100)))
    ("'windy'", '[0, 1, 2, 3, 4, 5, ...]')
    """
    if isinstance(value, str | int | float | None):
        huge = isinstance(value, int) and abs(value) >= 10**LONGEST
        shown = "a huge number" if huge else repr(value)
    else:
        shown = reprlib.repr(value)
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def listed(names: Sequence[str], most: int) -> str:
    """The first names, at most so many, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def whole_number(name: str, value: object, low: int, high: int) -> int:
    """`value` if it is a whole number from `low` to `high`; UserError otherwise."""
    number = None if isinstance(value, bool) else _index(value)
    if number is None:
        raise UserError(f"{name} is {brief(value)}; allowed: a whole number")
    if not low <= number <= high:
        raise UserError(f"{name} is {brief(value)}; allowed: {low:,} to {high:,}")
    return number


def _index(value: object) -> int | None:
    """The whole number that `value` is; None for one that is none, as an array of several."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return None


def unknown(kind: str, given: object, allowed: Iterable[str]) -> UserError:
    """Word the error for a name that is none of `allowed`, with the nearest match.

    >>> str(unknown("task", "hoper", ["ant", "hopper"]))
    "unknown task 'hoper'; did you mean 'hopper'? allowed: ant, hopper"
    """
    names = list(allowed)
    close = difflib.get_close_matches(brief(given).strip("'"), names, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return UserError(f"unknown {kind} {brief(given)};{hint} allowed: {', '.join(names) or 'none'}")
