"""A file of TensorBoard's events that outlives a full disk."""

from __future__ import annotations

import threading
import warnings
from pathlib import Path

from torch.utils.tensorboard.writer import SummaryWriter


class EventFile:
    """Appends to an event file; what cannot be written now is kept and written later.

    The first failure is reported by a warning. The file holds whole records at any moment, also
    after a write that stopped half-way.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._whole = path, path.stat().st_size
        self._pending = bytearray()
        self._failed = False
        self._lock = threading.Lock()  # TensorBoard writes from two threads

    def write(self, data: bytes) -> None:
        """Keep bytes for the next `flush`."""
        with self._lock:
            self._pending += data

    def flush(self) -> None:
        """Write what is pending, if it can be written."""
        with self._lock:
            try:
                self._append()
            except OSError as error:
                if not self._failed:
                    warnings.warn(
                        f"{self._path} cannot be written: {error.strerror}; the training goes on, "
                        "and its curves are written once they can be",
                        stacklevel=2,
                    )
                self._failed = True

    def close(self) -> None:
        """Write what is pending."""
        self.flush()

    def _append(self) -> None:
        if not self._pending:
            return
        with self._path.open("r+b") as file:
            file.seek(self._whole)
            file.truncate()
            file.write(self._pending)
        self._whole += len(self._pending)
        self._pending.clear()


def keep_unwritten(writer: SummaryWriter) -> None:
    """Let an event writer that was just made write into an `EventFile`."""
    writer.flush()  # its first events wait in a queue
    events = writer._get_file_writer().event_writer  # type: ignore[no-untyped-call]
    records = events._async_writer._writer
    records._writer = EventFile(Path(events._file_name))
