"""One line of error where networks and buffers take more memory than there is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from sim2real.errors import UserError


@contextlib.contextmanager
def memory_for(what: str) -> Iterator[None]:
    """UserError where `what` takes more memory than there is for its networks and buffers."""
    try:
        yield
    except (MemoryError, OverflowError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        if isinstance(error, RuntimeError | ValueError) and not _MEMORY.search(reason):
            raise
        raise UserError(f"{what} is too large: {reason[:200]}") from None


_MEMORY = re.compile("allocate|memory|Maximum allowed dimension|too big", re.IGNORECASE)
