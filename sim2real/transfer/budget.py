"""The budget of a transfer: control steps of the target domain, metered where they are spent.

One control step of one world costs one step, so a batch of 16 worlds costs 16 for each step of
the batch. Resets, falls and seconds of robot time are counted beside the steps because on a
real robot they may be more expensive; only the steps are limited. Evaluations that draw the
learning curve run in simulations of their own and are not charged: they measure, nothing is
learned from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sim2real.config import MOST_STEPS
from sim2real.errors import UserError, whole_number
from sim2real.files import write_json


class BudgetExceeded(RuntimeError):
    """A step was asked for that the budget does not cover; it was not made."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """How many control steps of the target, over all worlds, a method may use."""

    steps: int

    def __post_init__(self) -> None:
        whole_number("budget", self.steps, 1, MOST_STEPS)

    def usable(self, num_envs: int) -> int:
        """The largest multiple of `num_envs` within the budget: batches step all worlds at once."""
        if num_envs > self.steps:
            raise UserError(
                f"a budget of {self.steps} steps does not cover one step of {num_envs} worlds; "
                f"allowed: num_envs <= {self.steps}"
            )
        return self.steps // num_envs * num_envs


@dataclasses.dataclass(frozen=True)
class Usage:
    """What was used of the target: control steps, episodes that ended, resets, falls, robot time.

    `resets` are the starts of episodes, those that did not end included; `seconds` is the time in
    which one robot makes the steps.
    """

    steps: int = 0
    episodes: int = 0
    resets: int = 0
    falls: int = 0
    seconds: float = 0.0


class Meter:
    """Counts what is used of a budget, and refuses a step before it is exceeded."""

    def __init__(self, budget: Budget, control_dt: float) -> None:
        self.budget = budget
        self.control_dt = control_dt  # s
        self.usage = Usage()

    @property
    def remaining(self) -> int:
        """Control steps that are left, over all worlds."""
        return self.budget.steps - self.usage.steps

    def require(self, steps: int) -> None:
        """Raise BudgetExceeded if `steps` more are not covered; counts nothing."""
        if steps > self.remaining:
            raise BudgetExceeded(
                f"{steps} more control steps exceed the budget of {self.budget.steps}: "
                f"{self.usage.steps} are used"
            )

    def add(self, steps: int = 0, episodes: int = 0, resets: int = 0, falls: int = 0) -> None:
        """Count what happened."""
        used = self.usage
        self.usage = Usage(
            steps=used.steps + steps,
            episodes=used.episodes + episodes,
            resets=used.resets + resets,
            falls=used.falls + falls,
            seconds=(used.steps + steps) * self.control_dt,
        )

    def state(self) -> dict[str, Any]:
        """The counts as JSON, for a checkpoint."""
        return dataclasses.asdict(self.usage)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the counts of a checkpoint."""
        self.usage = Usage(**state)

    def write(self, path: Path, *, privileged: bool, source_steps: int = 0) -> None:
        """Write budget, usage and what remains to `path` as JSON.

        `privileged` is whether the method could read what only a simulator knows, `source_steps`
        are the control steps of simulations on the side of the source, which are free.
        """
        report = {
            "budget": self.budget.steps,
            "used": self.state(),
            "remaining": self.remaining,
            "evaluations_charged": False,
            "source_steps": source_steps,
            "privileged": privileged,
        }
        write_json(path, report)


class MeteredVecEnv(VecEnvWrapper):
    """A VecEnv whose steps are charged to a meter.

    Raises BudgetExceeded before the step that would exceed the budget, so every step through this
    environment is charged, also of several environments that step together.
    """

    def __init__(self, venv: VecEnv, meter: Meter) -> None:
        super().__init__(venv)
        self.meter = meter

    def reset(self) -> VecEnvObs:
        """Reset every world; counts one reset each."""
        self.meter.add(resets=self.num_envs)
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        """Charge one control step of every world, then step; refuses what is not covered."""
        self.meter.require(self.num_envs)
        self.meter.add(steps=self.num_envs)
        self.venv.step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """The result of the step; counts the episodes that ended as resets, and falls."""
        observations, rewards, dones, infos = self.venv.step_wait()
        falls = sum(_fell(info) for done, info in zip(dones, infos, strict=True) if done)
        ended = int(np.sum(dones))
        self.meter.add(episodes=ended, resets=ended, falls=falls)
        return observations, rewards, dones, infos


def _fell(info: Mapping[str, Any]) -> bool:
    """Whether an episode that ended was a failure and not merely out of time."""
    return bool(info.get("failed", not info.get("TimeLimit.truncated", False)))
