from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sim2real.errors import UserError
from sim2real.studies.lock import lock

HOLD = """
import sys, time
from pathlib import Path
from sim2real.studies.lock import lock
with lock(Path(sys.argv[1]), "using this"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    command = [sys.executable, "-c", HOLD, str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"is using this \(process {other.pid} on "):
            lock(file, "using this").__enter__()
        other.send_signal(signal.SIGKILL)
        with lock(file, "using this", seconds=30):
            assert str(os.getpid()) in file.read_text()
    assert not file.exists()


def test_a_waiting_thread_gets_the_lock_that_is_freed(tmp_path: Path) -> None:
    """Never the file that the other has removed: a third would lock a new one beside it."""
    file, order = tmp_path / ".lock", []

    def wait() -> None:
        with lock(file, "using this", seconds=30):
            order.append("waited")
            assert file.exists()

    with lock(file, "using this"):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "waited"]
