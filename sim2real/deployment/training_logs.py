"""Logs of a policy in the domain of its training, with which those of a robot are compared."""

from __future__ import annotations

from stable_baselines3.common.policies import BasePolicy

from sim2real.domains import Domain
from sim2real.evaluation.rollout import simulation_for
from sim2real.identification.log import Log, join
from sim2real.identification.record import record
from sim2real.task import Task

WORLDS, STEPS, SEED = 8, 300, 2
"""Worlds of each of two recordings, their control steps, and the seed of the first."""
STARTS = 128
"""Worlds of a third, of one control step."""
NOISE = 0.1
"""Noise of the actions in the second, in halves of their range."""


def recorded_in_training(policy: BasePolicy, task: Task, domain: Domain) -> tuple[Log, Log]:
    """The policy in the domain of its training: at length, and the starts of many episodes.

    The first is without, then with noise of the actions.
    """

    def recorded(count: int, steps: int, seed: int, noise: float) -> Log:
        worlds = simulation_for(policy, task, domain, count, seed, threads=1)
        log = record(worlds, policy, count * steps, noise, seed)
        worlds.close()
        return log

    whole = [recorded(WORLDS, STEPS, SEED, 0.0), recorded(WORLDS, STEPS, SEED + 1, NOISE)]
    return join(whole), recorded(STARTS, 1, SEED + 2, 0.0)
