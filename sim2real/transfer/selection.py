"""Choose the best of several policies by few episodes in a target.

The policies play episodes in turn. One whose mean return is clearly below the best is dropped:

    mean_i < mean_best - 2 sqrt(var_i / n_i + var_best / n_best),    n_i, n_best >= 3

until one is left or the budget ends (racing: Maron & Moore 1994, "Hoeffding races", with standard
errors in place of Hoeffding's bound). The policy of the highest mean is chosen then, the first of
equals. With the untouched policy as the first, a worse one is chosen by chance only, and rarely one
that is much worse.

Returns are compared over the first control steps that the episodes of all cover, as in
`sim2real.transfer.verification`: an episode that has ended covers any time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.policies import BasePolicy

from sim2real.task import Array
from sim2real.transfer.target import Target
from sim2real.transfer.verification import CLEAR, Trace, longest, returns_within, traces_of

LEAST = 3
"""Episodes of a policy before it may be dropped, and of the one that it is compared with."""
REPORT = "report/selection.json"
SOURCE = "source"
"""The name of the untouched policy."""


@dataclass(frozen=True)
class Standing:
    """The episodes of a policy in the target: how many, their mean return and its standard error.

    None where there are too few.
    """

    name: str
    episodes: int
    mean: float | None
    error: float | None


@dataclass(frozen=True)
class Selection:
    """Which policy was chosen, and why; `steps` are those compared, None for whole episodes."""

    chosen: str
    clear: bool
    """Whether all others were dropped."""
    steps: float | None
    standings: tuple[Standing, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "standings": [vars(one) for one in self.standings]}


def race(
    names: Sequence[str], play: Callable[[int], Sequence[Trace]], left: Callable[[], int]
) -> Selection:
    """Let policies play until one is left or no control steps are `left`.

    `play` gets the index of a policy and returns its next episode, none where the budget covers
    no step.
    """
    traces = [list[Trace]() for _ in names]
    running = list(range(len(names)))
    while len(running) > 1 and left():
        place = min(running, key=lambda one: len(traces[one]))
        traces[place] += play(place)
        running = _remaining(running, traces)
    steps, returns = _compared(traces)
    best = _best(running, returns)
    return Selection(
        chosen=names[best],
        clear=len(running) == 1,
        steps=None if steps == np.inf else steps,
        standings=tuple(_standing(*pair) for pair in zip(names, returns, strict=True)),
    )


def select(policies: Mapping[str, BasePolicy], target: Target) -> Selection:
    """The race of `policies` in the target with the steps that its budget has left."""
    names = list(policies)

    def left() -> int:
        return target.budget.steps - target.usage.steps

    def play(place: int) -> list[Trace]:
        log = target.record(policies[names[place]], left(), episodes=1)
        return traces_of(log, target.episode_steps)

    return race(names, play, left)


def _remaining(running: Sequence[int], traces: Sequence[Sequence[Trace]]) -> list[int]:
    """Those that are not clearly worse than the best of them."""
    if any(len(traces[one]) < LEAST for one in running):
        return list(running)
    _, returns = _compared(traces)
    best = returns[_best(running, returns)]
    return [one for one in running if not _clearly_below(returns[one], best)]


def _compared(traces: Sequence[Sequence[Trace]]) -> tuple[float, list[Array]]:
    """The control steps that are compared, and the returns of each policy over them."""
    steps = min((longest(one) for one in traces if one), default=np.inf)
    return steps, [returns_within(one, steps) for one in traces]


def _best(running: Sequence[int], returns: Sequence[Array]) -> int:
    means = [returns[one].mean() if len(returns[one]) else -np.inf for one in running]
    return running[int(np.argmax(means))]


def _clearly_below(returns: Array, best: Array) -> bool:
    error = np.hypot(_error(returns), _error(best))
    return bool(returns.mean() < best.mean() - CLEAR * error)


def _error(returns: Array) -> float:
    """The standard error of a mean; inf of a single return."""
    return float(np.std(returns, ddof=1) / np.sqrt(len(returns))) if len(returns) > 1 else np.inf


def _standing(name: str, returns: Array) -> Standing:
    mean = float(returns.mean()) if len(returns) else None
    error = _error(returns) if len(returns) > 1 else None
    return Standing(name, len(returns), mean, error)
