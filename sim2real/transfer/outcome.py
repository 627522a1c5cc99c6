"""What a transfer was worth: the policy before and after, the gap closed, what it used.

The return in the source after the transfer tells what was forgotten.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.evaluation.metrics import gap_closed
from sim2real.evaluation.references import known_references
from sim2real.evaluation.rollout import Row, evaluate, returns
from sim2real.evaluation.statistics import compare, interval, of_seeds
from sim2real.evaluation.summary import mean_quality
from sim2real.files import read_json
from sim2real.learning.curve import CURVE_EPISODES, SEED
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.api import SOURCE
from sim2real.transfer.conditioned import in_mean_context
from sim2real.transfer.fitting import fitted, match_of

Floats = NDArray[np.float64]


def outcome(run: Run, episodes: int = CURVE_EPISODES) -> dict[str, Any]:
    """Returns of the source's policy and of a transfer's in the target, and the ledger, as JSON.

    Both are measured on the same episodes, which were not learned from and are not charged to the
    budget; their intervals are those of these two policies. A source of another task acts with what
    both tasks have. `gap_closed` is None for such a source, and unless a study has left references
    of both domains in the cache (see `known_references`), and where the gap before the transfer may
    be 0. `source` has the returns in the domain of the source, where both tasks
    are one; None otherwise. `quality` has how both act in the target.
    """
    accepted = run.config.accept_changes or run.loading.accept_changes
    source = load_run(run.path / SOURCE, accept_changes=accepted)
    match = match_of(run.config.method)
    here = source if match is None else fitted(source, run.task, run.domain, match)[0]
    recipes = [one.config.parsed_recipe() for one in (source, run)]
    fixed = recipes[0].privileged_actor and not recipes[1].needs_privileged
    start = in_mean_context(here) if fixed and run.config.kind == "transfer" else here.policy
    shown = [_measured(one, run, run.domain, episodes) for one in (start, run.policy)]
    before, after = (returns(rows) for rows in shown)
    difference = compare(after[None], before[None])
    at_home = _at_home(run, source, episodes)
    return {
        "domain": run.config.domain,
        "episodes": episodes,
        "zero_shot": interval(before[None]).plain(),
        "after": interval(after[None]).plain(),
        "difference": difference.plain(),
        "gap_closed": None
        if at_home is None
        else _gap_closed(run, source, at_home[0], before, after),
        "source": None if at_home is None else _in_source(source, *at_home),
        "quality": dict(zip(("zero_shot", "after"), map(mean_quality, shown), strict=True)),
        "used": read_json(run.path / "report" / "budget.json")["used"],
    }


def _measured(policy: Any, run: Run, domain: Domain, episodes: int) -> tuple[Row, ...]:
    seed = SEED + run.config.seed
    return evaluate(
        policy, run.task, domain, episodes=episodes, seed=seed, accept_changes=True
    )  # compared when the transfer began


def _at_home(run: Run, source: Run, episodes: int) -> tuple[Floats, Floats] | None:
    """The returns of both policies in the source, on the same episodes."""
    if (source.config.task, source.config.task_options) != (
        run.config.task,
        run.config.task_options,
    ):
        return None
    before, after = (
        returns(_measured(policy, run, source.domain, episodes))
        for policy in (source.policy, run.policy)
    )
    return before, after


def _in_source(source: Run, before: Floats, after: Floats) -> dict[str, Any]:
    return {
        "domain": source.domain.name,
        "before": interval(before[None]).plain(),
        "after": interval(after[None]).plain(),
        "difference": compare(after[None], before[None]).plain(),
    }


def _gap_closed(
    run: Run, source: Run, in_source: Floats, before: Floats, after: Floats
) -> float | None:
    """The share of the zero-shot gap that was closed; None without references or without a gap."""
    target_references = known_references(run.task, run.domain)
    source_references = known_references(run.task, source.domain)
    if target_references is None or source_references is None:
        return None
    source_score = source_references.score(of_seeds("episodes in the source", in_source[None]))
    scores = (target_references.score(of_seeds("seeds", one[None])) for one in (before, after))
    closed = gap_closed(source_score, *scores).value
    return None if math.isnan(closed) else closed
