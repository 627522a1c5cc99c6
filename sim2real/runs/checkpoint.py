"""Checkpoints: folders that are whole or absent, checked by digest; reading executes nothing.

checkpoints/000409600/policy.safetensors     the policy's tensors, normalizer included
                      training.safetensors   moments, replay buffer, worlds, generators
                      state.json             counters and whatever else is not a tensor
                      manifest.json          size and SHA-256 of the three files
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sim2real import files
from sim2real.errors import UserError, brief
from sim2real.runs import state as training_state

FORMAT = 1
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, of a quota that is used up, and of a file that is too large."""
POLICY, TRAINING, STATE, MANIFEST = (
    "policy.safetensors",
    "training.safetensors",
    "state.json",
    "manifest.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """The content of one checkpoint folder."""

    step: int
    path: Path
    policy: dict[str, Tensor]
    training: dict[str, Tensor]
    state: dict[str, Any]

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self.policy)} tensors of the policy)"


def write_checkpoint(
    run: Path,
    step: int,
    policy: Mapping[str, Tensor],
    training: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> Path:
    """Write checkpoints/<step>/ of the run, whole or not at all; returns its path.

    Raises UserError when the disk is full; the checkpoints before it are untouched.
    """
    path = run / "checkpoints" / f"{step:09d}"
    contents = {
        POLICY: _serialize(policy),
        TRAINING: _serialize(training),
        STATE: (json.dumps(state, allow_nan=False) + "\n").encode(),
    }
    try:
        with files.new_folder(path) as folder:
            for name, data in contents.items():
                files.write_bytes(folder / name, data)
            entries = {name: _entry(folder / name) for name in contents}
            files.write_json(folder / MANIFEST, {"format": FORMAT, "step": step, "files": entries})
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise disk_full(run, error) from None
    return path


def disk_full(run: Path, error: OSError) -> UserError:
    """The one line for a disk that is full, naming the step that a resumed run continues from."""
    last = max(steps(run), default=None)
    kept = (
        "nothing was saved before" if last is None else f"the checkpoint at step {last} is intact"
    )
    reason = os.strerror(error.errno or errno.ENOSPC)
    return UserError(f"{run}: {reason}; free some space, then resume: {kept}")


def read_checkpoint(run: Path, step: int | None = None) -> Checkpoint:
    """Read a checkpoint of the run: of `step`, or the last good one.

    A damaged newer checkpoint is skipped with one warning. Raises UserError if there is none, or
    none that is whole, or not the one asked for.
    """
    found = steps(run)
    if not found:
        raise UserError(f"{run} has no checkpoint")
    if step is not None:
        if step not in found:
            allowed = ", ".join(str(one) for one in found)
            raise UserError(f"{run} has no checkpoint of step {step}; allowed: {allowed}")
        return _read(run, step)
    damages: list[str] = []
    for candidate in reversed(found):
        try:
            checkpoint = _read(run, candidate)
        except UserError as error:
            damages.append(str(error))
            continue
        if damages:
            warnings.warn(f"{damages[0]}; using step {candidate} instead", stacklevel=2)
        return checkpoint
    raise UserError(f"{run}: all checkpoints are damaged: {damages[0]}")


def steps(run: Path) -> list[int]:
    """The steps of which the run has a checkpoint, whole or not, ascending."""
    names = (path.name for path in (run / "checkpoints").glob("[0-9]*"))
    return sorted(int(name) for name in names if name.isdigit())


def discard_after(run: Path, step: int) -> None:
    """Remove the checkpoints after `step`, which will be made again."""
    for later in steps(run):
        if later > step:
            shutil.rmtree(run / "checkpoints" / f"{later:09d}")


def restore_last(run: Path, algorithm: BaseAlgorithm) -> None:
    """Make `algorithm` continue from the last good checkpoint of a run, if it has one.

    Removes what a killed process left unfinished in the run, and damaged later checkpoints.
    Raises UserError as `read_checkpoint` and `restore` do.
    """
    files.remove_unfinished(run)
    if steps(run):
        checkpoint = read_checkpoint(run)
        restore(algorithm, checkpoint)
        discard_after(run, checkpoint.step)


def restore(algorithm: BaseAlgorithm, checkpoint: Checkpoint) -> None:
    """Make `algorithm` continue from `checkpoint` as if it had never stopped.

    Raises UserError, naming both, if the checkpoint is of other spaces or networks, and for a
    training state in which a value is missing or of another kind.
    """
    with refused_if_damaged(training_state_at(checkpoint.step)):
        training_state.restore(algorithm, checkpoint.policy, checkpoint.training, checkpoint.state)


DAMAGED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError)
"""The exceptions of restoring a value that was edited or damaged."""


def training_state_at(step: int) -> str:
    """The name of a checkpoint's training state in messages."""
    return f"the training state of the checkpoint at step {step}"


@contextlib.contextmanager
def refused_if_damaged(what: str) -> Iterator[None]:
    """Turn the exceptions of a damaged value into a UserError of one line."""
    try:
        yield
    except UserError:
        raise
    except (SafetensorError, *DAMAGED) as e:
        reason = f"{type(e).__name__}: {brief(str(e))}"
        raise UserError(f"{what} is damaged: {reason}") from None


def _serialize(tensors: Mapping[str, Tensor]) -> bytes:
    # safetensors refuses tensors that share memory: PPO names one normalizer three times
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(own)


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": files.sha256(path)}


def _read(run: Path, step: int) -> Checkpoint:
    path = run / "checkpoints" / f"{step:09d}"
    manifest = files.read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path / MANIFEST} is not a manifest of format {FORMAT}")
    entries = manifest.get("files")
    if not isinstance(entries, dict):
        raise UserError(f"{path / MANIFEST} is damaged: it lists no files")
    for name in (POLICY, TRAINING, STATE):
        file, entry = path / name, entries.get(name)
        if not file.is_file():
            raise UserError(f"{file} is missing")
        if entry != _entry(file):
            raise UserError(f"{file} is damaged: size or SHA-256 differ from the manifest")
    with refused_if_damaged(str(path)):
        policy = safetensors.torch.load((path / POLICY).read_bytes())
        training = safetensors.torch.load((path / TRAINING).read_bytes())
    state = files.read_json(path / STATE)
    if not isinstance(state, dict):
        raise UserError(f"{path / STATE} is damaged: it holds no keys and values")
    return Checkpoint(step, path, policy, training, state)
