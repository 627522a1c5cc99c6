"""Ways to pretrain, compared at equal steps: each policy as it is, in the source and the targets.

pretrain/adr/seed-0               one policy a way and seed
evaluate/hard/adr/seed-0          that policy as it is, in a domain
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain
from sim2real.evaluation.statistics import paired_difference, proportion, stratified_bootstrap
from sim2real.studies.cells import TablePlan
from sim2real.studies.config import ComparisonConfig, Pretraining
from sim2real.studies.ledger import Cell
from sim2real.training.adaptive import checked_randomization
from sim2real.training.recipe import load_recipe
from sim2real.transfer.curve import SEED

Returns = Mapping[str, Mapping[str, NDArray[np.float64]]]
Successes = Mapping[str, Mapping[str, int | None]]


class ComparisonPlan(TablePlan):
    """A checked comparison. Raises UserError for whatever is unknown or impossible."""

    def __init__(self, config: ComparisonConfig) -> None:
        super().__init__(config, config.domain)
        self.config = config
        for label, way in config.pretrainings.items():
            self._add(label, way)

    @property
    def worlds(self) -> list[Domain]:
        """Every domain that is trained or evaluated in."""
        own = [
            load_domain(self.task, way.domain)
            for way in self.config.pretrainings.values()
            if way.domain is not None
        ]
        return [*self.domains, *(domain for domain in own if domain not in self.domains)]

    def evaluated(self, label: str, domain: Domain, seed: int) -> Cell:
        """The cell that evaluates the policy of a way and seed in a domain."""
        return self.cells[f"evaluate/{domain.name}/{label}/seed-{seed}"]

    def _add(self, label: str, way: Pretraining) -> None:
        config = self.config
        domain = self.source if way.domain is None else load_domain(self.task, way.domain)
        options = {**config.options, **way.options}
        recipe = load_recipe(config.algorithm, self.task.name, options).model_dump(mode="json")
        more: dict[str, Any] = {}
        if way.randomization is not None:
            resolved = checked_randomization(way.randomization, self.task, domain)
            more["more"] = {"randomization": resolved}
        for seed in config.seeds:
            trained = self._cells.add(
                "pretrain",
                f"pretrain/{label}/seed-{seed}",
                domain,
                config.steps,
                recipe=recipe,
                steps=config.steps,
                seed=seed,
                **more,
            )
            for world in self.domains:
                self._cells.add(
                    "evaluate",
                    f"evaluate/{world.name}/{label}/seed-{seed}",
                    world,
                    self._evaluation,
                    trained,
                    episodes=config.episodes,
                    seed=SEED + seed,
                )


def summarize_comparison(returns: Returns, successes: Successes, seed: int = 0) -> dict[str, Any]:
    """The numbers of the report, from returns[domain][label], each (seeds, episodes).

    The return of a way is the interquartile mean over the seeds with its bootstrap interval; its
    difference from the first way is paired by seed and episode. Its success is the share of all
    its episodes, of which successes[domain][label] were one; None where the task does not tell.
    """
    rng = np.random.default_rng(seed)
    return {
        name: {
            label: asdict(stratified_bootstrap([values], rng))
            | {
                "difference": None
                if label == next(iter(ways))
                else asdict(paired_difference(values, next(iter(ways.values())), rng)),
                "success": _success(successes[name][label], values.size),
            }
            for label, values in ways.items()
        }
        for name, ways in returns.items()
    }


def _success(count: int | None, episodes: int) -> dict[str, Any] | None:
    return None if count is None else asdict(proportion(count, episodes))


def comparison_notes(seeds: int, succeed: bool) -> list[str]:
    """What a reader must know to trust the intervals."""
    resampled = (
        "differences are paired by seed and episode, their intervals resample the seeds and then "
        "the episodes within each"
        if seeds > 1
        else "differences are paired by episode; with one seed all intervals resample its "
        "episodes, and speak for these policies alone"
    )
    notes = [
        "Every pretraining had the same number of control steps in its source domain, and its "
        "policies met the same episodes.",
        f"Returns are interquartile means over {seeds} seed{'s' if seeds > 1 else ''} with 95 % "
        f"bootstrap intervals; {resampled}.",
    ]
    if succeed:
        notes.append("Success is the share of all episodes, with its 95 % Wilson interval.")
    if 1 < seeds < 5:
        notes.append("With fewer than five seeds such intervals are narrower than they should be.")
    return notes
