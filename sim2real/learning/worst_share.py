"""Select, after each rollout, the steps in the worlds of the lowest predicted returns."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.errors import UserError
from sim2real.learning.callbacks import simulation_behind
from sim2real.policies.ppo import PPO
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.worst_share import WorstShare, lowest, predicted_returns
from sim2real.simulation import Simulation
from sim2real.task import Array

RECENT = 8
"""Latest rollouts that count; older ones are of another policy."""


class WorstWorlds(BaseCallback):
    """Select the share of each rollout that the algorithm learns from.

    It needs the contexts of the worlds: an environment of `make_vec_env`. TensorBoard:
    worlds/worst_share/value, the mean prediction for what is selected, of scaled rewards, and
    worlds/worst_share/explained, the part of the variance of the worlds' values that the
    predictions explain.
    """

    def __init__(self, options: WorstShare) -> None:
        super().__init__()
        self._options = options
        self._rollout: list[Array] = []
        self._recent: deque[Array] = deque(maxlen=RECENT)

    def state(self) -> dict[str, Any]:
        """The latest rollouts as JSON: the value of each world, and its context."""
        return {"recent": [rows.tolist() for rows in self._recent]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the rollouts of a checkpoint."""
        self._recent.extend(np.array(rows) for rows in state["recent"])

    def _on_training_start(self) -> None:
        self._simulation = simulation_behind(self.training_env, "worst_share")
        check_contexts(self._simulation)

    def _on_rollout_start(self) -> None:
        self._rollout.clear()
        self._present = self._simulation.context.copy()

    def _on_step(self) -> bool:
        self._rollout.append(self._present)
        self._present = self._simulation.context.copy()
        return True

    def _on_rollout_end(self) -> None:
        rollouts: Rollouts = cast(PPO, self.model).rollout_buffer
        contexts = np.stack(self._rollout)
        values = worlds_values(contexts, rollouts.returns)
        self._recent.append(np.column_stack([values, contexts[-1]]))
        rollouts.selected = None
        done = self.model.num_timesteps / max(self.model._total_timesteps, 1)
        if done < self._options.worst_share_start:
            return
        known = np.concatenate(self._recent)
        known_contexts, known_values = known[:, 1:], known[:, 0]
        asked = np.concatenate([known_contexts, contexts.reshape(-1, contexts.shape[2])])
        predicted = predicted_returns(known_contexts, known_values, asked)
        of_known, of_steps = predicted[: len(known)], predicted[len(known) :]
        steps = of_steps.reshape(contexts.shape[:2])
        rollouts.selected = lowest(steps, self._options.worst_share)
        spread = max(float(known_values.var()), 1e-12)
        explained = 1.0 - float((known_values - of_known).var()) / spread
        selected = float(steps[rollouts.selected].mean())
        for name, value in (("value", selected), ("explained", explained)):
            self.logger.record(f"worlds/worst_share/{name}", value, exclude=("stdout", "log"))


def worlds_values(contexts: Array, returns: Array) -> Array:
    """The mean return of each world, (n,), over the steps with the context that it has at the end.

    `contexts` is (steps, n, d), `returns` (steps, n).

    >>> contexts = np.array([[[1.0], [2.0]], [[3.0], [2.0]]])
    >>> worlds_values(contexts, np.array([[10.0, 20.0], [30.0, 40.0]]))
    array([30., 30.])
    """
    same = (contexts == contexts[-1]).all(axis=2)
    mean: Array = (returns * same).sum(axis=0) / same.sum(axis=0)
    return mean


def selecting(algorithm: BaseAlgorithm) -> list[WorstWorlds]:
    """The callback that an algorithm needs which learns from the worst share; [] for another."""
    if not isinstance(algorithm, PPO) or algorithm.worst is None:
        return []
    return [WorstWorlds(algorithm.worst)]


def check_contexts(simulation: Simulation) -> None:
    """UserError where all worlds are alike, so that there are no worst ones."""
    supports = [one.support for one in simulation.plan.distributions]
    if not any(low < high for low, high in supports):
        raise UserError(
            f"worst_share needs a domain that draws something; {simulation.domain.name!r} of "
            f"{simulation.task.name} has constants alone"
        )
