"""Keys of random draws: a number for a name, the same on every machine and in every process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def key_of(name: str) -> int:
    """The key of the draws called `name`: the first 64 bits of its SHA-256 digest."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def draw_name(label: str, name: str | None, of: Sequence[str]) -> str:
    """The name of a draw that is not in the context: `name`, or the label and what it acts on."""
    return name or ":".join(part for part in (label, ",".join(of)) if part)
