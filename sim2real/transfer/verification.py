"""Which of two policies is better in a target, from few and cut episodes and a prediction.

Returns are compared over the first h control steps, with h the longest time that the episodes of
both policies cover. An episode that has ended covers any time, one that was cut only its own.

Let m be the mean difference of these returns in the target, adapted minus source, and p the one
that the simulation predicts; P is what it predicts for whole episodes, of T control steps at most.
The error of the simulation grows with the time, so the difference over whole episodes is estimated
as

    D = P + w (T / h) (m - p),    s^2 = (T / h)^2 (variance of m),    w = P^2 / (P^2 + s^2)

with T / h = 1 for whole episodes: where the family explains the log, P is believed to within its
own size before the target is asked. Then D has the variance w s^2, and the adapted policy is kept
if D > 0. Where the family does not explain the log, w = 1, the part P - p that was not measured is
believed to within half its size, and the adapted policy is kept if D is above two standard errors.
The variance of a return is the larger one of that in the simulation and that in the target, as a
handful of episodes tells little about it.
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
TINY = 1e-12
"""Variance of returns, at least."""


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
    `predicted` are the differences over that time in the target and in the simulation, `whole` the
    one that is predicted for whole episodes; `mean` and `error` are those that are believed.
    `measured` is None where a policy has no episode in the target.
    """

    steps: float
    measured: float | None
    predicted: float
    whole: float
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
        return self.measured is not None and self.whole - self.mean > CLEAR * self.error

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
    steps = min((longest(one) for one in (source, adapted) if one), default=np.inf)
    predicted, whole = (_difference(*simulated, over) for over in (steps, np.inf))
    if not (source and adapted):
        return Verdict(steps, None, predicted, whole, whole * explained, abs(whole), explained)
    measured = _difference(source, adapted, steps)
    whole_steps = max(len(trace.rewards) for one in simulated for trace in one)
    scale = max(whole_steps / steps, 1.0)
    pairs = zip((source, adapted), simulated, strict=True)
    variance = scale**2 * max(sum(_variance(*pair, steps) for pair in pairs), TINY)
    prior = max(whole**2, TINY)
    weight = prior / (prior + variance) if explained else 1.0
    unmeasured = 0.0 if explained else 0.5 * abs(whole - predicted)
    mean = whole + weight * scale * (measured - predicted)
    error = float(np.hypot(np.sqrt(weight * variance), unmeasured))
    return Verdict(steps, measured, predicted, whole, mean, error, explained)


def _difference(source: Sequence[Trace], adapted: Sequence[Trace], steps: float) -> float:
    """The difference of the mean returns over `steps`, adapted minus source."""
    return float(returns_within(adapted, steps).mean() - returns_within(source, steps).mean())


def longest(traces: Sequence[Trace]) -> float:
    """The control steps up to which a return is known of one of the episodes at least."""
    return max(trace.covers for trace in traces)


def returns_within(traces: Sequence[Trace], steps: float) -> Array:
    """The returns of the first `steps` control steps of the episodes that cover them."""
    return np.array([trace.within(steps) for trace in traces if trace.covers >= steps])


def _variance(measured: Sequence[Trace], simulated: Sequence[Trace], steps: float) -> float:
    """The variance of the mean of measured returns."""
    each = [returns_within(one, steps) for one in (measured, simulated)]
    several = [np.var(one, ddof=1) for one in each if len(one) > 1]
    return float(max(several, default=0.0)) / len(each[0])
