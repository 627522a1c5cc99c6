"""From the ledger to what a study measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sim2real.domains import Domain
from sim2real.evaluation.provenance import content, key_of
from sim2real.studies.config import Way
from sim2real.studies.ledger import Cell, Ledger
from sim2real.studies.measures import Measured, TargetResults
from sim2real.studies.oracle import Curve, DomainReferences, Floats, Quality, Trained
from sim2real.studies.plan import StudyPlan
from sim2real.studies.summary import Results


def results(plan: StudyPlan, ledger: Ledger) -> Results:
    """The measurements of the cells of a finished study."""
    source = domain_references(plan, ledger, plan.source)
    return Results(
        source=source,
        targets={
            target.name: TargetResults(
                references=domain_references(plan, ledger, target),
                methods={
                    label: _measured(plan, ledger, label, target) for label in plan.config.methods
                },
            )
            for target in plan.targets
        },
        pretraining=None
        if plan.given
        else curve(ledger, [plan.trained(seed) for seed in plan.config.seeds]),
    )


def reference_cells(plan: StudyPlan, domain: Domain) -> Iterator[Cell]:
    """The cells of the references of a domain, and of the untouched policy there."""
    yield plan.random(domain)
    for seed in plan.config.seeds:
        yield plan.pretrained(domain, seed)
    for way in plan.config.oracle.ways:
        for seed in plan.config.oracle_seeds:
            yield plan.oracle_training(way, domain, seed)
            yield plan.oracle(way, domain, seed)


def domain_references(plan: StudyPlan, ledger: Ledger, domain: Domain) -> DomainReferences:
    """The measurements in a domain before any method ran."""
    untouched = [plan.pretrained(domain, seed) for seed in plan.config.seeds]
    return DomainReferences(
        random=totals(ledger, [plan.random(domain)])[0],
        oracles={way: _trained(plan, ledger, domain, way) for way in plan.config.oracle.ways},
        zero_shot=totals(ledger, untouched),
        content=key_of(content(plan.task, domain)),
        quality=quality(ledger, untouched),
    )


def _trained(plan: StudyPlan, ledger: Ledger, domain: Domain, way: Way) -> Trained:
    seeds = plan.config.oracle_seeds
    best = [plan.oracle(way, domain, seed) for seed in seeds]
    return Trained(
        totals(ledger, best),
        curve(ledger, [plan.oracle_training(way, domain, seed) for seed in seeds]),
        quality(ledger, best),
    )


def totals(ledger: Ledger, cells: Sequence[Cell]) -> Floats:
    """The returns that evaluations measured, (cells, episodes)."""
    return np.array([ledger.read(cell)["totals"] for cell in cells], dtype=float)


def quality(ledger: Ledger, cells: Sequence[Cell]) -> Quality:
    """How policies act, one a cell; empty if a cell is of a version that did not measure it."""
    found = [ledger.read(cell).get("quality") for cell in cells]
    return tuple(one for one in found if one) if all(found) else ()


def curve(ledger: Ledger, cells: Sequence[Cell]) -> Curve:
    """The learning curves of trainings that differ in their seed."""
    found = [ledger.read(cell)["curve"] for cell in cells]
    means = [np.mean(np.asarray(one["totals"], dtype=float), axis=1) for one in found]
    return Curve(tuple(found[0]["steps"]), np.array(means))


def _measured(plan: StudyPlan, ledger: Ledger, label: str, target: Domain) -> Measured:
    seeds = plan.config.seeds
    cells = [plan.transferred(label, target, seed) for seed in seeds]
    found = [ledger.read(cell) for cell in cells]
    return Measured(
        steps=tuple(found[0]["steps"]),
        returns=np.array([result["totals"] for result in found], dtype=float),
        home=totals(ledger, [plan.at_home(label, target, seed) for seed in seeds]),
        used=tuple(result["used"] for result in found),
        quality=quality(ledger, cells),
    )
