"""Named checks of something a user wrote, each of which passes or gives one line of advice."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sim2real.errors import UserError

Subject = TypeVar("Subject")


class CheckFailed(Exception):
    """The fault, and what to do about it, on one line."""


class CheckSkipped(Exception):
    """This machine lacks something for a check: no result about its subject."""


@dataclass(frozen=True)
class Check:
    """The result of one check; `message` is empty if it passed, or says why it was skipped."""

    name: str
    passed: bool
    message: str = ""


def require(condition: object, message: str) -> None:
    """Raise CheckFailed with `message` unless `condition` is true."""
    if not condition:
        raise CheckFailed(message)


def run_checks(
    checks: Mapping[str, Callable[[Subject], None]], subject: Subject
) -> Iterator[Check]:
    """Run each check on `subject`. An exception or a warning is a failure, not an end."""
    for name, check in checks.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                check(subject)
            except CheckSkipped as skipped:
                yield Check(name, True, " ".join(f"skipped: {skipped}".split()))
            except Exception as error:  # code of the user's own may raise anything
                kind = (
                    ""
                    if isinstance(error, CheckFailed | UserError)
                    else f"{type(error).__name__}: "
                )
                yield Check(name, False, " ".join(f"{kind}{error}".split()))
            else:
                yield Check(name, True)
