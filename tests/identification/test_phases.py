"""An identification that was interrupted goes on behind its last finished phase."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification.family import family_of
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from sim2real.identification.phases import folder_for
from sim2real.identification.ranges import identify_ranges
from sim2real.identification.result import Identification
from sim2real.identification.score import Missing
from sim2real.identification.stored import decode, encode
from sim2real.registry import load_task
from tests.identification.conftest import FAMILY, log_of, target

SMALL = Domain(name="motors", actuation=[{"strength": {"uniform": [0.5, 1.5]}}])
DRY = [{"field": "dof_frictionloss", "of": "slider", "set": 6.0}]


@pytest.fixture
def told(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poor fit, for which what takes longest is told, not looked for."""
    for name, value in (("CANDIDATES", 12), ("WINDOWS", 20), ("ELITES", 12)):
        monkeypatch.setattr(f"sim2real.identification.search.{name}", value)
    lacking = (Missing("dof_frictionloss", 0.7),)
    monkeypatch.setattr("sim2real.identification.identify.missing", lambda *_: lacking)
    monkeypatch.setattr("sim2real.identification.identify.faults", lambda *_: ["a wrong unit"])


def until(stage: str) -> Callable[[str, float], None]:
    """A report that is interrupted in a stage."""

    def report(what: str, done: float) -> None:
        if what == stage:
            raise KeyboardInterrupt

    return report


def bits(found: Identification) -> Any:
    """All that was found but the time, exactly."""
    plain = found.plain() | {"seconds": None}
    shown = {name: repr(np.asarray(one).tolist()) for name, one in vars(found.evidence).items()}
    return json.dumps(plain), found.domain, found.posterior, found.together, shown


@pytest.mark.usefixtures("told")
def test_the_result_is_that_without_interruption_bit_for_bit(tmp_path: Path) -> None:
    log = log_of(target(delay=0.0, more=DRY), 60)

    def go(phases: Path | None, report: Any = None) -> Identification:
        return identify(log, "cartpole", SMALL, 1, 5, 1, report, True, phases=phases)

    counts = []
    for stage in (
        "searching the family",
        "searching the family once more",
        "looking for what the family lacks",
        "fitting residual forces",
    ):
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, until(stage))
        counts.append(len(list(tmp_path.rglob("*.safetensors"))))
    assert counts == [1, 3, 6, 8]
    stages: list[str] = []
    found = go(tmp_path, lambda what, done: stages.append(what))
    assert [stage for stage in stages if stage != "validating on windows held out"] == [
        "checking what the log shows",
        "fitting residual forces",
    ]
    assert found.residual is not None
    assert bits(found) == bits(go(None))
    again = go(tmp_path)
    assert bits(again) == bits(found)
    assert again.seconds >= found.seconds - 0.5


def test_phases_of_something_else_are_not_used(tmp_path: Path) -> None:
    task = load_task("cartpole")
    family, log = family_of(task, SMALL), log_of(target(), 60)

    def folder(log: Log = log, **changed: Any) -> Path:
        options = {"family": family, "known": (), "seed": 0, "horizon": 5, "residual": False}
        options |= {"code": "sim2real.identification.identify"}
        return folder_for(tmp_path, [log], **(options | changed))

    log.save(tmp_path / "log")
    assert folder(Log.load(tmp_path / "log")) == folder()
    others = [
        folder(log_of(target(), 60, seed=1)),
        folder(family=family_of(task, FAMILY)),
        folder(seed=1),
        folder(residual=True),
        folder(known=({"delay": 0.01},)),
    ]
    assert len({folder(), *others}) == 6


@pytest.mark.usefixtures("told")
def test_a_finished_log_is_not_identified_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = [log_of(target(delay=0.0), 60, seed=seed) for seed in (0, 1)]
    stages: list[str] = []

    def report(what: str, done: float) -> None:
        stages.append(what)
        if stages.count("checking what the log shows") == 2:
            raise KeyboardInterrupt

    def go(report: Any) -> Any:
        return identify_ranges(logs, "cartpole", SMALL, 0, 5, 1, report, phases=tmp_path)

    with pytest.raises(KeyboardInterrupt):
        go(report)
    assert len(list(tmp_path.iterdir())) == 1
    stages.clear()
    go(lambda what, done: stages.append(what))
    second = len(stages) - 1 - stages[::-1].index("checking what the log shows")
    assert "searching the family" not in stages[:second]
    assert "searching the family" in stages[second:]


def test_a_damaged_phase_is_refused(tmp_path: Path) -> None:
    log = log_of(target(), 100)
    with pytest.raises(KeyboardInterrupt):
        identify(log, "cartpole", SMALL, report=until("searching the family"), phases=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=f"{file.name} is damaged"):
        identify(log, "cartpole", SMALL, phases=tmp_path)


def test_values_are_stored_as_they_are() -> None:
    arrays: dict[str, Any] = {}
    value = {"a": (1, "b", None), "c": [2.5, float("inf"), (True,)], "d": np.arange(3)[::2]}
    stored = json.loads(json.dumps(encode(value, arrays, "it"), allow_nan=False))
    found = decode(stored, arrays)
    assert found.pop("d").tolist() == value.pop("d").tolist()
    assert found == value
    with pytest.raises(UserError, match="it cannot store set"):
        encode({1}, arrays, "it")
