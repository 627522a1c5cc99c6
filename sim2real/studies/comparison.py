"""Ways to pretrain, compared at equal steps: each policy as it is, in the source and the targets.

pretrain/adr/seed-0               one policy a way and seed
evaluate/hard/adr/seed-0          that policy as it is, in a domain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain
from sim2real.evaluation.formats import interval_notes
from sim2real.evaluation.statistics import (
    Comparison,
    compare,
    holm,
    interval,
    rate,
)
from sim2real.studies.cells import TablePlan
from sim2real.studies.config import ComparisonConfig, Pretraining
from sim2real.studies.ledger import Cell
from sim2real.training.adaptive import checked_randomization
from sim2real.training.curve import SEED
from sim2real.training.recipe import load_recipe

Returns = Mapping[str, Mapping[str, NDArray[np.float64]]]
Successes = Mapping[str, Mapping[str, Sequence[int] | None]]


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


def summarize_comparison(returns: Returns, successes: Successes) -> dict[str, Any]:
    """The numbers of the report, from returns[domain][label], each (seeds, episodes).

    Each way has its return and its difference from the first way, paired by seed; the verdicts are
    corrected for all comparisons of the report. Its success is the share of its episodes, of which
    successes[domain][label][seed] were one; None where the task does not tell.
    """
    differences = _differences(returns)
    return {
        name: {
            label: interval(values).plain()
            | {
                "difference": _plain(differences.get((name, label))),
                "success": _success(successes[name][label], values.shape[1]),
            }
            for label, values in ways.items()
        }
        for name, ways in returns.items()
    }


def _differences(returns: Returns) -> dict[tuple[str, str], Comparison]:
    """Each way against the first of its domain, corrected for their number."""
    found = {
        (name, label): compare(values, next(iter(ways.values())))
        for name, ways in returns.items()
        for label, values in list(ways.items())[1:]
    }
    return dict(zip(found, holm(found.values()), strict=True))


def _plain(difference: Comparison | None) -> dict[str, Any] | None:
    return None if difference is None else difference.plain()


def _success(counts: Sequence[int] | None, episodes: int) -> dict[str, Any] | None:
    return None if counts is None else rate(counts, episodes).plain()


def comparison_notes(seeds: int, comparisons: int, succeed: bool) -> list[str]:
    """What a reader must know to trust the intervals."""
    notes = [
        "Every pretraining had the same number of control steps in its source domain, and its "
        "policies met the same episodes.",
        *interval_notes(seeds, comparisons),
    ]
    return [*notes, SUCCESS] if succeed and seeds != 2 else notes


SUCCESS = (
    "The interval of a success rate is exact binomial, of as many episodes as the spread between "
    "the seeds leaves; of one seed it is that of this policy."
)
