"""Which of two policies is better in a target, from few and cut episodes and a prediction.

Returns are compared over the first h control steps, with h the longest time that the episodes of
both policies cover. An episode that has ended covers any time, one that was cut only its own.

Let m be the mean difference of these returns in the target, adapted minus source, and s^2 its
variance. The simulation predicts the difference p. Where the family explains the log, p is believed
to within its own size: the difference is N(p, p^2) before the target is asked, and

    mean = (p / p^2 + m / s^2) / (1 / p^2 + 1 / s^2),    variance = 1 / (1 / p^2 + 1 / s^2)

after it; the adapted policy is kept if the mean is above 0. Where the family does not explain the
log, the target alone counts, and the adapted policy is kept only if it is clearly better: the mean
is above two standard errors. The variance of a return is the larger one of that in the simulation
and that in the target, as a handful of episodes tells little about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.identification.log import Log
from sim2real.identification.record import REWARD
from sim2real.task import Array

CLEAR = 2.0
"""Standard errors from 0 at which a difference counts as clear."""


@dataclass(frozen=True)
class Trace:
    """The rewards of one episode, (t,), and whether it has ended and was not cut."""

    rewards: Array
    ended: bool

    @property
    def covers(self) -> float:
        """Control steps up to which the return is known."""
        return np.inf if self.ended else len(self.rewards)

    def within(self, steps: float) -> float:
        """The return of the first `steps` control steps."""
        return float(self.rewards[: int(min(steps, len(self.rewards)))].sum())


def traces_of(log: Log, episode_steps: int) -> list[Trace]:
    """The episodes of a log; one of `episode_steps` control steps has ended by the time limit."""
    assert log.terminated is not None
    pairs = zip(log.episodes, log.terminated.tolist(), strict=True)
    found = ((log.extras[REWARD][rows, 0][:-1], fell) for rows, fell in pairs)
    return [Trace(one, fell or len(one) >= episode_steps) for one, fell in found]


def simulate(policy: BasePolicy, env: VecEnv) -> list[Trace]:
    """The first episode of every world of `env`, a simulation, from its start to its end."""
    observation, running = env.reset(), np.ones(env.num_envs, dtype=bool)
    rewards, lengths = [], np.zeros(env.num_envs, dtype=np.int64)
    while running.any():
        action, _ = policy.predict(observation, deterministic=True)  # type: ignore[arg-type]
        observation, reward, done, _ = env.step(action)
        rewards.append(reward)
        lengths += running
        running &= ~done
    whole = np.array(rewards, dtype=np.float64)
    return [Trace(whole[:length, world], ended=True) for world, length in enumerate(lengths)]


@dataclass(frozen=True)
class Verdict:
    """The difference of two policies in the target, adapted minus source, and what follows.

    `steps` is the time over which returns are compared, inf for whole episodes; `measured` and
    `predicted` are the differences in the target and in the simulation; `mean` and `error` those
    that are believed. `measured` is None where a policy has no episode in the target.
    """

    steps: float
    measured: float | None
    predicted: float
    mean: float
    error: float
    explained: bool

    @property
    def keep(self) -> bool:
        """Whether the adapted policy is the better one; clearly so, if the log is not explained."""
        return self.mean > (0.0 if self.explained else CLEAR * self.error)

    @property
    def clear(self) -> bool:
        """Whether more episodes would hardly change that."""
        return self.measured is not None and abs(self.mean) > CLEAR * self.error

    @property
    def disappoints(self) -> bool:
        """Whether the target gives clearly less than the simulation predicts."""
        return self.measured is not None and self.predicted - self.mean > CLEAR * self.error

    def plain(self) -> dict[str, Any]:
        """The verdict as JSON; `steps` is None for whole episodes."""
        steps = None if self.steps == np.inf else self.steps
        judged = {"keep": self.keep, "clear": self.clear, "disappoints": self.disappoints}
        return {**vars(self), "steps": steps, **judged}


def compare(
    source: Sequence[Trace],
    adapted: Sequence[Trace],
    simulated: tuple[Sequence[Trace], Sequence[Trace]],
    explained: bool,
) -> Verdict:
    """The verdict on episodes in the target; `simulated` are those of both in the simulation."""
    steps = min((_longest(one) for one in (source, adapted) if one), default=np.inf)
    predicted_each = [_returns(one, steps) for one in simulated]
    predicted = float(predicted_each[1].mean() - predicted_each[0].mean())
    trust = 1.0 / max(predicted**2, 1e-12) if explained else 0.0
    if not (source and adapted):
        known = predicted if explained else 0.0
        return Verdict(steps, None, predicted, known, abs(predicted), explained)
    measured_each = [_returns(one, steps) for one in (source, adapted)]
    measured = float(measured_each[1].mean() - measured_each[0].mean())
    pairs = zip(measured_each, predicted_each, strict=True)
    variance = sum(_variance(*pair) for pair in pairs)
    weight = 1.0 / max(variance, 1e-12)
    mean = (trust * predicted + weight * measured) / (trust + weight)
    error = float((trust + weight) ** -0.5)
    return Verdict(steps, measured, predicted, mean, error, explained)


def _longest(traces: Sequence[Trace]) -> float:
    return max(trace.covers for trace in traces)


def _returns(traces: Sequence[Trace], steps: float) -> Array:
    """The returns of the first `steps` control steps of the episodes that cover them."""
    return np.array([trace.within(steps) for trace in traces if trace.covers >= steps])


def _variance(measured: Array, predicted: Array) -> float:
    """The variance of the mean of measured returns."""
    several = [np.var(one, ddof=1) for one in (measured, predicted) if len(one) > 1]
    return float(max(several, default=0.0)) / len(measured)
