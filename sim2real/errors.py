"""The one kind of error a user causes, and how it is worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input; the message is one line for the user: what was given, what is allowed."""


def unknown(kind: str, given: object, allowed: Iterable[str]) -> UserError:
    """Word the error for a name that is none of `allowed`, with the nearest match.

    >>> str(unknown("task", "hoper", ["ant", "hopper"]))
    "unknown task 'hoper'; did you mean 'hopper'? allowed: ant, hopper"
    """
    names = list(allowed)
    close = difflib.get_close_matches(str(given), names, n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    return UserError(f"unknown {kind} {given!r};{hint} allowed: {', '.join(names) or 'none'}")
