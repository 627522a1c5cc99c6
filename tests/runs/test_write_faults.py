"""Errors of the disk at each operation of a save: nothing that was saved before is lost."""

from __future__ import annotations

import errno
import os
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sim2real import files
from sim2real.errors import UserError
from sim2real.learning.loop import learn
from sim2real.runs.checkpoint import (
    NotSavedError,
    folder_of,
    read_checkpoint,
    restore_last,
    steps,
    write_checkpoint,
)

KILL = -1
ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)


class Faulty:
    """Functions of a module of which the call `at`, counted over all of them, raises `error`."""

    def __init__(self) -> None:
        self.count, self.at, self.error = 0, 0, 0

    def tick(self) -> None:
        self.count += 1
        if self.count == self.at and self.error == KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == self.at:
            raise OSError(self.error, os.strerror(self.error))

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any, **named: Any) -> Any:
            self.tick()
            return function(*given, **named)

        return called

    def opened(self, *given: Any) -> Any:
        self.tick()
        file = FaultyFile(os.dup(given[0]), given[1])
        os.close(given[0])
        file.faults = self
        return file


class FaultyFile:
    """A file whose `write` stops half-way where it fails."""

    faults: Faulty

    def __init__(self, descriptor: int, mode: str) -> None:
        self._file = open(descriptor, mode)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self.faults.tick()
        self._file.write(data[len(data) // 2 :])

    def __enter__(self) -> FaultyFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class Patched:
    """A module with some functions replaced."""

    def __init__(self, module: Any, **replaced: Any) -> None:
        self._module = module
        vars(self).update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """Counts the file operations of `sim2real.files`, and fails where it is asked to."""
    faulty = Faulty()
    names = ("fsync", "chmod", "replace", "rename")
    replaced = {name: faulty.of(getattr(os, name)) for name in names}
    monkeypatch.setattr(files, "os", Patched(os, fdopen=faulty.opened, **replaced))
    made = {name: faulty.of(getattr(tempfile, name)) for name in ("mkstemp", "mkdtemp")}
    monkeypatch.setattr(files, "tempfile", Patched(tempfile, **made))
    return faulty


def save(run: Path, step: int) -> None:
    weight = {"weight": torch.full((3,), float(step))}
    write_checkpoint(run, step, weight, weight, {"step": step})


def test_an_error_at_each_operation_leaves_the_last_checkpoint(
    faults: Faulty, tmp_path: Path
) -> None:
    save(tmp_path, 1)
    operations = faults.count
    assert operations > 30
    tried = 0
    for error in ERRORS:
        for at in range(1, operations + 1):
            faults.count, faults.at, faults.error = 0, at, error
            with pytest.raises(NotSavedError) as raised:
                save(tmp_path, 2)
            tried += 1
            told = str(raised.value)
            assert told.startswith(f"{folder_of(tmp_path, 2)} cannot be written: ")
            assert os.strerror(error) in told
            assert "\n" not in told
            last = read_checkpoint(tmp_path)  # with warnings as errors: none is damaged
            assert last.state == {"step": last.step}
            assert last.step == 1 or at == operations  # the rename is done then
            assert not list(tmp_path.rglob(f"*{files.PARTIAL}"))
            if last.step == 2:
                files.remove_folder(folder_of(tmp_path, 2))
    assert tried == 3 * operations


def test_a_kill_at_each_operation_leaves_a_whole_checkpoint(faults: Faulty, tmp_path: Path) -> None:
    save(tmp_path, 1)
    operations, faults.error = faults.count, KILL
    last = []
    for at in range(1, operations + 1):
        faults.count, faults.at = 0, at
        if (child := os.fork()) == 0:
            save(tmp_path, 2)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        found = read_checkpoint(tmp_path)  # with warnings as errors: none is damaged
        assert found.state == {"step": found.step}
        last.append(found.step)
        files.remove_unfinished(tmp_path)
        assert not list(tmp_path.rglob(f"*{files.PARTIAL}"))
        if found.step == 2:
            files.remove_folder(folder_of(tmp_path, 2))
    assert last == [1] * (operations - 1) + [2]  # killed before the last sync, the rename is done


@pytest.mark.parametrize("error", ERRORS)
def test_a_training_goes_on_without_a_checkpoint_in_between(
    error: int, faults: Faulty, build: Any, tmp_path: Path
) -> None:
    learn(build("ppo"), tmp_path / "whole", 512, checkpoint_every=128, progress=False)
    one = faults.count // 5
    faults.count, faults.at, faults.error = 0, one * 2 + one // 2, error
    with pytest.warns(UserWarning, match="training goes on without this checkpoint") as warned:
        learn(build("ppo"), tmp_path / "run", 512, checkpoint_every=128, progress=False)
    (told,) = warned
    assert f"{folder_of(tmp_path / 'run', 256)} cannot be written" in str(told.message)
    assert "step 128 is intact" in str(told.message)
    assert steps(tmp_path / "run") == [0, 128, 384, 512]
    assert_equal(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("at", [0, 4])
def test_the_first_and_the_last_checkpoint_must_be_written(
    at: int, faults: Faulty, build: Any, tmp_path: Path
) -> None:
    learn(build("ppo"), tmp_path / "whole", 512, checkpoint_every=128, progress=False)
    one = faults.count // 5
    faults.count, faults.at, faults.error = 0, one * at + one // 2, errno.EIO
    with pytest.raises(UserError, match="cannot be written: Input/output error"):
        learn(build("ppo"), tmp_path / "run", 512, checkpoint_every=128, progress=False)
    faults.at = 0
    resumed = build("ppo")
    restore_last(tmp_path / "run", resumed)
    assert resumed.num_timesteps == max(at - 1, 0) * 128
    learn(resumed, tmp_path / "run", 512, checkpoint_every=128, progress=False)
    assert_equal(tmp_path / "whole", tmp_path / "run")


def assert_equal(whole: Path, run: Path) -> None:
    """The last checkpoints of two runs have the same tensors, bit for bit."""
    one, other = read_checkpoint(whole), read_checkpoint(run)
    assert one.step == other.step
    for part in ("policy", "training"):
        ours, theirs = getattr(one, part), getattr(other, part)
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_no_byte_is_written_where_there_is_no_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path, 1)
    free = Patched(files.shutil, disk_usage=lambda path: Patched(None, free=files.RESERVE))
    monkeypatch.setattr(files, "shutil", free)
    monkeypatch.setattr(files, "write_bytes", lambda *_: pytest.fail("it was written"))
    with pytest.raises(NotSavedError, match="000000002 cannot be written: No space left"):
        save(tmp_path, 2)
    assert steps(tmp_path) == [1]


def test_the_last_checkpoints_and_the_best_are_kept(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 640, checkpoint_every=128, keep_checkpoints=2, progress=False)
    assert steps(tmp_path) == [512, 640]
    rows = [{"steps": step, "totals": [-abs(step - 768.0)]} for step in range(0, 1281, 128)]
    files.write_json(tmp_path / "report" / "curve.json", {"rows": rows})
    resumed = build("ppo")
    restore_last(tmp_path, resumed)
    learn(resumed, tmp_path, 1280, checkpoint_every=128, keep_checkpoints=2, progress=False)
    assert steps(tmp_path) == [768, 1152, 1280]
    assert not list(tmp_path.rglob(f"*{files.PARTIAL}"))
