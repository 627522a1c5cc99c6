"""The control period of a domain: the task's, one of its own, or one that is drawn at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sim2real.domains.distributions.distribution import Constant, Distribution
from sim2real.domains.domain import Domain
from sim2real.errors import UserError
from sim2real.task import Task, whole_steps

MOST_SUBSTEPS = 10_000
"""Physics steps of a control step, at most."""


@dataclass(frozen=True)
class Period:
    """A control period: `substeps` physics steps, `dt` s; an episode has `steps` of them.

    `seconds` is `dt` as it was declared. If `drawn`, each control step has its own number of
    seconds from it, rounded to physics steps; the rest is then that of the median.
    """

    substeps: int
    dt: float
    seconds: float
    steps: int
    drawn: Distribution | None = None


def control_period(task: Task, domain: Domain, timestep: float) -> Period:
    """The control period of `task` in `domain`, of a model with this `timestep` (s).

    Raises UserError unless the period is a multiple of the time step, or a bounded range that
    begins with at least one time step and ends before an episode does.
    """
    given = domain.control_period
    if given is None:
        what = f"task {task.name!r}: the control step"
        substeps = _substeps(task.control_dt, timestep, what)
        steps = whole_steps(task.episode_s, task.control_dt, "episode_s")
        return Period(substeps, timestep * substeps, task.control_dt, steps)
    what, (low, high) = f"domain {domain.name!r}: control_period", given.support
    if not timestep * (1 - 1e-9) <= low <= high < task.episode_s:
        raise UserError(
            f"{what}: {given.describe()} s reaches {low:g} to {high:g}; it must lie between a "
            f"physics step ({timestep:g} s) and an episode ({task.episode_s:g} s)"
        )
    if isinstance(given, Constant):
        substeps, drawn = _substeps(given.value, timestep, what), None
    else:
        substeps, drawn = round(float(given.quantile(np.array([0.5]))[0]) / timestep), given
    _few_enough(round(high / timestep), high, timestep, what)
    dt = timestep * substeps
    return Period(substeps, dt, dt, max(1, round(task.episode_s / dt)), drawn)


def _substeps(seconds: float, timestep: float, what: str) -> int:
    """Physics steps of a control step; UserError unless they are a whole number, and not absurd."""
    substeps = whole_steps(seconds, timestep, what)
    _few_enough(substeps, seconds, timestep, what)
    return substeps


def _few_enough(substeps: int, seconds: float, timestep: float, what: str) -> None:
    if substeps > MOST_SUBSTEPS:
        raise UserError(
            f"{what} of {seconds:g} s takes {substeps:,} physics steps of {timestep:g} s; "
            f"allowed: up to {MOST_SUBSTEPS:,}"
        )
