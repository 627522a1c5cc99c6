"""Phases of an identification, each made once and kept in a folder, to continue where it stopped.

    phases/<digest>/refine-1/value.safetensors    what a phase returned, and the state after it

The digest is that of the logs, the task, the family, the options and the code that identifies: a
phase of anything else is not found.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
import torch

from sim2real import files
from sim2real.evaluation.provenance import content, key_of
from sim2real.identification.family import Family
from sim2real.identification.log import Log
from sim2real.identification.replay import Replay
from sim2real.identification.stored import decode, encode
from sim2real.runs.checked_folder import read_checked, write_checked
from sim2real.runs.checkpoint import refused_if_damaged

VALUE = "value.safetensors"
PLAIN = "plain"
"""The name of the JSON among the tensors of a file."""
T = TypeVar("T")


class Phases:
    """The phases of one identification, which draws from `rng` and counts steps in `replay`.

    Without a `folder` nothing is kept. The result is the same, bit for bit: what a phase returns is
    always read from what is stored of it.
    """

    def __init__(self, folder: Path | None, rng: np.random.Generator, replay: Replay) -> None:
        self._folder, self._rng, self._replay = folder, rng, replay
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """The time so far, with that of the phases that were found."""
        return time.monotonic() - self._began

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns, or what was stored of it; see `stored.encode` for what it may be."""
        if self._folder is None:
            return self._unpacked(self._packed(name, make()))  # type: ignore[no-any-return]
        path = self._folder / name
        if not path.is_dir():
            write_checked(path, {VALUE: self._packed(name, make())})
        with refused_if_damaged(str(path)):
            return self._unpacked(read_checked(path, (VALUE,))[VALUE])  # type: ignore[no-any-return]

    def _packed(self, name: str, value: Any) -> bytes:
        tensors: dict[str, torch.Tensor] = {}
        plain = {
            "value": encode(value, tensors, f"phase {name!r}"),
            "generator": self._rng.bit_generator.state,
            "simulated": self._replay.simulated,
            "seconds": self.seconds,
        }
        text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
        return safetensors.torch.save(tensors | {PLAIN: torch.from_numpy(text.copy())})

    def _unpacked(self, data: bytes) -> Any:
        """The value of a phase, with everything put back as it was after it."""
        tensors = safetensors.torch.load(data)
        plain = json.loads(tensors.pop(PLAIN).numpy().tobytes())
        self._rng.bit_generator.state = plain["generator"]
        self._replay.simulated = plain["simulated"]
        self._began = min(self._began, time.monotonic() - plain["seconds"])
        return decode(plain["value"], tensors)


def folder_for(
    phases: Path | str,
    logs: Sequence[Log],
    family: Family,
    known: Sequence[Mapping[str, float]],
    code: str,
    **options: Any,
) -> Path:
    """The folder, in `phases`, of the identification of `logs` in a `family` with `options`.

    `code` is the module that identifies.
    """
    made_of = content(
        family.task,
        family.domain,
        [code],
        logs=[log.digest for log in logs],
        known=[{name: float(value) for name, value in one.items()} for one in known],
        **options,
    )
    return files.user_path(phases) / key_of(made_of)
