from __future__ import annotations

import errno
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from sim2real import files
from sim2real.errors import UserError
from sim2real.learning.loop import learn
from sim2real.policies.recipe import load_recipe
from sim2real.runs.checkpoint import read_checkpoint, restore, steps, write_checkpoint

FILES = ("policy.safetensors", "training.safetensors", "state.json", "manifest.json")


def write(run: Path, step: int) -> Path:
    weight = torch.full((2, 3), float(step))
    shared = {"one": weight, "same": weight, "transposed": weight.T}
    training = {
        "flags": torch.tensor([True, False]),
        "words": torch.tensor([2**63], dtype=torch.uint64),
    }
    return write_checkpoint(run, step, shared, training, {"pi": 0.1, "big": 2**100})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, 7)
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    read = read_checkpoint(tmp_path)
    assert read.step == 7
    assert torch.equal(read.policy["transposed"], torch.full((3, 2), 7.0))
    assert read.training["words"].item() == 2**63
    assert read.state == {"pi": 0.1, "big": 2**100}
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["files"]["state.json"]["sha256"] == files.sha256(path / "state.json")


def test_nothing_is_pickled(tmp_path: Path) -> None:
    for file in write(tmp_path, 1).iterdir():
        with pytest.raises((pickle.UnpicklingError, ValueError, KeyError, IndexError, EOFError)):
            pickle.loads(file.read_bytes())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_newest_is_skipped_with_one_warning(name: str, damage: str, tmp_path: Path) -> None:
    for step in (1, 2, 10):
        write(tmp_path, step)
    file = tmp_path / "checkpoints" / "000000010" / name
    _damage(file, damage)
    with pytest.warns(UserWarning, match="using step 2 instead") as warned:
        read = read_checkpoint(tmp_path)
    assert len(warned) == 1
    assert read.step == 2
    assert read.policy["one"][0, 0] == 2.0


def _damage(file: Path, damage: str) -> None:
    data = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def test_all_damaged(tmp_path: Path) -> None:
    for step in (1, 2):
        _damage(write(tmp_path, step) / "state.json", "truncated")
    with pytest.raises(UserError, match=r"all checkpoints are damaged: .*state\.json is damaged"):
        read_checkpoint(tmp_path)


def test_none_and_not_that_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no checkpoint$"):
        read_checkpoint(tmp_path)
    write(tmp_path, 4)
    with pytest.raises(UserError, match="no checkpoint of step 5; allowed: 4"):
        read_checkpoint(tmp_path, 5)
    _damage(tmp_path / "checkpoints" / "000000004" / "policy.safetensors", "truncated")
    with pytest.raises(UserError, match="is damaged"):
        read_checkpoint(tmp_path, 4)


def test_full_disk_leaves_the_last_checkpoint(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = files.write_bytes

    def full(path: Path, data: bytes) -> None:
        if path.name == "training.safetensors" and ".00000038" in str(path):
            path.write_bytes(data[:100])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write_bytes(path, data)

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(
        UserError, match=r"No space left on device; .* step 256 is intact"
    ) as raised:
        learn(build("ppo"), tmp_path, 384, checkpoint_every=128, progress=False)
    assert "\n" not in str(raised.value)
    assert steps(tmp_path) == [0, 128, 256]
    assert not list((tmp_path / "checkpoints").glob(".*"))
    monkeypatch.undo()
    resumed = build("ppo")
    restore(resumed, read_checkpoint(tmp_path))
    learn(resumed, tmp_path, 1280, checkpoint_every=128, progress=False)
    assert steps(tmp_path)[-1] == 1280


def test_checkpoint_of_other_spaces_names_both(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 128, progress=False)
    checkpoint = read_checkpoint(tmp_path)
    checkpoint.state["spaces"]["observation"]["shape"] = [11]
    expected = r"it has observation \(11,\) float64, .*, needed are observation \(2,\) float64"
    with pytest.raises(UserError, match=expected):
        restore(build("ppo"), checkpoint)


def test_checkpoint_of_another_network(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 128, progress=False)
    with pytest.raises(UserError, match="of another network") as raised:
        restore(build("ppo", net_arch=[9]), read_checkpoint(tmp_path))
    assert "\n" not in str(raised.value)


def test_replay_buffer_of_another_size(build: Any, tmp_path: Path) -> None:
    learn(build("sac"), tmp_path, 256, progress=False)
    assert load_recipe("sac").buffer_size > 256
    with pytest.raises(UserError, match=r"replay buffer is \(32, 8\), the algorithm's is \(4, 8\)"):
        restore(build("sac", buffer_size=32), read_checkpoint(tmp_path))
