"""How many control steps a new policy observes, and how many that of its source."""

from __future__ import annotations

from sim2real.errors import UserError
from sim2real.runs.contract import Difference
from sim2real.transfer.method import Method


def compare_memory(before: int, after: int, method: Method) -> tuple[Difference, ...]:
    """What differs, where the policy of a `method` observes more control steps than its source's.

    Raises UserError where it observes fewer, or more than the method allows.
    """
    if before == after:
        return ()
    if after < before or not method.may_remember_more:
        allowed = f"{before} or more" if method.may_remember_more else f"{before}"
        raise UserError(
            f"history is {after}, the source's policy observes {before} control steps; "
            f"allowed with method {method.name!r}: {allowed}"
        )
    return (Difference("control steps observed", str(before), str(after), fits=True),)
