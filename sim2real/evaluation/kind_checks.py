"""Checks of a kind of imperfection or disturbance, which `sim2real check my_kind.py` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.checks import Check, require, run_checks
from sim2real.domains import Domain
from sim2real.domains.entries.disturbance import DisturbanceKind, form_of
from sim2real.domains.entries.stage import Kind, Load
from sim2real.evaluation.task_checks import random_actions
from sim2real.simulation import Simulation
from sim2real.task import Array, Task

STEPS = 60
"""Control steps of a trajectory, across a block of random numbers."""
TINY = 1e-12
"""A change of a magnitude without a noticeable effect."""


def usual_magnitude(kind: type[Kind], size: float) -> Any:
    """A magnitude of about `size` that the kind may have: a number, or the noise of a step."""
    if kind.drawn == "step":
        return {"normal": [0.0, size]}
    magnitude = float(np.clip(size, kind.low, kind.high))
    return max(2, round(magnitude)) if kind.whole else magnitude


@dataclass(frozen=True)
class Trial:
    """A kind in one section of a domain of a task."""

    kind: type[Kind]
    section: str
    task: Task

    def domain(self, magnitude: Any = None) -> Domain:
        """The domain with one entry of the kind; by default of a usual magnitude."""
        if magnitude is None:
            magnitude = usual_magnitude(self.kind, 5.0 if self.section == "disturbances" else 0.3)
        entry: dict[Any, Any] = {self.kind: magnitude, **self._place()}
        return Domain(**{self.section: [entry]})  # type: ignore[arg-type]

    def _place(self) -> dict[str, Any]:
        """The elements that it acts on: the first joint, or the first body that moves, along x."""
        if self.section != "disturbances" or "of" not in (form := form_of(self.kind)).needs:
            return {}
        model = self.task.compile()
        if not form.directions:
            return {"of": model.joint(0).name}
        moving = model.body(int(np.flatnonzero(model.body_weldid)[0])).name
        return {"of": moving, "direction": "x"}

    def simulation(self, magnitude: Any = None, num_envs: int = 2) -> Simulation:
        """Worlds of the task with the kind, on one thread."""
        return Simulation(self.task, self.domain(magnitude), num_envs=num_envs, threads=1)


def run(simulation: Simulation, actions: Array) -> Array:
    """Observations and rewards of the `actions` (steps, n, k), (steps, n, columns)."""
    moments = (simulation.advance(action) for action in actions)
    return np.stack([np.column_stack([one.observation, one.reward]) for one in moments])


def check_kind(kind: type[Kind], task: Task) -> Iterator[Check]:
    """Run every check of a kind, in each section that it may stand in."""
    sections = (
        ("disturbances",) if issubclass(kind, Load | DisturbanceKind) else ("sensing", "actuation")
    )
    for section in sections:
        for result in run_checks(KIND_CHECKS, Trial(kind, section, task)):
            yield Check(f"{kind.name} in {section}: {result.name}", result.passed, result.message)
            if not result.passed and result.name == "fits the model":
                break  # what follows needs it


def check_fits(trial: Trial) -> None:
    """An entry is accepted, its values are finite, and all worlds run."""
    simulation = trial.simulation()
    trajectory = run(simulation, random_actions(simulation, STEPS))
    require(np.isfinite(trajectory).all(), "observations or rewards are not finite: see change()")


def check_effect(trial: Trial) -> None:
    """A usual magnitude changes the trajectory."""
    plain = Simulation(trial.task, num_envs=2, threads=1)
    actions = random_actions(plain, STEPS)
    changed = run(trial.simulation(), actions)
    magnitude = usual_magnitude(trial.kind, 0.3)
    require(not np.array_equal(changed, run(plain, actions)), f"no effect at {magnitude}")


def check_identity(trial: Trial) -> None:
    """The magnitude `identity` changes no bit."""
    nothing = 0.0 if trial.kind.drawn == "step" else trial.kind.identity
    if nothing is None:
        return
    plain = Simulation(trial.task, num_envs=2, threads=1)
    actions = random_actions(plain, STEPS)
    expected, advice = run(plain, actions), f"an effect at its identity {nothing:g}: set `identity`"
    require(np.array_equal(run(trial.simulation(nothing), actions), expected), advice)
    if not trial.kind.whole:  # change() itself, which a constant identity never calls
        beside = nothing + (TINY if nothing < trial.kind.high else -TINY)
        near = trial.simulation({"uniform": sorted([nothing, beside])})
        require(np.allclose(run(near, actions), expected, atol=1e-6), advice)


def check_worlds(trial: Trial) -> None:
    """The same seed gives the same bits, and a world does not depend on those beside it."""
    many, one = trial.simulation(num_envs=3), trial.simulation(num_envs=1)
    one.reset(episodes=[2])
    actions = random_actions(many, STEPS)
    same = np.array_equal(run(many, actions)[:, 2:], run(one, actions[:, 2:]))
    require(
        same, "a world differs from the same world alone: use moment.rows and moment.numbers alone"
    )


def check_memory(trial: Trial) -> None:
    """A new episode forgets the last one, and a snapshot continues bit for bit."""
    whole = trial.simulation()
    actions = random_actions(whole, STEPS)
    first = run(whole, actions[:35])
    snapshot = whole.snapshot()
    rest = run(whole, actions[35:])
    fresh = trial.simulation()
    fresh.restore(snapshot)
    require(
        np.array_equal(run(fresh, actions[35:]), rest),
        "it goes on otherwise after a checkpoint: keep what it remembers in self.memory",
    )
    whole.reset(episodes=[0, 1])
    again = np.array_equal(run(whole, actions[:35]), first)
    require(again, "an episode starts with the memory of the last one: see start()")


KIND_CHECKS: Mapping[str, Callable[[Trial], None]] = {
    "fits the model": check_fits,
    "has an effect": check_effect,
    "does nothing at its identity": check_identity,
    "worlds are independent": check_worlds,
    "memory": check_memory,
}
"""The checks by the names that users see."""
