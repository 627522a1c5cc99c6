"""Recorded observations, and how far the actions of an exported policy are from `predict`."""

from __future__ import annotations

import time
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from sim2real.deployment.actor import Actor
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import simulation_for
from sim2real.runs.session import ACTIONS, OBSERVED, Session
from sim2real.simulation import Simulation
from sim2real.task import Task

Rows = NDArray[np.float32]
OBSERVATIONS, WORLDS, SEED = 1000, 20, 1
"""How many observations are recorded, in how many worlds, and the seed of their episodes."""
TOLERANCE = 1e-6
"""Largest difference of an action, as a share of half its range: of [-1, 1] the number itself."""

ROUNDED = 5.0
"""And in the rounding of `predict` itself, of the same rows: up to 3.6 for 20 rows of a humanoid's
350 numbers, whose sums in float32 another runtime rounds otherwise."""


def training_worlds(policy: BasePolicy, task: Task, domain: Domain) -> Simulation:
    """The worlds in which the files are compared with the `policy`."""
    return simulation_for(policy, task, domain, WORLDS, SEED, threads=1)


def recorded(policy: BasePolicy, simulation: Simulation) -> Rows:
    """What the `policy` observes as it acts in the `simulation`, (m, k)."""
    seen, rows = simulation.reset(), []
    for _ in range(OBSERVATIONS // simulation.num_envs):
        rows.append(seen)
        seen = simulation.step(actions_of(policy, seen)).observation
    return np.concatenate(rows).astype(np.float32)


def actions_of(policy: BasePolicy, observations: NDArray[np.floating]) -> Rows:
    """What `predict` gives without exploration noise, (m, nu)."""
    return np.asarray(policy.predict(observations, deterministic=True)[0], dtype=np.float32)


def one_by_one(session: Session, observations: Rows) -> tuple[Rows, float]:
    """The actions of an ONNX file, asked as on a robot, and the median time of a call in s."""
    given, taken = [], []
    for row in observations[:, None]:
        start = time.perf_counter()
        answer = session({OBSERVED: row})
        taken.append(time.perf_counter() - start)
        given.append(answer[ACTIONS])
    return np.concatenate(given), float(np.median(taken))


def difference(policy: BasePolicy, seen: Rows, given: Rows, what: str) -> float:
    """The largest difference of actions from `predict` of what is `seen`, in halves of their range.

    Raises UserError where it is more than `TOLERANCE`, or than five times what `predict` itself
    is rounded by, of an observation of very many numbers: such a file is not written.
    """
    expected = actions_of(policy, seen)
    off = _largest(policy, given, expected)
    if off > TOLERANCE:
        exact = Actor(policy).double()(torch.from_numpy(seen).double()).numpy()
        rounding = _largest(policy, expected, exact)
        refuse_beyond(off, max(TOLERANCE, ROUNDED * rounding), f"{what}: its actions")
    return off


def _largest(policy: BasePolicy, one: NDArray[Any], other: NDArray[Any]) -> float:
    space = cast(spaces.Box, policy.action_space)
    half = (space.high.astype(float) - space.low) / 2
    return float(np.max(np.abs(one.astype(float) - other) / half))


def refuse_beyond(off: float, tolerance: float, what: str) -> None:
    """Raise UserError where `what` differs by more than the tolerance: it is not written."""
    if not off <= tolerance:
        raise UserError(
            f"{what} differ from what the policy does in simulation, by {off:.1e} of their range; "
            f"allowed: {tolerance:.0e}; nothing was written"
        )
