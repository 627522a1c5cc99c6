"""How much of the gap between two domains each of their differences explains.

All sets of differences run the same episodes of one seed (common random numbers). Where a value of
the context turns a difference off, its sets are worlds of one batch; a difference of another kind,
such as another engine, takes a batch for each combination of these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.config import LAST_SIMULATION_SEED, MOST_EPISODES
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.attribution import shapley
from sim2real.evaluation.attribution.differences import (
    Difference,
    can_turn_off,
    differences,
    mixture,
)
from sim2real.evaluation.attribution.shapley import Players
from sim2real.evaluation.cases import Case, evaluate_cases
from sim2real.evaluation.policy_checks import require_contract
from sim2real.evaluation.rollout import Policy, Row, returns, simulation_for
from sim2real.evaluation.statistics import FEWEST, Comparison, Interval, compare, interval
from sim2real.registry import load_task
from sim2real.task import Array, Task

MOST_EXACT = 6
"""Differences up to which all their sets are evaluated, 2^n."""
PAIRS = 16
"""The default number of pairs of sampled orders, where there are more differences."""


@dataclass(frozen=True)
class Part:
    """What one difference explains; losses of return are positive where the target is worse.

    `alone` is the loss of the source with this difference alone. `regained` is what the target
    gains without it. `shapley` is its Shapley value, the mean loss over all orders in which the
    differences may come about; `error` is the standard error of sampling these orders, 0 where all
    sets were evaluated. The intervals are over the episodes of this policy.
    """

    name: str
    about: str
    alone: Interval
    regained: Interval
    shapley: Interval
    error: float

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        found = {name: _three(getattr(self, name)) for name in ("shapley", "alone", "regained")}
        return {"name": self.name, "about": self.about, **found, "error": self.error}


@dataclass(frozen=True)
class Attribution:
    """The gap between two domains, and its `parts`, the largest first.

    The Shapley values of the parts sum up to the gap. `sets` of differences were evaluated, each in
    `episodes` episodes, `steps` control steps in all; `pairs` of orders were sampled, None where
    all sets were evaluated. `notes` are warnings about what the numbers cannot tell.
    """

    task: str
    source: str
    target: str
    episodes: int
    seed: int
    source_return: Interval
    target_return: Interval
    gap: Comparison
    parts: tuple[Part, ...]
    sets: int
    pairs: int | None
    steps: int
    notes: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            **{name: getattr(self, name) for name in ("task", "source", "target")},
            **{name: getattr(self, name) for name in ("episodes", "seed", "sets", "pairs")},
            "steps": self.steps,
            "source_return": _three(self.source_return),
            "target_return": _three(self.target_return),
            "gap": _three(self.gap),
            "parts": [part.plain() for part in self.parts],
            "notes": list(self.notes),
        }


def attribute(
    policy: Policy,
    task: str | Task,
    source: str | Domain,
    target: str | Domain,
    *,
    episodes: int = 50,
    seed: int = 0,
    pairs: int | None = None,
    num_envs: int | None = None,
    deterministic: bool = True,
    threads: int = 0,
    accept_changes: bool = False,
) -> Attribution:
    """How much of the gap between `source` and `target` each of their `differences` explains.

    Up to MOST_EXACT differences all 2^n sets of them are evaluated and the Shapley values are
    exact for these episodes; with more, or with `pairs`, so many pairs of orders are sampled.

    Raises UserError for domains without a difference, for fewer than 3 episodes, and as `evaluate`
    does.
    """
    whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
    check_episodes(episodes)
    if pairs is not None:
        whole_number("pairs", pairs, 2, 10_000)
    loaded = load_task(task)
    require_contract(policy, loaded, accept_changes)
    home, away = load_domain(loaded, source), load_domain(loaded, target)
    found = differences(home, away)
    if not found:
        raise UserError(
            f"source {home.name!r} and target {away.name!r} have the same content: there is no "
            "difference to explain a gap by"
        )
    names = [one.name for one in found]
    if pairs is None and len(names) > MOST_EXACT:
        pairs = PAIRS
    rng = np.random.default_rng(seed)
    orders = None if pairs is None else shapley.sampled_orders(names, pairs, rng)
    sets = _sets(names, orders)
    runner = _Sets(home, away, found, _fixed_geometry(policy, loaded, away))
    rows = runner.run(policy, loaded, sets, episodes, seed, num_envs, deterministic, threads)
    values = {one: returns(rows[one]) for one in sets}
    return _attribution(loaded, runner, values, orders, rows, seed)


def check_episodes(episodes: int) -> None:
    """UserError for fewer episodes than an interval needs."""
    whole_number("episodes", episodes, 1, MOST_EPISODES)
    if episodes < FEWEST:
        raise UserError(f"episodes is {episodes}; an interval needs at least {FEWEST}")


def _sets(names: Sequence[str], orders: Sequence[Sequence[str]] | None) -> list[Players]:
    if orders is None:
        return shapley.all_sets(names)
    single = [{name} for name in names]
    ends = [*single, *({*names} - one for one in single)]
    return list(dict.fromkeys([*shapley.sets_of(orders), *map(frozenset, ends)]))


def _fixed_geometry(policy: Policy, task: Task, target: Domain) -> bool:
    """Whether the target has no compiled variants; refuses a policy that does not fit it."""
    with contextlib.closing(simulation_for(policy, task, target, threads=1)) as simulation:
        return simulation.plan.pool is None


class _Sets:
    """Evaluates sets of the differences between two domains."""

    def __init__(
        self, source: Domain, target: Domain, parts: Sequence[Difference], fixed_geometry: bool
    ) -> None:
        self.source, self.target, self.parts = source, target, parts
        self._neutral = {
            one.name: one.neutral or {}
            for one in parts
            if fixed_geometry and can_turn_off(one, target)
        }

    def run(
        self,
        policy: Policy,
        task: Task,
        sets: Sequence[Players],
        episodes: int,
        seed: int,
        num_envs: int | None,
        deterministic: bool,
        threads: int,
    ) -> dict[Players, tuple[Row, ...]]:
        """The rows of each set, by the number of the episode."""
        batches: dict[Players, list[Players]] = {}
        for one in sets:
            batches.setdefault(one | frozenset(self._neutral), []).append(one)
        domains = {
            present: mixture(self.source, self.target, self.parts, present) for present in batches
        }
        found: dict[Players, tuple[Row, ...]] = {}
        for present, own in batches.items():
            cases = [Case(k, self._off(present - one)) for one in own for k in range(episodes)]
            rows = evaluate_cases(
                policy,
                task,
                domains[present],
                cases,
                seed=seed,
                num_envs=num_envs,
                deterministic=deterministic,
                threads=threads,
            )
            for place, one in enumerate(own):
                found[one] = rows[place * episodes : (place + 1) * episodes]
        return found

    def _off(self, names: Players) -> dict[str, float]:
        return {label: value for name in names for label, value in self._neutral[name].items()}


def _attribution(
    task: Task,
    runner: _Sets,
    values: dict[Players, Array],
    orders: Sequence[Sequence[str]] | None,
    rows: dict[Players, tuple[Row, ...]],
    seed: int,
) -> Attribution:
    names = [one.name for one in runner.parts]
    nothing, everything = frozenset[str](), frozenset(names)
    home, away = values[nothing], values[everything]
    losses = {one: home - value for one, value in values.items()}
    if orders is None:
        shares = {name: (share, 0.0) for name, share in shapley.exact(names, losses).items()}
    else:
        shares = shapley.sampled(orders, losses)
    parts = [
        Part(
            name=one.name,
            about=one.about,
            alone=interval([losses[frozenset({one.name})]]),
            regained=interval([losses[everything] - losses[everything - {one.name}]]),
            shapley=interval([shares[one.name][0]]),
            error=shares[one.name][1],
        )
        for one in runner.parts
    ]
    gap = compare([home], [away])
    return Attribution(
        task=task.reference,
        source=runner.source.name,
        target=runner.target.name,
        episodes=len(home),
        seed=seed,
        source_return=interval([home]),
        target_return=interval([away]),
        gap=gap,
        parts=tuple(sorted(parts, key=lambda part: -part.shapley.value)),
        sets=len(values),
        pairs=None if orders is None else len(orders) // 2,
        steps=sum(row.length for own in rows.values() for row in own),
        notes=tuple(_notes(gap, [row for own in rows.values() for row in own])),
    )


def _notes(gap: Comparison, rows: Sequence[Row]) -> list[str]:
    notes = []
    if gap.low <= 0 <= gap.high:
        notes.append("the interval of the gap includes 0: there may be nothing to explain")
    elif gap.value < 0:
        notes.append("the return is higher in the target: the gap is negative")
    if unstable := sum(row.unstable for row in rows):
        notes.append(
            f"{unstable} of {len(rows)} episodes became unstable; each counts with the lowest "
            "return of its set"
        )
    return notes


def _three(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}
