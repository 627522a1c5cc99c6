"""Events of TensorBoard that cannot be written for a while are written later."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from sim2real.learning.tensorboard import make_logger, writers


def test_events_are_kept_until_they_can_be_written(
    curves: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills in the middle of a write, and is full for a while."""
    full = False

    class Half:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: bytes) -> None:
            self._file.write(data[: len(data) // 2] if full else data)
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def __enter__(self) -> Half:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *given: Half(opened(path, *given)) if "r+b" in given else opened(path, *given),
    )
    logger, _ = make_logger(tmp_path, 0)
    (writer,) = writers(logger)

    def log(step: int) -> None:
        writer.add_scalar("a", float(step), step)
        writer.flush()

    log(1)
    full = True
    with pytest.warns(UserWarning, match="cannot be written: No space left .* once they can be"):
        log(2)
    log(3)  # is warned of once
    full = False
    log(4)
    logger.close()
    assert curves(tmp_path) == {"a": [(step, float(step)) for step in (1, 2, 3, 4)]}
