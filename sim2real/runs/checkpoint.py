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
from sim2real.plain import parse_json
from sim2real.runs import state as training_state
from sim2real.runs.checked_folder import read_checked, write_checked

UNWRITTEN = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS),
)
"""Errors of a full disk, of a damaged one, and of a folder that cannot be written."""
POLICY, TRAINING, STATE = "policy.safetensors", "training.safetensors", "state.json"


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

    Raises UserError where it cannot be written; the checkpoints before it are untouched.
    """
    path = folder_of(run, step)
    contents = {
        POLICY: _serialize(policy),
        TRAINING: _serialize(training),
        STATE: (json.dumps(state, allow_nan=False) + "\n").encode(),
    }
    with refused_if_unwritten(run):
        write_checked(path, contents, step=step)
    return path


def folder_of(run: Path, step: int) -> Path:
    """The folder of the run's checkpoint at `step`."""
    return run / "checkpoints" / f"{step:09d}"


class NotSavedError(UserError):
    """A file of a run cannot be written; the message names it and the last checkpoint."""


@contextlib.contextmanager
def refused_if_unwritten(run: Path) -> Iterator[None]:
    """Turn an OSError of `UNWRITTEN` into a NotSavedError of one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITTEN:
            raise
        last = max(steps(run), default=None)
        kept = "nothing was saved before" if last is None else f"step {last} is intact"
        reason = os.strerror(error.errno)
        raise NotSavedError(
            f"{error.filename or run} cannot be written: {reason}; once it can, resume the run: "
            f"{kept}"
        ) from None


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
            files.remove_folder(folder_of(run, later))


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


def _read(run: Path, step: int) -> Checkpoint:
    path = folder_of(run, step)
    found = read_checked(path, (POLICY, TRAINING, STATE), step=step)
    with refused_if_damaged(str(path)):
        policy = safetensors.torch.load(found[POLICY])
        training = safetensors.torch.load(found[TRAINING])
        state = parse_json(found[STATE].decode())
    if not isinstance(state, dict):
        raise UserError(f"{path / STATE} is damaged: it holds no keys and values")
    return Checkpoint(step, path, policy, training, state)
