"""A comparison of ways to pretrain at equal steps: each policy is evaluated without a transfer.

A way may train in other worlds than the source, or in the source with ranges of another width.

pretrain/adr/seed-0               one policy a way and seed
evaluate/hard/adr/seed-0          that policy as it is, in a domain
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain
from sim2real.domains.width import widened
from sim2real.evaluation.statistics import (
    Comparison,
    compare,
    holm,
    interval,
    rate,
)
from sim2real.learning.adaptive import checked_randomization
from sim2real.learning.curve import SEED
from sim2real.policies.recipe import load_recipe
from sim2real.simulation import Simulation
from sim2real.studies.cells import TablePlan
from sim2real.studies.config import ComparisonConfig, Pretraining
from sim2real.studies.ledger import Cell
from sim2real.studies.report.formats import interval_notes


class ComparisonPlan(TablePlan):
    """A checked comparison. Raises UserError for whatever is unknown or impossible."""

    def __init__(self, config: ComparisonConfig) -> None:
        super().__init__(config, config.domain)
        self.config = config
        for label, way in config.pretrainings.items():
            self._add(label, way)

    @property
    def worlds(self) -> list[Domain]:
        """Every domain that is trained or evaluated in, to be audited.

        Of a width below 1 it is the whole domain: near its nominal value nothing has an effect.
        """
        ways = self.config.pretrainings.values()
        own = [widened(self._own(way), max(way.width, 1.0)) for way in ways]
        return [*self.domains, *(domain for domain in own if domain not in self.domains)]

    def evaluated(self, label: str, domain: Domain, seed: int) -> Cell:
        """The cell that evaluates the policy of a way and seed in a domain."""
        return self.cells[f"evaluate/{domain.name}/{label}/seed-{seed}"]

    def _own(self, way: Pretraining) -> Domain:
        """The domain of a way, as wide as it is written."""
        return self.source if way.domain is None else load_domain(self.task, way.domain)

    def _add(self, label: str, way: Pretraining) -> None:
        config, domain = self.config, widened(self._own(way), way.width)
        if domain not in self.domains:
            Simulation(self.task, domain, threads=1).close()  # refuses what does not fit
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


@dataclass(frozen=True)
class Reached:
    """Results of the policies of one way in one domain, a row or a number a seed.

    `returns` is (seeds, episodes); the counts are of episodes. `succeeded` is None where the task
    does not define success.
    """

    returns: NDArray[np.float64]
    failed: tuple[int, ...]
    unstable: tuple[int, ...]
    succeeded: tuple[int, ...] | None


def reached(results: Sequence[Mapping[str, Any]]) -> Reached:
    """The results of the cells that evaluated one way in one domain, a seed each."""
    returns = np.array([result["totals"] for result in results], dtype=float)
    rates = [result["success"] for result in results]
    succeeded = None if None in rates else [round(one * returns.shape[1]) for one in rates]
    return Reached(
        returns,
        tuple(result["failed"] for result in results),
        tuple(result["unstable"] for result in results),
        None if succeeded is None else tuple(succeeded),
    )


def summarize_comparison(found: Mapping[str, Mapping[str, Reached]]) -> dict[str, Any]:
    """The numbers of the report, from found[domain][label].

    Each way has its return and its difference from the first way, paired by seed; the verdicts are
    corrected for all comparisons of the report. Then the rates of episodes that failed and that
    succeeded, where the task defines it, and the number of unstable ones.
    """
    differences = _differences(found)
    return {
        name: {
            label: interval(way.returns).plain()
            | {
                "difference": _plain(differences.get((name, label))),
                "failure": _rate(way.failed, way),
                "success": None if way.succeeded is None else _rate(way.succeeded, way),
                "unstable": sum(way.unstable),
            }
            for label, way in ways.items()
        }
        for name, ways in found.items()
    }


def _differences(found: Mapping[str, Mapping[str, Reached]]) -> dict[tuple[str, str], Comparison]:
    """Each way against the first of its domain, corrected for their number."""
    pairs = {
        (name, label): compare(way.returns, next(iter(ways.values())).returns)
        for name, ways in found.items()
        for label, way in list(ways.items())[1:]
    }
    return dict(zip(pairs, holm(pairs.values()), strict=True))


def _plain(difference: Comparison | None) -> dict[str, Any] | None:
    return None if difference is None else difference.plain()


def _rate(counts: Sequence[int], way: Reached) -> dict[str, Any]:
    return rate(counts, way.returns.shape[1]).plain()


def summarize_trade_off(
    found: Mapping[str, Mapping[str, Reached]], home: str, held_out: Sequence[str]
) -> dict[str, Any]:
    """The return of each way at `home` and in the worst of the domains `held_out`, by label.

    The worst case of a seed is the domain in which its own mean is the lowest; `target` is the
    domain in which the mean over all seeds is. Empty without another domain, and for one way alone.
    """
    if not held_out or len(found[home]) < 2:
        return {}
    return {
        label: {"home": interval(way.returns).plain(), **_worst(found, label, held_out)}
        for label, way in found[home].items()
    }


def _worst(
    found: Mapping[str, Mapping[str, Reached]], label: str, held_out: Sequence[str]
) -> dict[str, Any]:
    returns = np.array([found[name][label].returns for name in held_out])
    means = returns.mean(axis=2)  # (domains, seeds)
    worst = returns[means.argmin(axis=0), np.arange(means.shape[1])]
    target = held_out[int(means.mean(axis=1).argmin())]
    return {"worst": interval(worst).plain(), "target": target}


def comparison_notes(returns: Mapping[str, Any], seeds: int) -> list[str]:
    """Notes on the numbers of `summarize_comparison`."""
    ways = [way for found in returns.values() for way in found.values()]
    notes = [
        "Every pretraining had the same number of control steps in its source domain, and its "
        "policies met the same episodes.",
        *interval_notes(seeds, sum(way["difference"] is not None for way in ways)),
    ]
    return [*notes, *([RATES] if seeds != 2 else []), *_unstable_note(returns)]


WORST = (
    "The worst case of a policy is the target in which its mean return is the lowest; the column "
    "names the one in which the mean over all seeds is. The lowest of several means tends to lie "
    "below the true one; the more episodes, the less."
)


RATES = (
    "The interval of a rate is exact binomial, of as many episodes as the spread between the seeds "
    "leaves; of one seed it is that of this policy."
)


def _unstable_note(returns: Mapping[str, Any]) -> list[str]:
    """Where the physics became unstable, and how often; empty if it never did."""
    counts = [
        f"{way['unstable']} of {label} in {name}"
        for name, ways in returns.items()
        for label, way in ways.items()
        if way["unstable"]
    ]
    return [f"Episodes that ended because the physics was unstable: {', '.join(counts)}."] * bool(
        counts
    )
