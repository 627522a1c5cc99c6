"""One process at a time: a lock on a file, which ends with the process that holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sim2real.errors import UserError

AGAIN_SECONDS = 0.2
"""Time between two tries to take a lock that another process holds."""


@contextlib.contextmanager
def lock(file: Path, what: str, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock `file`, which is there only meanwhile; wait for it at most so long.

    It is the system's (flock), so it ends with its process, also on a shared file system that has
    such locks (NFS 4, Lustre with `flock`). Raises UserError, with who holds it, if another
    process does, and if the file system has no locks.
    """
    deadline = time.monotonic() + seconds
    while (held := _take(file)) is None:
        if time.monotonic() >= deadline:
            raise UserError(f"{file.parent}: another process is {what} ({_words(file)})")
        time.sleep(AGAIN_SECONDS)
    with held:
        held.write(f"process {os.getpid()} on {socket.gethostname()}")
        held.flush()
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _take(file: Path) -> IO[str] | None:
    """The file, locked; None if another process holds it."""
    held = file.open("a")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is(file, held):  # not one that its holder has removed since it was opened
            held.truncate(0)
            return held
    except BlockingIOError:
        pass
    except OSError as error:
        held.close()
        raise UserError(f"{file.parent}: its file system has no locks: {error.strerror}") from None
    held.close()
    return None


def _is(file: Path, opened: IO[str]) -> bool:
    try:
        return os.path.samestat(file.stat(), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def holder(file: Path) -> str | None:
    """The process that holds the lock `file`; None if none does."""
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _words(file)
    except OSError:  # there is no such file
        return None
    return None


def _words(file: Path) -> str:
    """Who holds a lock, as far as it is known."""
    with contextlib.suppress(OSError):
        if name := file.read_text().strip():
            return name
    return "which one is unknown"
