"""Our identification against other ways to find parameters, on the same logs of the same targets.

The others are MuJoCo's own toolbox (`toolbox.py`) and the searches of SimOpt and DROPO
(`baselines.py`). A target is drawn from a family of masses, damping, friction and strength that all
methods can express. One file holds the results of one target; results that exist are not made
again. The prediction error is that on a second log of the target, which no method is given.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim2real import files
from sim2real.benchmark import baselines, toolbox
from sim2real.benchmark.identification_report import errors, report
from sim2real.benchmark.recovery import NOISE, drawn, recorded, sensor_noise
from sim2real.domains import Domain
from sim2real.identification.family import Family, family_of
from sim2real.identification.fit import start
from sim2real.identification.identify import horizon_of, identify
from sim2real.identification.log import Log
from sim2real.identification.problem import Problem
from sim2real.identification.replay import Replay, Windows, moved
from sim2real.identification.states import linearized
from sim2real.identification.windows import Channels, channels_of, cut
from sim2real.learning.adaptive.space import share_of
from sim2real.registry import load_task
from sim2real.task import Array

FREE = {
    "cartpole": ("pole",),
    "hopper": ("torso", "thigh", "leg", "foot"),
    "half_cheetah": ("torso", "bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"),
}
"""Bodies whose mass is unknown. The cart's is known: a cartpole shows only proportions of masses
and forces."""
FACTORS = (0.5, 2.0)
"""Range of every factor."""
LATEST = 2
"""Longest delay of commands, in control steps, in the setting `late-noisy`."""
SETTINGS = ("plain", "late-noisy")
WORLDS = 1_280
POLISHES, PROBE = 8, 1e-4
"""Gauss-Newton steps of the start states, and their finite difference."""
SHARP = 0.01
"""DROPO's epsilon without noise: a standard deviation in units of a channel's change in a step."""
TRANSITION = {"plain": 1, "late-noisy": 5}
"""Control steps of DROPO's transitions."""
UNSEEN = 1_000
"""Added to the seed of a log, for the second log."""


@dataclass(frozen=True)
class IdentificationConfig:
    """Which targets are identified by all methods, from how many steps."""

    tasks: tuple[str, ...] = tuple(FREE)
    settings: tuple[str, ...] = SETTINGS
    targets: int = 2
    """Targets of each task and setting."""
    steps: int = 1_000
    """Control steps of the log."""
    held_out: int = 400
    """Control steps of the second log."""
    seed: int = 0
    out: Path = Path("docs/results/identification")
    """Folder for one file per target and the report."""


@dataclass(frozen=True)
class Given:
    """The data of a method: a log of a target, and the family that the target is drawn from."""

    family: Family
    log: Log
    noise: Array
    """The standard deviation of the noise on each channel, (k,)."""
    setting: str
    seed: int
    budget: int
    """Control steps that a search may simulate."""

    def problem(self, steps: int | None = None) -> Problem:
        """The windows of the log, by default as long as those of `identify`."""
        replay = Replay(self.family, WORLDS, threads=1)
        channels = channels_of(self.log, replay)
        windows = cut(self.log, replay, channels, steps or horizon_of([self.log], replay))
        return Problem(replay, polished(replay, windows, channels), channels)


@dataclass(frozen=True)
class Found:
    """The values of the unknowns that a method found, and the control steps that it simulated."""

    values: Mapping[str, float]
    simulated_steps: int


def polished(replay: Replay, windows: Windows, channels: Channels) -> Windows:
    """The windows with start states that show their first readings, as near as the sensors allow.

    The tasks here observe positions and velocities, so that a user of any method would have them.
    """
    used, scale = channels.used, channels.scale[channels.used]
    memory = windows.memory_at(windows.before)
    for _ in range(POLISHES):
        shown, slopes = linearized(replay, windows.qpos, windows.qvel, memory, PROBE)
        gap = (windows.observations[:, 0] - shown)[:, used] / scale
        inverse = np.linalg.pinv(slopes[:, used] / scale[:, None], rcond=1e-4)
        step = np.einsum("wsk,wk->ws", inverse, gap)
        qpos, qvel = moved(replay.model, windows.qpos, windows.qvel, np.clip(step, -1, 1))
        windows = dataclasses.replace(windows, qpos=qpos, qvel=qvel)
    return windows


Method = Callable[[Given], Found]


def ours(given: Given) -> Found:
    """`s2r.identify`, as it is called by default."""
    family = given.family
    found = identify(given.log, family.task, family.domain, given.seed, threads=1)
    return Found({row.name: row.value for row in found.table}, found.simulated_steps)


def engine(given: Given) -> Found:
    """`mujoco.sysid` on the same windows."""
    return Found(*toolbox.fitted(given.problem()))


def simopt(given: Given) -> Found:
    """SimOpt's discrepancy of the same windows."""
    problem = given.problem()
    return _found(problem, baselines.simopt(problem, given.budget, given.seed))


def dropo(given: Given) -> Found:
    """DROPO's likelihood of transitions, with the variance of the noise in its epsilon."""
    problem = given.problem(TRANSITION[given.setting])
    scale = problem.channels.scale[problem.channels.used]
    epsilon = SHARP**2 + 2 * (given.noise[problem.channels.used] / scale) ** 2
    return _found(problem, baselines.dropo(problem, given.budget, given.seed, epsilon))


def _found(problem: Problem, shares: Array) -> Found:
    family = problem.replay.family
    values = family.rounded(family.space.values(shares)).tolist()
    return Found(dict(zip(family.names, values, strict=True)), problem.replay.simulated)


METHODS: dict[str, Method] = {
    "identify": ours,
    "mujoco.sysid": engine,
    "SimOpt": simopt,
    "DROPO": dropo,
}


def left_out() -> dict[str, str]:
    """The methods that cannot run here, and why."""
    found = {}
    if not toolbox.has_toolbox():
        found["mujoco.sysid"] = "mujoco[sysid] is not installed"
    if not baselines.has_cma():
        found |= dict.fromkeys(("SimOpt", "DROPO"), "the package cma is not installed")
    return found


def comparison(config: IdentificationConfig) -> Iterator[str]:
    """Let each method find each target that has no result yet; a line each."""
    for number in range(config.targets):
        for setting in config.settings:
            for task in config.tasks:
                yield from _one_target(family(task, setting), setting, number, config)
    files.write_text(config.out / "report.md", report(config.out, left_out()))


def family(task: str, setting: str) -> Family:
    """The family of a task that all methods can express; with a delay only in `late-noisy`."""
    factor = {"log_uniform": list(FACTORS)}
    loaded = load_task(task)
    dynamics: list[dict[str, Any]] = [
        {"field": "body_mass", "of": list(FREE[task]), "scale": factor},
        {"field": "dof_damping", "scale": factor, "shared": True},
    ]
    if task != "cartpole":  # which touches nothing
        sliding = {"field": "geom_friction", "component": "sliding", "scale": factor}
        dynamics.append({**sliding, "shared": True})
    actuation: list[dict[str, Any]] = [{"strength": factor, "shared": True}]
    if setting == "late-noisy":
        actuation.append({"delay": {"uniform": [0.0, LATEST * loaded.control_dt]}})
    about = {"name": f"{task}-{setting}", "dynamics": dynamics, "actuation": actuation}
    return family_of(loaded, Domain.model_validate(about))


def _one_target(
    family: Family, setting: str, number: int, config: IdentificationConfig
) -> Iterator[str]:
    path = config.out / f"{family.task.name}-{setting}-{number:02d}.json"
    target = DrawnTarget(family, setting, config.seed + number, config)
    known = files.read_json(path) if path.exists() else target.plain()
    for name, method in METHODS.items():
        if name not in known["methods"] and name not in left_out():
            budget = known["methods"].get("identify", {}).get("simulated_steps", 0)
            known["methods"][name] = target.result(method, budget)
            files.write_json(path, known)
            yield f"{path.stem}, {name}: {_line(known, name)}"


class DrawnTarget:
    """A target, its two logs, and how well values predict the second one."""

    def __init__(
        self, family: Family, setting: str, seed: int, config: IdentificationConfig
    ) -> None:
        self.family, self.setting, self.seed = family, setting, seed
        self.truth = drawn(family, seed)
        sensed = sensor_noise(family.task) if setting == "late-noisy" else {}
        noise = dict.fromkeys(sensed, NOISE)
        self.log = recorded(family, self.truth, config.steps, seed, noise)
        second = recorded(family, self.truth, config.held_out, seed + UNSEEN, noise)
        sizes = {name: one.shape[1] for name, one in self.log.observations.items()}
        self.noise = np.concatenate([np.full(n, noise.get(one, 0.0)) for one, n in sizes.items()])
        self.held_out = self._given(second, 0).problem()

    def _given(self, log: Log, budget: int) -> Given:
        return Given(self.family, log, self.noise, self.setting, self.seed, budget)

    def result(self, method: Method, budget: int) -> dict[str, Any]:
        """The values that a method found, and its cost."""
        began, used = time.monotonic(), time.process_time()
        found = method(self._given(self.log, budget))
        return {
            "values": dict(found.values),
            "simulated_steps": found.simulated_steps,
            "cpu_seconds": round(time.process_time() - used, 1),
            "seconds": round(time.monotonic() - began, 1),
            "load": round(os.getloadavg()[0], 1),
            "prediction": self.prediction(found.values),
        }

    def prediction(self, values: Mapping[str, float]) -> float:
        """The error at the end of the windows held out, in units of a channel's change in a step.

        The median over windows and channels.
        """
        fit = start(self.held_out, shares_of(self.family, values))
        return float(np.median(np.abs(fit.residuals[:, -1])))

    def plain(self) -> dict[str, Any]:
        """The truth, and the prediction errors of the nominal and the true values."""
        family = self.family
        nominal = dict(zip(family.names, family.nominal_values.tolist(), strict=True))
        return {
            "truth": self.truth,
            "prediction": {
                "nominal": self.prediction(nominal),
                "truth": self.prediction(self.truth),
            },
            "methods": {},
        }


def shares_of(family: Family, values: Mapping[str, float]) -> Array:
    """The shares (d,) of values by name."""
    return np.array(
        [
            share_of(base, np.array([values[name]]))[0]
            for name, base in zip(family.names, family.space.bases, strict=True)
        ]
    )


def _line(result: Mapping[str, Any], method: str) -> str:
    own = result["methods"][method]
    return (
        f"median error {np.median(errors(result, method)):.2%}, prediction "
        f"{own['prediction']:.4f} (truth {result['prediction']['truth']:.4f}), "
        f"{own['simulated_steps']:,} steps, {own['cpu_seconds']:.0f} s of CPU"
    )
