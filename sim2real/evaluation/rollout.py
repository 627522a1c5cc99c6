"""Episodes of any policy in any domain, many worlds at once; one row an episode.

The episodes of a seed are fixed before the first step, and each is run to its end: stopping when
the first so many have ended would favour short ones. A world whose episode has ended takes the next
that waits; when none waits it stands still and costs nothing. What an episode draws depends on the
seed and its index alone, so the rows are those of any number of worlds.
"""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from sim2real.config import LAST_SIMULATION_SEED, MOST_EPISODES, MOST_WORLDS
from sim2real.domains import Domain, named_apart
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.action_quality import ActionQuality
from sim2real.evaluation.policy_checks import (
    check_columns,
    check_spaces,
    check_weights,
    require_contract,
)
from sim2real.evaluation.unstable import counted_returns
from sim2real.simulation import Episode, Simulation
from sim2real.simulation.actions import choice_of
from sim2real.simulation.front_ends.foreign import (
    AnyEnv,
    ForeignEnv,
    domain_for,
    task_or_foreign,
)
from sim2real.simulation.observations import shows
from sim2real.task import Array, IntArray, ObservationTerm, Task
from sim2real.torch_settings import one_thread, reproducible

if TYPE_CHECKING:
    from sim2real.simulation.front_ends.workers import WorkerVecEnv

Kind = TypeVar("Kind", bound=Simulation)

USUAL_WORLDS = 128
"""The default number of worlds of an evaluation; fewer if there are fewer episodes."""

MOST_FOREIGN = 16
"""The same for a foreign environment, each of which is stepped by itself."""

BATCH = 64
"""Observations that a policy gets at once, always. The matrix products of torch on a CPU round the
rows of small batches, and those left over behind the last four, differently from others, so the
actions of a world would depend on how many there are."""


class Policy(Protocol):
    """A policy: anything with the `predict` of stable-baselines3."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions (n, nu) for observations (n, k); `state` is what the last call returned."""


@dataclass(frozen=True)
class Row:
    """One episode: where it ran, and its result.

    `total` is the return (in means an unstable episode counts for less, see `returns`), `terms` the
    reward terms summed over the episode, `context` what the domain drew. `length` is in control
    steps. Several of `failed`, `unstable` (both end an episode) and `truncated` (out of time) may
    hold at once, but not the first two. `success` is None where the task does not define it.
    `quality` has the measures of `evaluation.action_quality`; empty in a foreign environment.
    """

    domain: str
    seed: int
    episode: int
    total: float
    length: int
    failed: bool
    truncated: bool
    unstable: bool
    terms: dict[str, float]
    context: dict[str, float]
    success: bool | None = None
    quality: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        end = "failed" if self.failed else "unstable" if self.unstable else "truncated"
        result = f"total={self.total:.6g}, length={self.length}, {end}"
        return f"Row({self.domain!r}, seed={self.seed}, episode={self.episode}, {result})"


def evaluate(
    policy: Policy,
    task: str | Task | EnvSpec | Callable[[], AnyEnv],
    domains: str | Domain | Sequence[str | Domain],
    *,
    episodes: int | Iterable[int] = 100,
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    threads: int = 0,
    accept_changes: bool = False,
) -> tuple[Row, ...]:
    """Run the first `episodes` of `policy` in each domain, or those of these numbers.

    The rows are ordered by domain, then by episode. An episode alone has the row that it has among
    others: what it draws depends on `seed` and its number alone.

    A domain that is given twice runs once; different domains of one name are distinguished by
    their files in `Row.domain` (see `load_each`).

    `task` may be a foreign environment, as for `make_vec_env`; its rows have no reward terms. With
    a deterministic policy the rows are the same for any `num_envs` and `threads` (0: all
    processors). Raises UserError if the policy's spaces do not fit the task, and if the policy of a
    run means something else by its observations and actions than `task`, unless `accept_changes`.
    """
    numbers = episode_numbers(episodes)
    whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
    if num_envs is not None:
        whole_number("num_envs", num_envs, 1, MOST_WORLDS)
    subject = task_or_foreign(task)
    if isinstance(subject, Task):
        require_contract(policy, subject, accept_changes)
    several = [domains] if isinstance(domains, str | Domain) else list(domains)
    rows: list[Row] = []
    for domain in named_apart([(given, domain_for(subject, given)) for given in several]):
        most = USUAL_WORLDS if isinstance(subject, Task) else MOST_FOREIGN
        size = min(num_envs or most, len(numbers))
        with (
            one_thread(),
            reproducible(deterministic, seed),
            _worlds(policy, subject, domain, size, seed, threads) as worlds,
        ):
            if isinstance(worlds, Simulation):
                found = run_episodes(policy, worlds, np.asarray(numbers), deterministic)
            else:
                of_workers = _run_in_workers(policy, worlds, numbers, deterministic)
                found = ((episode.index, episode, {}) for episode in of_workers)
            ended = sorted(found, key=operator.itemgetter(0))
        rows.extend(row_of(domain.name, seed, episode, quality) for _, episode, quality in ended)
    return tuple(rows)


def episode_numbers(episodes: int | Iterable[int]) -> tuple[int, ...]:
    """The numbers of the first `episodes`, or those given, ascending, each once.

    Raises UserError where there are none, and for a number that no evaluation has.

    >>> episode_numbers(3), episode_numbers([7, 2])
    ((0, 1, 2), (2, 7))
    """
    if not isinstance(episodes, Iterable):
        return tuple(range(whole_number("episodes", episodes, 1, MOST_EPISODES)))
    numbers = {whole_number("an episode", one, 0, MOST_EPISODES - 1) for one in episodes}
    if not numbers:
        raise UserError("episodes is empty; give the numbers of some, or how many")
    return tuple(sorted(numbers))


def returns(rows: Iterable[Row]) -> Array:
    """The values with which the episodes of one domain count, in their order, (episodes,).

    Their returns; for an unstable one the value that `evaluation.unstable` defines. Raises
    UserError where all episodes became unstable.
    """
    ordered = sorted(rows, key=lambda row: row.episode)
    counted = counted_returns([row.total for row in ordered], [row.unstable for row in ordered])
    if np.isnan(counted).any():
        raise UserError(
            f"all {len(ordered)} episodes in domain {ordered[0].domain!r} became unstable: there "
            "is no return to be measured; `sim2real audit` shows what breaks the physics"
        )
    return counted


def success_rate(rows: Iterable[Row]) -> float | None:
    """The part of the episodes that were a success; None where the task does not define it."""
    known = [row.success for row in rows if row.success is not None]
    return float(np.mean(known)) if known else None


def by_domain(rows: Iterable[Row]) -> dict[str, tuple[Row, ...]]:
    """The rows of each domain, domains in the order of their first row."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.domain, []).append(row)
    return {domain: tuple(group) for domain, group in found.items()}


@contextlib.contextmanager
def _worlds(
    policy: Policy, subject: Task | ForeignEnv, domain: Domain, size: int, seed: int, threads: int
) -> Iterator[Simulation | WorkerVecEnv]:
    """The worlds of an evaluation; those of a foreign environment are ended with it."""
    if isinstance(subject, Task):
        with contextlib.closing(
            simulation_for(policy, subject, domain, size, seed, threads)
        ) as simulation:
            yield simulation
        return
    from sim2real.simulation.front_ends.workers import WorkerVecEnv  # late: it brings torch

    actions = choice_of(policy)
    env = WorkerVecEnv(subject, domain, size, seed, threads, actions=actions)
    with contextlib.closing(env):
        check_spaces(policy, env, subject.name)
        check_weights(policy)
        yield env


def run_episodes(
    policy: Policy,
    simulation: Simulation,
    episodes: IntArray,
    deterministic: bool,
    begin: Callable[[IntArray, IntArray], None] | None = None,
) -> Iterator[tuple[int, Episode, dict[str, float]]]:
    """Run the `episodes` (m,), given by their numbers; each as it ends, with its place among them.

    The same number may be there several times. `begin(worlds, places)` is called before worlds are
    reset for the episodes at these places. There are at most as many worlds as episodes. The last
    of the three is the quality of the actions.
    """
    place = np.arange(simulation.num_envs)

    def reset(worlds: IntArray) -> Array:
        if begin is not None:
            begin(worlds, place[worlds])
        return simulation.reset(worlds, episodes[place[worlds]])

    observation = reset(place.copy())
    started = np.ones(simulation.num_envs, dtype=bool)
    active, following, state = started.copy(), simulation.num_envs, None
    quality = ActionQuality(simulation)
    while active.any():
        action, state = act(policy, observation, state, started, active, deterministic)
        transition = simulation.advance(action, active)
        quality.add(action, active)
        for ended in transition.episodes:
            yield int(place[ended.world]), ended, quality.of(ended.world)
        observation, started = transition.observation, np.zeros_like(active)
        again, rest = np.split(transition.ended, [len(episodes) - following])
        active[rest] = False
        if len(again):
            started[again] = True
            quality.begin(again)
            place[again] = following + np.arange(len(again))
            observation = observation.copy()
            observation[again] = reset(again)
            following += len(again)


def _run_in_workers(
    policy: Policy, env: WorkerVecEnv, episodes: Sequence[int], deterministic: bool
) -> Iterator[Episode]:
    """As `run_episodes`; other episodes of an environment are ignored until all of these end."""
    observation: Any = env.reset()
    started = active = np.ones(env.num_envs, dtype=bool)
    state, left = None, set(episodes)
    while left:
        action, state = act(policy, observation, state, started, active, deterministic)
        observation, _, started, _ = env.step(action)
        for episode in env.episodes():
            if episode.index in left:
                left.remove(episode.index)
                yield episode


def act(
    policy: Policy,
    observation: Any,
    state: Any,
    started: NDArray[np.bool_],
    active: NDArray[np.bool_],
    deterministic: bool,
) -> tuple[NDArray[Any], Any]:
    """Actions (n, nu) and the policy's state; what is not active gets zeros where it can.

    A policy without a state is asked for the active worlds only, in batches of `BATCH` rows; one
    with a state always for all at once, in a multiple of `BATCH` rows. The last row is repeated to
    fill a batch.
    """
    rows = np.flatnonzero(active) if state is None else np.arange(len(active))
    rows = np.pad(rows, (0, -len(rows) % BATCH), mode="edge")

    def ask(some: IntArray) -> tuple[NDArray[Any], Any]:
        seen = _rows_of(observation, some)
        return policy.predict(
            seen, state=state, episode_start=started[some], deterministic=deterministic
        )

    action, following = ask(rows[:BATCH] if state is None else rows)
    if following is None:
        rest = range(BATCH, len(rows), BATCH)
        action = np.concatenate([action, *(ask(rows[k : k + BATCH])[0] for k in rest)])
    elif len(action) < len(rows):  # the first step of a policy that has a state
        action, following = ask(rows)
    _check_actions(action, rows)
    actions = np.zeros((len(active), *action.shape[1:]), action.dtype)
    actions[rows] = action
    return actions, following


def _check_actions(action: NDArray[Any], worlds: IntArray) -> None:
    """UserError where a policy gives an action that is not finite."""
    if np.issubdtype(action.dtype, np.inexact) and not np.isfinite(action).all():
        row, *index = np.argwhere(~np.isfinite(action))[0]
        which, value = index[0] if index else 0, action[(row, *index)]
        raise UserError(
            f"the policy's action {which} for world {worlds[row]} is {value}; it must be finite"
        )


def simulation_for(
    policy: Policy,
    task: Task,
    domain: Domain,
    num_envs: int = 1,
    seed: int = 0,
    threads: int = 0,
) -> Simulation:
    """A simulation that `policy` can act in: with privileged observations if it needs them.

    It shows as many control steps as the policy of a recipe observes. Actions are taken as the
    policy gives them: in the task's own range, or in [-1, 1].
    Raises UserError if the policy's spaces do not fit the task, and if it acts on what this domain
    does not draw.
    """
    return simulation_of(Simulation, policy, task, domain, num_envs, seed, threads)


def simulation_of(
    kind: type[Kind],
    policy: Policy,
    task: Task,
    domain: Domain,
    num_envs: int = 1,
    seed: int = 0,
    threads: int = 0,
) -> Kind:
    """As `simulation_for`, of a `kind` of simulation."""
    terms: tuple[ObservationTerm, ...] = getattr(policy, "acting_terms", ())
    privileged = shows(terms)
    actions = choice_of(policy)
    history = getattr(policy, "history", 1)
    simulation = kind(task, domain, num_envs, seed, threads, privileged, actions, history)
    if privileged:
        check_columns(terms, simulation)
    check_spaces(policy, simulation, task.name)
    check_weights(policy)
    return simulation


def _rows_of(observation: Any, rows: IntArray) -> Any:
    """Some rows of observations, (n, k) or a dict of such."""
    if isinstance(observation, dict):
        return {name: part[rows] for name, part in observation.items()}
    return observation[rows]


def row_of(domain: str, seed: int, episode: Episode, quality: dict[str, float]) -> Row:
    """The row of an episode that ended in `domain`."""
    return Row(
        domain=domain,
        seed=seed,
        episode=episode.index,
        total=episode.total,
        length=episode.length,
        failed=episode.failed,
        truncated=episode.truncated,
        unstable=episode.unstable,
        terms=dict(episode.terms),
        context=dict(episode.context),
        success=episode.success,
        quality=quality,
    )
