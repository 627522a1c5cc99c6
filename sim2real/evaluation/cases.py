"""Episodes in given contexts: many cases of one domain, all in one batch of worlds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.config import LAST_SIMULATION_SEED, MOST_WORLDS
from sim2real.domains import Domain
from sim2real.errors import UserError, unknown, whole_number
from sim2real.evaluation.rollout import Policy, Row, row_of, run_episodes, simulation_of
from sim2real.simulation.given import GivenContexts
from sim2real.task import Array, IntArray, Task
from sim2real.torch_settings import one_thread, reproducible

MOST_TOGETHER = 512
"""The default number of worlds of a batch, if there are so many cases."""


@dataclass(frozen=True)
class Case:
    """An episode to run: its number, and the values of the context that are `given`, by name.

    The name of a parameter that has a draw for each element stands for all of them. What is not
    given is drawn: alike in all cases of one episode.
    """

    episode: int
    given: Mapping[str, float]


def evaluate_cases(
    policy: Policy,
    task: Task,
    domain: Domain,
    cases: Sequence[Case],
    *,
    seed: int = 0,
    num_envs: int | None = None,
    deterministic: bool = True,
    threads: int = 0,
) -> tuple[Row, ...]:
    """The rows of the `cases`, in their order.

    A case with nothing given has the row that `evaluate` gives the episode. The given values must
    lie within what the domain draws from. With a deterministic policy the rows are the same for
    any `num_envs` and `threads`. Raises UserError for names that are no entries of the context,
    for entries that are drawn at startup or anew within an episode, and as `evaluate` does.
    """
    whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
    if num_envs is not None:
        whole_number("num_envs", num_envs, 1, MOST_WORLDS)
    size = min(num_envs or MOST_TOGETHER, len(cases))
    with (
        one_thread(),
        reproducible(deterministic, seed),
        contextlib.closing(
            simulation_of(GivenContexts, policy, task, domain, size, seed, threads)
        ) as simulation,
    ):
        table = _table(simulation, cases)
        given = simulation.given = np.full((size, len(simulation.context_names)), np.nan)

        def begin(worlds: IntArray, places: IntArray) -> None:
            given[worlds] = table[places]

        episodes = np.array([case.episode for case in cases])
        found = run_episodes(policy, simulation, episodes, deterministic, begin)
        rows = {
            place: row_of(domain.name, seed, episode, quality) for place, episode, quality in found
        }
    return tuple(rows[place] for place in range(len(cases)))


def columns_of(names: Sequence[str], label: str) -> list[int]:
    """The entries of the context that `label` names: one of the `names`, or all its elements'."""
    return [k for k, name in enumerate(names) if name == label or name.startswith(f"{label}:")]


def _table(simulation: GivenContexts, cases: Sequence[Case]) -> Array:
    """The given values, (cases, entries), NaN where nothing is given."""
    names = simulation.context_names
    labels = dict.fromkeys(label for case in cases for label in case.given)
    columns = {label: columns_of(names, label) for label in labels}
    for label, found in columns.items():
        if not found:
            raise unknown(f"entry of the context of {simulation.domain.name!r}", label, names)
        if not {names[k] for k in found} <= simulation.plan.steady:
            raise UserError(
                f"{label}: it is drawn at startup or anew within an episode; allowed: what is "
                "drawn at each reset"
            )
    table = np.full((len(cases), len(names)), np.nan)
    for row, case in zip(table, cases, strict=True):
        for label, value in case.given.items():
            row[columns[label]] = value
    return table
