"""An exported controller and its contract, called once in each control step."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.deployment.names import (
    COMMANDS,
    CONTRACT,
    CONTROLLER,
    FIRST,
    FORMAT,
    NEXT_STATE,
    OBSERVATION,
    STATE,
)
from sim2real.deployment.runner.interface import Array, Reading
from sim2real.errors import UserError
from sim2real.runs.session import read_session

Inputs = dict[str, NDArray[np.float32]]
KEYS = ("control_dt", "observation", "action", "controller", "files")
"""The parts of a contract that the runner reads."""


@dataclass(frozen=True)
class Answer:
    """The commands of the policy, (nu,), and the newest numbers of each observation term."""

    commands: Array
    observed: Array


class Controller:
    """controller.onnx with what it remembers from one control step to the next.

    Raises UserError if the folder is no exported policy, or its actions are no commands.
    """

    def __init__(self, folder: Path) -> None:
        self.contract = read_contract(folder)
        if COMMANDS not in self.contract["controller"]["outputs"]:
            raise UserError(
                f"{folder}: the controller gives actions and no commands; allowed: a task whose "
                "commands are affine in the actions"
            )
        _check_digest(folder / CONTROLLER, self.contract["files"])
        self._session = read_session(folder / CONTROLLER)
        inputs = self.contract["controller"]["inputs"]
        self.sizes = {one["name"]: len(one["numbers"]) for one in inputs if "numbers" in one}
        self.joints = {one["name"]: one["numbers"] for one in inputs if "numbers" in one}
        self._steps_from: str | None = self.contract["action"]["command"]["steps_from"]
        remembered = [one["size"] for one in inputs if one["name"] == STATE]
        self._state: NDArray[np.float32] | None = None
        if remembered:
            self._state = np.zeros((1, remembered[0]), np.float32)
        self.begin()

    def begin(self) -> None:
        """Let the next call be the first of an episode."""
        self._first = True

    @property
    def steps(self) -> bool:
        """Whether a command is a step from the one before."""
        return self._steps_from is not None

    @property
    def needed(self) -> list[str]:
        """The inputs that come from the robot."""
        return [name for name in self.sizes if name != self._steps_from]

    def joint(self, reading: Inputs, quantity: str) -> dict[str, float]:
        """The positions or velocities of a reading, by joint."""
        if quantity not in self.sizes:
            return {}
        return dict(zip(self.joints[quantity], reading[quantity][0].tolist(), strict=True))

    def inputs(self, reading: Reading) -> Inputs:
        """The inputs that the controller takes; UserError for a missing one or another size."""
        found = {}
        for name in self.needed:
            if name not in reading.values:
                given = ", ".join(reading.values) or "nothing"
                raise UserError(f"the reading has {given}; allowed: {name!r}, too")
            values = np.asarray(reading.values[name], dtype=np.float32).reshape(1, -1)
            if values.shape[1] != self.sizes[name]:
                raise UserError(
                    f"the reading has {values.shape[1]} numbers of {name!r}; allowed: "
                    f"{self.sizes[name]}, {', '.join(map(str, self.joints[name]))}"
                )
            found[name] = values
        return found

    def __call__(self, inputs: Inputs, sent: Array) -> Answer:
        """What follows from a reading; `sent` (nu,) are the commands of the control step before."""
        given = dict(inputs)
        if self._steps_from is not None:
            given[self._steps_from] = sent.astype(np.float32)[None]
        if self._state is not None:
            given[STATE], given[FIRST] = self._state, np.full((1, 1), self._first, np.float32)
        answers = self._session(given)
        if self._state is not None:
            self._state, self._first = answers[NEXT_STATE], False
        observed = answers[OBSERVATION][0, self._newest].astype(np.float64)
        return Answer(answers[COMMANDS][0].astype(np.float64), observed)

    @property
    def terms(self) -> dict[str, int]:
        """The size of each observation term in one control step."""
        terms = self.contract["observation"]["terms"]
        return {term["name"]: term["size"] // term["history"] for term in terms}

    @cached_property
    def _newest(self) -> NDArray[np.intp]:
        """The columns of the present readings in an observation, without histories."""
        ends = [term["first"] + term["size"] for term in self.contract["observation"]["terms"]]
        pairs = zip(ends, self.terms.values(), strict=True)
        return np.concatenate([np.arange(end - size, end) for end, size in pairs])


def _check_digest(path: Path, digests: dict[str, str]) -> None:
    """UserError unless the file is the one that was exported with this contract."""
    if not path.is_file():
        return  # `read_session` says so
    if hashlib.sha256(path.read_bytes()).hexdigest() != digests.get(path.name):
        raise UserError(
            f"{path} is not the file that was exported with {CONTRACT}; copy or export it again"
        )


def read_contract(folder: Path) -> dict[str, Any]:
    """The contract of an exported policy; UserError if there is none."""
    path = folder / CONTRACT
    try:
        contract = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{folder} is not an exported policy: it has no {CONTRACT}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(contract, dict) or contract.get("format") != FORMAT:
        raise UserError(f"{path} is not a contract; allowed: the format {FORMAT}")
    if lacking := [key for key in KEYS if key not in contract]:
        raise UserError(f"{path} has no {', '.join(lacking)}; export again")
    return contract
