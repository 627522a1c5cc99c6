"""An exported policy against a log and against what a robot says: each planted fault is found."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sim2real.checks import run_checks
from sim2real.deployment.contract import contract_of_run
from sim2real.deployment.control import controller_of, described
from sim2real.deployment.first_step import Ask
from sim2real.deployment.log_checks import LOG_CHECKS, Compared
from sim2real.deployment.robot_checks import ROBOT_CHECKS, Agreed
from sim2real.deployment.robot_contract import read_robot
from sim2real.deployment.statistics import statistics
from sim2real.deployment.training_logs import recorded_in_training
from sim2real.domains import load_domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import simulation_for
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.runs.load import load_run

JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")
STEPS = 300


@dataclasses.dataclass(frozen=True)
class Side:
    """What an exported policy of a task says, and the policy."""

    run: Any
    contract: dict[str, Any]
    controller: Ask

    def logs(self, domain: str, worlds: int, seed: int = 100) -> list[Log]:
        """A log of each of some worlds."""
        loaded = load_domain(self.run.task, domain)
        several = simulation_for(self.run.policy, self.run.task, loaded, worlds, seed, threads=1)
        log = record(several, self.run.policy, STEPS * worlds, seed=seed)
        several.close()
        found, chosen, rows = [], [], 0
        for index, one in enumerate(log.episodes):
            chosen, rows = [*chosen, index], rows + one.stop - one.start - 1
            if rows == STEPS:
                found.append(log.take(chosen))
                chosen, rows = [], 0
        return found

    def faults(self, log: Log) -> dict[str, str]:
        checks = run_checks(LOG_CHECKS, Compared(log, self.contract, self.controller))
        return {one.name: one.message for one in checks if not one.passed}


def side(task: str) -> Side:
    """Without the files of an export."""
    run = load_run(f"pretrained:{task}")
    controller = controller_of(run.policy, run.task, run.domain)
    contract = contract_of_run(run) | {"controller": described(controller)}
    trained = recorded_in_training(run.policy, run.task, run.domain)
    contract |= {"statistics": statistics(trained, contract)}

    def ask(inputs: Any) -> dict[str, Any]:
        given = [torch.from_numpy(inputs[name]) for name in controller.input_names]
        return dict(
            zip(controller.output_names, [one.numpy() for one in controller(*given)], strict=True)
        )

    return Side(run, contract, ask)


@pytest.fixture(scope="module")
def arm() -> Side:
    return side("arm_reach")


@pytest.fixture(scope="module")
def log(arm: Side) -> Log:
    return arm.logs("randomized", 1)[0]


GOOD = {
    "hopper": ("nominal",),
    "half_cheetah": ("nominal",),
    "furuta": ("nominal", "randomized"),
    "cartpole": ("nominal", "mild", "randomized"),
    "arm_reach": ("nominal", "mild", "randomized"),
}


@pytest.mark.parametrize("task", GOOD)
def test_nothing_is_found_in_good_logs(task: str, request: pytest.FixtureRequest) -> None:
    """20 of them: five tasks, in domains within that of their training, two worlds of each."""
    one = request.getfixturevalue("arm") if task == "arm_reach" else side(task)
    good = [log for domain in GOOD[task] for log in one.logs(domain, 2)]
    assert [one.faults(log) for log in good] == [{}] * len(good)


def changed(log: Log, term: str, change: Callable[[Any], Any]) -> Log:
    readings = {**log.observations, term: change(np.array(log.observations[term]))}
    return dataclasses.replace(log, observations=readings)


def columns(change: Callable[[Any], Any], *places: int) -> Callable[[Any], Any]:
    def changed_there(values: Any) -> Any:
        values[:, places] = change(values[:, places])
        return values

    return changed_there


def swapped(a: int, b: int) -> Callable[[Any], Any]:
    def exchange(values: Any) -> Any:
        values[:, [a, b]] = values[:, [b, a]]
        return values

    return exchange


def without(log: Log, term: str) -> Log:
    rest = {name: one for name, one in log.observations.items() if name != term}
    units = {name: one for name, one in log.units.items() if name in rest}
    return dataclasses.replace(log, observations=rest, units=units)


def commanded(log: Log, change: Callable[[Any], Any]) -> Log:
    return dataclasses.replace(log, commands=change(np.array(log.commands)))


def timed(log: Log, change: Callable[[Any], Any]) -> Log:
    return dataclasses.replace(log, times=change(np.array(log.times)))


def late(values: Any) -> Any:
    """Three control steps: as if they were given before they were."""
    return np.concatenate([values[3:], values[-1:].repeat(3, axis=0)])


RNG = np.random.default_rng(0)
PLANTED: dict[str, tuple[Callable[[Log], Log], str, str]] = {
    "missing term": (lambda g: without(g, "velocity"), "channels", "velocity is missing"),
    "narrow term": (
        lambda g: changed(g, "position", lambda v: v[:, :4]),
        "channels",
        "position has 4 numbers; the policy expects 5",
    ),
    "order of actuators": (
        lambda g: dataclasses.replace(g, actuators=g.actuators[::-1]),
        "channels",
        "its actuators are in another order",
    ),
    "other actuators": (
        lambda g: dataclasses.replace(g, actuators=tuple("abcde")),
        "channels",
        "its actuators are other ones: a, b, c, d",
    ),
    "declared unit": (
        lambda g: dataclasses.replace(g, units={**g.units, "position": "deg"}),
        "units",
        "position is in deg; the policy expects rad",
    ),
    "degrees": (
        lambda g: changed(g, "position", np.rad2deg),
        "response",
        "position seems to be in degrees",
    ),
    "degrees a second": (
        lambda g: changed(g, "velocity", np.rad2deg),
        "response",
        "velocity seems to be in degrees",
    ),
    "commands in degrees": (
        lambda g: commanded(g, np.rad2deg),
        "command limits",
        "are beyond their limits",
    ),
    "reversed position": (
        lambda g: changed(g, "position", columns(np.negative, 1)),
        "response",
        "position[1] (shoulder_lift) seems to be reversed",
    ),
    "reversed velocity": (
        lambda g: changed(g, "velocity", columns(np.negative, 2)),
        "joints",
        "the position of elbow_flex changes by -0.0",
    ),
    "reversed command": (
        lambda g: commanded(g, columns(np.negative, 2)),
        "response",
        "elbow_flex",
    ),
    "swapped positions": (
        lambda g: changed(g, "position", swapped(1, 2)),
        "response",
        "position[1] (shoulder_lift) and position[2] (elbow_flex) seem to be swapped",
    ),
    "swapped velocities": (
        lambda g: changed(g, "velocity", swapped(1, 3)),
        "joints",
        "the position of shoulder_lift changes by",
    ),
    "shifted position": (
        lambda g: changed(g, "position", columns(lambda v: v + 0.2, 0)),
        "offsets",
        "position[0] (shoulder_pan) seems to be shifted by 0.2;",
    ),
    "late": (lambda g: commanded(g, late), "latency", "later than in the mean of the training"),
    "rate": (
        lambda g: timed(g, lambda t: 1.25 * t),
        "rate",
        "a row every 50 ms; the policy acts every 40 ms",
    ),
    "jitter": (
        lambda g: timed(g, lambda t: t + RNG.uniform(-0.01, 0.01, len(t))),
        "jitter",
        "one row in ten is more than",
    ),
    "lost rows": (
        lambda g: timed(g, lambda t: t + 0.04 * (np.arange(len(t)) // 20)),
        "jitter",
        "5.0% of them more than half",
    ),
    "dead sensor": (
        lambda g: changed(g, "velocity", columns(lambda v: 0 * v, 4)),
        "dead channels",
        "velocity[4]: never changes",
    ),
    "saturated sensor": (
        lambda g: changed(g, "velocity", lambda v: np.clip(v, -0.3, 0.3)),
        "saturation",
        "is at its largest or smallest value in",
    ),
    "rough commands": (
        lambda g: commanded(g, lambda u: u + 0.3 * (-1.0) ** np.arange(len(u))[:, None]),
        "smoothness",
        "the command of shoulder_pan jitters by",
    ),
    "another place": (
        lambda g: changed(g, "to_goal", lambda v: v + np.array([0.0, 0.0, 1.0])),
        "distribution",
        "to_goal[2] is",
    ),
    "far start": (
        lambda g: changed(g, "target", columns(lambda v: v + 1.2, 3)),
        "first commands",
        "the first command of wrist_flex is",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_of_a_log_is_found(name: str, arm: Side, log: Log) -> None:
    plant, check, message = PLANTED[name]
    assert message in arm.faults(plant(log))[f"log: {check}"]


def robot() -> dict[str, Any]:
    """What the side of the arm says where it agrees."""
    return {
        "control_dt": 0.04,
        "jitter_s": 0.002,
        "latency_s": [0.01, 0.03],
        "joints": [
            {"name": name, "limits": [-3, 3], "velocity": 20, "force": 5, "rest": rest}
            for name, rest in zip(JOINTS, (0.0, -0.6, 0.6, 0.3, 0.0), strict=True)
        ],
        "observations": {"to_goal": {"unit": "m", "size": 3, "frame": "world"}},
    }


def said(arm: Side, tmp_path: Path, plain: dict[str, Any]) -> dict[str, str]:
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(plain))
    agreed = Agreed(read_robot(tmp_path / "robot.yaml"), arm.contract, arm.controller)
    checks = run_checks(ROBOT_CHECKS, agreed)
    return {one.name: one.message for one in checks if one.message}


def test_nothing_is_found_where_a_robot_agrees(arm: Side, tmp_path: Path) -> None:
    assert said(arm, tmp_path, robot()) == {}


SAID: dict[str, tuple[Callable[[dict[str, Any]], Any], str, str]] = {
    "order": (lambda r: r["joints"].reverse(), "order", "the robot's joints are wrist_roll"),
    "no joint": (lambda r: r["joints"].pop(), "order", "the robot has no wrist_roll"),
    "actuators": (lambda r: r.update(actuators=["a"]), "order", "the robot's actuators are a;"),
    "degrees": (
        lambda r: r["joints"][1].update(unit="deg", rest=-34.0, limits=[-170, 170], velocity=999),
        "units",
        "shoulder_lift is in deg; the policy expects rad",
    ),
    "metres of a hinge": (
        lambda r: r["joints"][1].update(unit="m"),
        "units",
        "shoulder_lift is in m; the policy expects rad",
    ),
    "unit of a term": (
        lambda r: r["observations"]["to_goal"].update(unit="mm"),
        "units",
        "to_goal is in mm; the policy expects m",
    ),
    "sign": (
        lambda r: r["joints"][2].update(sign=-1, rest=-0.6),
        "signs and offsets",
        "elbow_flex is reversed",
    ),
    "offset": (
        lambda r: r["joints"][2].update(offset=0.1, rest=0.5),
        "signs and offsets",
        "elbow_flex is shifted by 0.1 rad",
    ),
    "missing term": (
        lambda r: r.update(observations={}),
        "observations",
        "to_goal is missing",
    ),
    "frame": (
        lambda r: r["observations"]["to_goal"].update(frame="body"),
        "observations",
        "to_goal is in the body frame; the policy expects world",
    ),
    "size": (
        lambda r: r["observations"]["to_goal"].update(size=2),
        "observations",
        "to_goal has 2 numbers, the policy expects 3",
    ),
    "rate": (lambda r: r.update(control_dt=0.02), "rate", "control step is 20 ms; the policy's 40"),
    "jitter": (lambda r: r.update(jitter_s=0.02), "rate", "a jitter of 20 ms"),
    "latency": (
        lambda r: r.update(latency_s=[0.1, 0.2]),
        "latency",
        "the robot's latency is 100 to 200 ms",
    ),
    "limits": (
        lambda r: r["joints"][1].update(limits=[-0.1, 0.1], rest=0.0),
        "limits",
        "shoulder_lift is commanded",
    ),
    "force": (lambda r: r["joints"][3].update(force=0.1), "limits", "wrist_flex had"),
    "speed": (lambda r: r["joints"][3].update(velocity=0.1), "limits", "wrist_flex moves at up to"),
    "rest pose": (
        lambda r: r["joints"][0].update(rest=2.5),
        "first commands",
        "position[0] is 2.5 at rest",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_a_robot_says_otherwise_is_found(name: str, arm: Side, tmp_path: Path) -> None:
    change, check, message = SAID[name]
    plain = copy.deepcopy(robot())
    change(plain)
    assert message in said(arm, tmp_path, plain)[f"robot: {check}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 50}, r"unknown key 'rate'"),
        ({"joints": [{"name": "a", "unit": "grad"}]}, "grad"),
        ({"joints": [{"name": "a"}, {"name": "a"}]}, "each name once"),
        ({"latency_s": [0.2, 0.1]}, "the shortest comes first"),
        ({"control_dt": -1}, "control_dt"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "robot.yaml").write_text(yaml.safe_dump(robot() | change))
    with pytest.raises(UserError, match=message):
        read_robot(tmp_path / "robot.yaml")
