"""What a world predicts of a log, and the figure of it."""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification import compare as module
from sim2real.identification.compare import compare
from sim2real.identification.info import info
from sim2real.identification.log import Log
from sim2real.identification.picture import write_picture
from sim2real.identification.record import record
from sim2real.registry import load_task
from sim2real.simulation import Simulation

WEAK = Domain(name="weak", actuation=[{"strength": 0.6}])


def hopper_log(domain: Domain | str | None, steps: int = 300) -> Log:
    actions = np.repeat(np.random.default_rng(1).uniform(-1, 1, (50, 2, 3)), 3, axis=0)
    return record(Simulation("hopper", domain, 2, seed=0), actions, steps)


def test_the_world_of_the_log_predicts_it() -> None:
    found = compare(hopper_log(WEAK), "hopper", WEAK)
    assert max(one.many_steps_share for one in found.errors) < 1e-3
    assert found.sentence.startswith("weak predicts this log: after 15 steps every channel within")
    assert found.findings == ()


def test_errors_are_those_of_a_plain_loop() -> None:
    """One and five steps of the nominal model, from the states that the log shows."""
    log = hopper_log(WEAK)
    found = compare(log, "hopper", horizon=5)
    model = load_task("hopper").compile()
    data = mujoco.MjData(model)
    readings = np.concatenate([log.observations["position"], log.observations["velocity"]], axis=1)
    missed, changed = [], []
    for start in found.windows.first.tolist():
        data.qpos[:] = [0.0, *readings[start, :5]]
        data.qvel[:] = readings[start, 5:]
        shown = []
        for step in range(5):
            data.ctrl[:] = log.commands[start + step]
            mujoco.mj_step(model, data, 4)
            shown.append([*data.qpos[1:], *data.qvel])
        missed.append(np.abs(readings[start + 1 : start + 6] - shown))
        changed.append(np.abs(readings[start + 1 : start + 6] - readings[start]))
    error, change = np.median(missed, axis=0), np.median(changed, axis=0)
    slow = np.abs(readings).max(axis=0) < 9.9  # Gymnasium clips velocities at 10
    assert len(found.windows) > 20
    one_step = np.array([one.one_step for one in found.errors])
    assert one_step[slow] == pytest.approx(error[0][slow], rel=1e-2, abs=1e-6)
    many = np.array([one.many_steps for one in found.errors])
    assert many[slow] == pytest.approx(error[-1][slow], rel=1e-2, abs=1e-6)
    shares = np.array([one.many_steps_share for one in found.errors])
    assert shares[slow] == pytest.approx((error / change)[-1][slow], rel=1e-2, abs=1e-4)
    assert "nominal misses" in found.sentence


def test_a_range_stands_for_its_middle() -> None:
    wide = Domain(name="wide", actuation=[{"strength": {"uniform": [0.4, 0.8]}}])
    found = compare(hopper_log(WEAK), "hopper", wide)
    assert max(one.many_steps_share for one in found.errors) < 1e-3


def test_the_figure_and_the_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slightly = Domain(name="slightly weak", actuation=[{"strength": 0.8}])
    found = compare(hopper_log(slightly), "hopper")
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))
    assert plain["errors"][0]["name"] == "position[0]"
    assert np.shape(plain["growth"]) == (15, 11)
    write_picture(tmp_path / "a.png", found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr(module, "WELL", 10.0)
    assert "nominal predicts this log" in found.sentence


def test_bad_arguments() -> None:
    log = hopper_log(WEAK)
    with pytest.raises(UserError, match="horizon is 1; allowed: 2 to"):
        compare(log, "hopper", horizon=1)
    with pytest.raises(UserError, match="the log commands thigh_joint"):
        compare(log, "cartpole")
    with pytest.raises(UserError, match="windows of 100 steps; allowed: 4 or more"):
        compare(log, "hopper", horizon=100)


def test_info() -> None:
    log = hopper_log(WEAK)
    found = info(log)
    assert (found.steps, found.episodes, found.even) == (300, len(log.starts), True)
    assert found.step_s == pytest.approx(0.008)
    assert found.jitter < 1e-6
    names = [one.name for one in found.channels]
    assert names[2:4] == ["command of foot_joint", "position[0]"]
    first = found.channels[3]
    assert first.low == log.observations["position"][:, 0].min()
    assert first.unit == "m, rad"
    json.dumps(found.plain(), allow_nan=False)
