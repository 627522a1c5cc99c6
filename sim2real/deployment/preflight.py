"""Checks of an exported policy on the computer that it will run on, before it moves a robot."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim2real import files
from sim2real.checks import Check, require, run_checks
from sim2real.deployment.log_checks import LOG_CHECKS, Compared
from sim2real.deployment.names import COMMANDS, CONTRACT, FIRST, FORMAT, STATE, TORCHSCRIPT
from sim2real.deployment.names import CONTROLLER as FILE
from sim2real.deployment.robot_checks import ROBOT_CHECKS, Agreed
from sim2real.errors import UserError
from sim2real.extras import needed
from sim2real.runs.session import ACTIONS, EXTRA, KEY, OBSERVED, ONNX, Arrays, Session, read_session

if TYPE_CHECKING:  # the checks without a log or a contract need none of their packages
    from sim2real.deployment.robot_contract import RobotContract
    from sim2real.identification.formats.mapping import LogMapping
    from sim2real.identification.log import Log

TOLERANCE = 1e-5
"""Largest difference of an action from that of the test vectors; processors round otherwise."""
CALLS = 1000
SHARE = 0.1
"""Share of the control step that the slowest 1 % of the calls may take."""
READINGS = 100
"""Random readings that the controller is asked for."""


@dataclass(frozen=True)
class Exported:
    """The folder of an exported policy."""

    path: Path
    contract: dict[str, Any]

    @cached_property
    def policy(self) -> Session:
        """policy.onnx."""
        return read_session(self.path / ONNX)

    @cached_property
    def controller(self) -> Session:
        """controller.onnx."""
        return read_session(self.path / FILE)

    def readings(self, rows: int) -> dict[str, Any]:
        """Random inputs of the controller, at the first control step of an episode."""
        rng, given = np.random.default_rng(0), {}
        for one in self.contract["controller"]["inputs"]:
            size = one["size"] if "size" in one else len(one["numbers"])
            given[one["name"]] = rng.normal(size=(rows, size)).astype(np.float32)
        if FIRST in given:
            given[FIRST][:] = 1.0
        return given


def read_exported(path: Path | str) -> Exported:
    """The folder that `export` wrote; UserError if it is none."""
    folder = files.user_path(path)
    if not folder.exists():
        raise files.absent(folder)
    if not (folder / CONTRACT).is_file():
        raise UserError(f"{folder} is not an exported policy: it has no {CONTRACT}")
    files.refuse_links_out_of(folder)
    contract = files.read_json(folder / CONTRACT)
    if not isinstance(contract, dict) or contract.get("format") != FORMAT:
        raise UserError(f"{folder / CONTRACT} is not a contract; allowed: the format {FORMAT}")
    return Exported(folder, contract)


def preflight(
    path: Path | str,
    log: Log | Path | str | None = None,
    robot: RobotContract | Path | str | None = None,
) -> tuple[Check, ...]:
    """Check an exported policy on this computer, against a log and what a robot says of itself.

    One result a check. Raises UserError if `path` is none, if a file cannot be read, or if
    onnxruntime or another package is missing that the given ones need.
    """
    needed("onnxruntime", "preflight", EXTRA)
    exported = read_exported(path)
    if not (log is None and robot is None) and "statistics" not in exported.contract:
        raise UserError(f"{exported.path} has no statistics of the training; export again")
    side = _robot(robot) if isinstance(robot, Path | str) else robot
    seen = read_log(log) if isinstance(log, Path | str) else log

    def controller(inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        return exported.controller(inputs)

    found = [*run_checks(CHECKS, exported)]
    if side is not None:
        found += run_checks(ROBOT_CHECKS, Agreed(side, exported.contract, controller))
    if seen is not None:
        found += run_checks(LOG_CHECKS, Compared(seen, exported.contract, controller))
    return tuple(found)


def read_log(path: Path | str, mapping: LogMapping | Path | str | None = None) -> Log:
    """`Log.load`; UserError that names the packages if one of them is missing."""
    _require("a log", "pydantic", "safetensors")
    from sim2real.identification.log import Log

    return Log.load(path, mapping)


def _robot(path: Path | str) -> RobotContract:
    _require("a robot's contract", "pydantic")
    from sim2real.deployment.robot_contract import read_robot

    return read_robot(path)


def _require(what: str, *packages: str) -> None:
    try:
        for name in packages:
            importlib.import_module(name)
    except ImportError:
        names = " ".join(packages)
        raise UserError(f"{what} needs: python -m pip install {names}") from None


def _files(exported: Exported) -> None:
    named = exported.contract["files"]
    require(set(named) == {ONNX, TORCHSCRIPT, FILE}, f"{CONTRACT} names other files: {[*named]}")
    for name, digest in named.items():
        require((exported.path / name).is_file(), f"{name} is missing; export again")
        same = files.sha256(exported.path / name) == digest
        require(same, f"{name} is not the file that was exported; copy or export it again")


def _contract(exported: Exported) -> None:
    for name, session in ((ONNX, exported.policy), (FILE, exported.controller)):
        inside = json.loads(session.metadata[KEY])
        off = [key for key, value in inside.items() if exported.contract.get(key) != value]
        require(not off, f"{name} and {CONTRACT} differ in {', '.join(off)}; export again")


def _vectors(exported: Exported) -> None:
    stored = exported.contract["test_vectors"]
    seen, expected = (np.array(stored[name], np.float32) for name in ("observations", "actions"))
    given = exported.policy({OBSERVED: seen})[ACTIONS]
    off = float(np.abs(given - expected).max())
    require(off <= TOLERANCE, f"{ONNX} gives other actions than at the export, by {off:.1e}")


def _first_call(exported: Exported) -> None:
    given = exported.readings(READINGS)
    answers = exported.controller(given)
    finite = all(np.isfinite(values).all() for values in answers.values())
    require(finite, f"{FILE} gives numbers that are not finite for finite readings")
    if STATE in given:
        again = exported.controller({**given, STATE: 0.0 * given[STATE]})
        same = all(np.array_equal(answers[name], again[name]) for name in answers)
        require(same, f"{FILE} reads its state at the first control step of an episode")


def _limits(exported: Exported) -> None:
    answers, action = exported.controller(exported.readings(READINGS)), exported.contract["action"]
    bounds = {ACTIONS: np.array([action["low"], action["high"]])}
    if COMMANDS in answers:
        bounds[COMMANDS] = np.array(action["command_limits"]).T
    for name, (low, high) in bounds.items():
        slack = TOLERANCE * (high - low)
        inside = (answers[name] >= low - slack) & (answers[name] <= high + slack)
        require(inside.all(), f"{FILE} gives {name} beyond their limits")


def _speed(exported: Exported) -> None:
    slowest = float(np.quantile(times(exported.controller, exported.readings(1)), 0.99))
    allowed = SHARE * exported.contract["control_dt"]
    require(
        slowest <= allowed,
        f"1 % of the calls of {FILE} take more than {1e3 * slowest:.2f} ms; allowed: "
        f"{1e3 * allowed:.2f} ms, a tenth of the control step",
    )


def times(session: Session, inputs: Arrays) -> list[float]:
    """The time of each of `CALLS` calls in s."""
    taken = []
    for _ in range(CALLS):
        start = time.perf_counter()
        session(inputs)
        taken.append(time.perf_counter() - start)
    return taken


CHECKS: dict[str, Callable[[Exported], None]] = {
    "files": _files,
    "contract": _contract,
    "test vectors": _vectors,
    "first call": _first_call,
    "limits": _limits,
    "speed": _speed,
}
"""What is checked, by name."""
