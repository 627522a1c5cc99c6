"""Select, after each rollout, the steps in the worlds of the lowest predicted returns."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.errors import UserError
from sim2real.evaluation.unstable import counted_returns
from sim2real.learning.callbacks import simulation_behind
from sim2real.policies.ppo import PPO
from sim2real.policies.rollouts import Rollouts
from sim2real.policies.worst_share import WorstShare, lowest, predicted_returns
from sim2real.simulation import Simulation
from sim2real.task import Array

FEWEST = 64
"""Episodes that must have ended before the first selection."""
RECENT = 4
"""Latest episodes of each world that count; older ones are of another policy."""


class WorstWorlds(BaseCallback):
    """Select the share of each rollout that the algorithm learns from.

    It needs the contexts of the worlds: an environment of `make_vec_env`. TensorBoard:
    worlds/worst_share/return, the mean prediction for what is selected, and
    worlds/worst_share/explained, the part of the variance of the latest returns that the
    predictions explain.
    """

    def __init__(self, options: WorstShare) -> None:
        super().__init__()
        self._options = options
        self._rollout: list[Array] = []
        self._recent: deque[list[float]] = deque()

    def state(self) -> dict[str, Any]:
        """The latest episodes as JSON: return, whether unstable, context."""
        return {"recent": list(self._recent)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the episodes of a checkpoint."""
        self._recent = deque(state["recent"])

    def _on_training_start(self) -> None:
        self._simulation = simulation_behind(self.training_env, "worst_share")
        check_contexts(self._simulation)
        most = max(RECENT * self._simulation.num_envs, FEWEST)
        self._recent = deque(self._recent, maxlen=most)

    def _on_rollout_start(self) -> None:
        self._rollout.clear()
        self._present = self._simulation.context.copy()

    def _on_step(self) -> bool:
        for world in np.flatnonzero(self.locals["dones"]).tolist():
            info = self.locals["infos"][world]
            ended = [float(info["episode"]["r"]), float(info.get("unstable", False))]
            self._recent.append([*ended, *self._present[world].tolist()])
        self._rollout.append(self._present)
        self._present = self._simulation.context.copy()
        return True

    def _on_rollout_end(self) -> None:
        rollouts: Rollouts = cast(PPO, self.model).rollout_buffer
        rollouts.selected = None
        done = self.model.num_timesteps / max(self.model._total_timesteps, 1)
        if done < self._options.worst_share_start or len(self._recent) < FEWEST:
            return
        ended = np.array(self._recent)
        totals, contexts = ended[:, 0], ended[:, 2:]
        returns = np.nan_to_num(counted_returns(totals, ended[:, 1] > 0.0), nan=totals.min())
        asked = np.concatenate([contexts, *self._rollout])
        predicted = predicted_returns(contexts, returns, asked)
        of_ended, of_steps = predicted[: len(ended)], predicted[len(ended) :]
        steps = of_steps.reshape(len(self._rollout), -1)
        rollouts.selected = lowest(steps, self._options.worst_share)
        spread = max(float(returns.var()), 1e-12)
        explained = 1.0 - float((returns - of_ended).var()) / spread
        selected = float(steps[rollouts.selected].mean())
        for name, value in (("return", selected), ("explained", explained)):
            self.logger.record(f"worlds/worst_share/{name}", value, exclude=("stdout", "log"))


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
