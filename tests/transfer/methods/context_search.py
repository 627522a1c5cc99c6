"""A method of a user: records the target, searches in simulation, learns in what was found."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from sim2real.identification.log import Log
from sim2real.runs.run import Run
from sim2real.transfer.method import Method
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work


class ContextSearch(Method):
    """Choose the simulation whose transitions are the nearest to the recorded ones; train in it.

    No gradient of the target is used. Assumes that one of `candidates` resembles the target.
    """

    name: ClassVar[str] = "context_search"

    candidates: tuple[str, ...] = ("mild", "medium")
    record: int = 40
    """Control steps of the target."""
    steps: int = 96
    """Control steps of the learner in the simulation that was found."""

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """The source's policy, trained in the candidate that was chosen."""
        log = work.once("record", lambda: target.record(source.policy, self.record))
        found = work.once("search", lambda: self._search(log, source, work))
        env = work.env(found["domain"], work.recipe.num_envs)
        learner = work.learner("adapt", work.recipe, env, source.policy)
        learner.learn(self.steps)
        learner.algorithm.policy.set_training_mode(False)
        return learner.algorithm.policy

    def _search(self, log: Log, source: Run, work: Work) -> dict[str, Any]:
        distances = {name: self._distance(name, log, source, work) for name in self.candidates}
        return {"domain": min(distances, key=lambda name: distances[name]), **distances}

    def _distance(self, name: str, log: Log, source: Run, work: Work) -> float:
        env = work.env(name)
        rows, observation = [env.reset()], None
        recorded = np.concatenate(list(log.observations.values()), axis=1)[log.episodes[0]]
        for action in log.commands[log.episodes[0]][:-1, None]:
            observation, *_ = env.step(action + 0.01 * work.generator.normal(size=action.shape))
            rows.append(observation)
        simulated = np.concatenate(rows)
        return float(np.abs(simulated - recorded).mean())
