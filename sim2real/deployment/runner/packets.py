"""The datagrams between the runner and a robot behind UDP: JSON objects."""

from __future__ import annotations

import json
from typing import Any

MOST_BYTES = 60_000
"""Bytes of a datagram, at most."""
HELLO, WRITE, STOP, KILL, QUIT = "hello", "write", "stop", "kill", "quit"
"""What is asked of a robot, under the key `do`."""


def packed(**values: Any) -> bytes:
    """The bytes of a datagram."""
    return json.dumps(values, separators=(",", ":")).encode()


def unpacked(data: bytes) -> dict[str, Any]:
    """The values of a datagram; empty if it is none."""
    try:
        found = json.loads(data)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
