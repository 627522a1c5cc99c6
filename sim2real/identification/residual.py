"""Residual dynamics: forces of the driven joints, of what the family does not explain.

A network with one hidden layer for each joint, from its position, speed and command to a force:

    force_j = sum_h w_jh tanh(a_jh q_j + b_jh v_j + c_jh u_j + d_jh)

The inner weights are drawn once (random features, Rahimi and Recht 2008); the outer ones w are
identified as any other unknown: over whole windows, from the observations alone, with a prior
around 0. The idea is that of actuator networks (Hwangbo et al. 2019) and of learned residual
physics (Ajay et al. 2018). Inputs of the own joint alone leave less to extrapolation than those of
the whole robot.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
import scipy

from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Constant
from sim2real.identification.candidates import added_to, driven
from sim2real.identification.family import Family, family_of
from sim2real.identification.fit import improve, start, start_from
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.replay import Replay, Windows
from sim2real.task import Array

UNITS = 8
"""Hidden units of each joint."""
REACH = 0.5
"""Largest output weight, as a share of the root mean square of the actuators' force."""
INNER = 1.5
"""Standard deviation of the inner weights, for inputs of mean 0 and standard deviation 1."""
STEPS = 6
"""Gauss-Newton steps, at most."""
SETTLED = 0.1
"""Change of an output weight, in its standard deviations, at which they end."""
SURE, WORTH = 0.05, 0.02
"""Largest p-value of the test on held-out windows, and the smallest share of the prediction error
there, from which the residual is used."""


@dataclass(frozen=True)
class Residual:
    """A residual that was fitted: its joints, and what it changes of the held-out windows.

    `error_before` and `error` are the medians over the `windows` held out of the root mean square
    error in a window, in units of a channel's change in a step, without and with the residual;
    `p_value` is that of a signed-rank test (Wilcoxon 1945) that it helps.
    """

    joints: tuple[str, ...]
    units: int
    windows: int
    error_before: float
    error: float
    p_value: float
    entries: tuple[dict[str, Any], ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether the residual predicts the held-out windows better than chance would."""
        return self.p_value <= SURE and self.error <= (1.0 - WORTH) * self.error_before

    @property
    def sentence(self) -> str:
        """What the residual is worth, in words."""
        used = "it is part of the domain" if self.is_used else "it is left out"
        return (
            f"residual forces of {', '.join(self.joints)}: error on held-out windows "
            f"{self.error_before:.3g} without and {self.error:.3g} with them (p = "
            f"{self.p_value:.2g}); {used}"
        )

    def added_to(self, domain: Domain) -> Domain:
        """The domain with the residual where it is used, and as it is where not."""
        sections = {"disturbances": list(self.entries)}
        return added_to(domain, sections) if self.is_used else domain


def fit_residual(
    problem: Problem,
    held_out: Windows,
    fit: Fit,
    replay_of: Callable[[Family], Replay],
    rng: np.random.Generator,
) -> Residual | None:
    """Fit a residual on top of a `fit`, and test it on the windows `held_out`.

    `replay_of` makes the worlds of a family; they are closed again. None where no actuator drives
    a hinge or a slide, or none has a force.
    """
    family = problem.replay.family
    entries = hidden_units(problem, fit, rng)
    if not entries:
        return None
    values = family.values(family.snapped(fit.shares))[0].tolist()
    constants = {name: Constant(value) for name, value in zip(family.names, values, strict=True)}
    point = family.with_distributions(constants, "identified")
    larger = family_of(family.task, added_to(point, {"disturbances": entries}))
    with closing(replay_of(larger)) as replay:
        weights = _fitted(Problem(replay, problem.windows, problem.channels), fit)
        held = Problem(replay, held_out, problem.channels)
        before, after = (_errors(held, shares) for shares in (larger.nominal, weights))
    forces = larger.values(weights)[0].tolist()
    return Residual(
        joints=tuple(dict.fromkeys(entry["of"] for entry in entries)),
        units=len(entries),
        windows=len(before),
        error_before=float(np.median(before)),
        error=float(np.median(after)),
        p_value=float(
            scipy.stats.wilcoxon(before, after, alternative="greater", zero_method="zsplit").pvalue
        ),
        entries=tuple(
            {**entry, "residual": force} for entry, force in zip(entries, forces, strict=True)
        ),
    )


def hidden_units(problem: Problem, fit: Fit, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The hidden units of all driven joints as entries of disturbances, with ranges around 0.

    Inputs are scaled by what the log has of them. What does not change in the log is no input.
    """
    model, windows = problem.replay.model, problem.windows
    problem.residuals(np.tile(fit.shares, (len(windows), 1)), np.arange(len(windows)), fit.offsets)
    forces = np.sqrt(np.mean(problem.replay.qfrc_actuator[: len(windows)] ** 2, axis=0))
    found = []
    for joint, dof in zip(*driven(model), strict=True):
        if not forces[dof] > 0:
            continue
        reach = round(float(REACH * forces[dof]), 6)
        for unit in range(1, UNITS + 1):
            options = _inner(model, windows, int(dof), rng)
            found.append(
                {
                    "residual": {"uniform": [-reach, reach]},
                    "of": joint,
                    "name": f"residual-{joint}-{unit}",
                    "options": {name: round(value, 6) for name, value in options.items()},
                }
            )
    return found


def _inner(
    model: mujoco.MjModel, windows: Windows, dof: int, rng: np.random.Generator
) -> dict[str, float]:
    """Random inner weights of one hidden unit, for inputs as they come."""
    joint = int(model.dof_jntid[dof])
    drives = (model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT) & (
        model.actuator_trnid[:, 0] == joint
    )
    inputs = {
        "position": windows.qpos[:, model.jnt_qposadr[joint]],
        "speed": windows.qvel[:, dof],
        "command": windows.commands[:, windows.before :, drives].sum(axis=2),
    }
    weights, offset = {}, float(rng.normal())
    for name, values in inputs.items():
        weight, spread = INNER * float(rng.normal()), float(np.std(values))
        weights[name] = weight / spread if spread > 1e-9 else 0.0
        offset -= weights[name] * float(np.mean(values))
    return {**weights, "offset": offset}


def _fitted(problem: Problem, fit: Fit) -> Array:
    """The shares of the output weights at which Gauss-Newton ends, (d,)."""
    found = start_from(problem, problem.replay.family.nominal, fit.offsets)
    for _ in range(STEPS):
        found, moved = improve(problem, found)
        if moved < SETTLED:
            break
    return found.shares


def _errors(problem: Problem, shares: Array) -> Array:
    """Root mean square errors of windows in the states as they were estimated, (w,)."""
    residuals = start(problem, shares).residuals[:, 1:]
    errors: Array = np.sqrt(np.mean(residuals**2, axis=(1, 2)))
    return errors
