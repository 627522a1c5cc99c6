"""Files that are made to do harm are read without executing anything and refused in one line."""

from __future__ import annotations

import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.untrusted_model import CHILD

MEMORY = 2 * 2**30
"""Bytes that the readers may take."""
_events: list[str] | None = None
_allowed = ""
WRITES = set("wax+")
FORBIDDEN = {
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "pty.spawn"),
    *("pickle.find_class", "marshal.loads", "socket.connect", "urllib.Request"),
}
CHANGES = {"os.mkdir", "os.remove", "os.rename", "os.symlink", "os.link", "os.rmdir", "os.chmod"}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what hostile code would do."""
    if _events is None:
        return
    shown = f"{event} {str(arguments)[:200]}"
    if event in FORBIDDEN and not (event == "marshal.loads" and _is_importing()):
        _events.append(shown)
    elif event == "subprocess.Popen":
        if list(arguments[1])[:3] != CHILD[:3]:
            _events.append(shown)
    elif event == "open":
        mode = arguments[1]
        if isinstance(mode, str) and WRITES & set(mode) and _is_outside(arguments[0]):
            _events.append(shown)
    elif event in CHANGES:
        if _is_outside(arguments[0]):
            _events.append(shown)
    elif event in ("import", "exec", "compile"):
        named = arguments[0] if event == "import" else getattr(arguments[0], "co_filename", "")
        if hostile.CANARY in str(named):
            _events.append(shown)


def _is_importing() -> bool:
    """Whether Python reads the bytecode of a module of its own."""
    frame = sys._getframe(2)
    return "importlib" in frame.f_code.co_filename or "frozen" in frame.f_code.co_filename


def _is_outside(path: Any) -> bool:
    return "__pycache__" not in str(path) and not str(path).startswith((_allowed, "/dev/null"))


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def limited() -> Iterator[None]:
    """What takes more memory than there is fails, as an error that is not ours."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def read(name: str, seed: int, folder: Path) -> str | None:
    """Read a hostile file; what went wrong, or None."""
    global _events, _allowed
    make, reader = hostile.KINDS[name]
    folder.mkdir()
    rng = np.random.default_rng([sorted(hostile.KINDS).index(name), seed])
    path = make(folder, rng)
    _events, _allowed = [], str(folder.parent)
    try:
        reader(path)
        told = ""
    except UserError as error:
        told = str(error)
    except (Warning, MemoryError) as error:  # a warning is an error in the tests
        told = str(error) if isinstance(error, UserWarning) else f"{error!r}\n"
    except Exception as error:
        told = f"{type(error).__name__}: {error}\n"
    finally:
        seen, _events = _events, None
        left = list(folder.parent.rglob(hostile.CANARY))
        shutil.rmtree(folder)
    if seen or left:
        return f"{name} {seed} executed {seen}, left {left}"
    return f"{name} {seed}: {told}" if "\n" in told else None


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What readers import is imported before."""
    folder = tmp_path_factory.mktemp("warm")
    for index, name in enumerate(("zip_outside", "run_huge", "log_parquet", "onnx_odd")):
        read(name, 0, folder / str(index))


def found(seeds: range, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    every = [(name, seed) for seed in seeds for name in hostile.KINDS]
    faults = (read(name, seed, folder / f"{name}-{seed}") for name, seed in every)
    return [fault for fault in faults if fault is not None]


@pytest.mark.usefixtures("warm")
def test_nothing_in_a_hostile_file_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(range(2), tmp_path, monkeypatch) == []


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_nothing_in_2000_hostile_files_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = -(-2000 // len(hostile.KINDS))
    assert found(range(100, 100 + count), tmp_path, monkeypatch) == []
