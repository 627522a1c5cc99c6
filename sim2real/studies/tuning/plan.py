"""A search with every name looked up and every option checked before anything is run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.references import known_references
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.extras import needed
from sim2real.files import user_path
from sim2real.learning.curve import SEED
from sim2real.learning.recipe_checks import check_recipe
from sim2real.policies.recipe import AnyRecipe, load_recipe
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.studies.ledger import Cell
from sim2real.studies.tuning.config import TuneConfig
from sim2real.studies.tuning.space import nested
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import describe_method, load_method
from sim2real.transfer.method import Method


class TunePlan:
    """A checked search. Raises UserError for whatever is unknown or impossible."""

    def __init__(self, config: TuneConfig) -> None:
        self.config = config
        self.optuna = needed("optuna", "the verb tune", "tune")
        self.task = load_task(config.task, **config.task_options)
        self.domain = load_domain(self.task, config.domain)
        self.evaluated_in = load_domain(self.task, config.evaluate_in or config.domain)
        place = config.run or ""
        source = place if place.startswith("pretrained:") or not place else user_path(place)
        self._source = load_run(source, task=self.task) if source else None
        self.distributions = {
            name: space.distribution(self.optuna, self._checked(name))
            for name, space in config.space.items()
        }
        self._scale = self._objective()

    def options(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a trial, from what Optuna has drawn."""
        drawn = {name: self.config.space[name].value(found) for name, found in params.items()}
        return nested(self.config.options, drawn)

    def cells(self, number: int, params: Mapping[str, Any], part: int) -> list[Cell]:
        """Part 1, 2, ... of trial `number`, a cell for each seed. UserError for bad options."""
        made = self._made(self.options(params))
        what = (
            {"method": describe_method(made), "budget": self.config.budget}
            if isinstance(made, Method)
            else {"recipe": made.model_dump(mode="json"), "steps": self.config.steps}
        )
        return [self._cell(number, part, seed, what) for seed in self.config.seeds]

    def value(self, mean: float) -> float:
        """The objective for a mean return."""
        zero, one = self._scale
        return (mean - zero) / (one - zero)

    def _cell(self, number: int, part: int, seed: int, what: Mapping[str, Any]) -> Cell:
        name = f"trial-{number:04d}-seed-{seed}"
        work = {
            "task": self.task.reference,
            "task_options": self.task.options,
            "domain": _plain(self.domain),
            "evaluate_in": _plain(self.evaluated_in),
            "episodes": self.config.episodes,
            "seed": seed,
            "pause": self.config.pause(part),
            "run": str(self.config.folder / "runs" / name),
            "source": None if self._source is None else self._source.reference,
            **what,
        }
        return Cell(f"{name}/part-{part}", f"part-{part}", work)

    def _made(self, options: Mapping[str, Any]) -> AnyRecipe | Method:
        """The recipe or the method with these options, checked as far as it can be."""
        if self._source is None:
            recipe = load_recipe(self.config.algorithm, self.task.name, options)
            check_recipe(recipe, self.task, self.domain)
            return recipe
        assert self.config.method is not None
        assert self.config.budget is not None
        method = load_method(self.config.method, options)
        method.require_algorithm(self._source.config.algorithm)
        recipe = method.target_recipe(
            self._source.config.parsed_recipe(), Budget(self.config.budget)
        )
        Budget(self.config.budget).usable(method.target_worlds(recipe))
        return method

    def _checked(self, name: str) -> bool:
        """Whether an option takes whole numbers only; UserError if it or a value is not allowed.

        Each is tried beside the shared options, the others being the usual ones.
        """
        space, shared = self.config.space[name], self.config.options
        for example in space.examples:
            self._made(nested(shared, {name: example}))
        ends = (space.low, space.high)
        if space.choices or not all(isinstance(end, int) for end in ends):
            return False
        try:
            self._made(nested(shared, {name: space.low + 0.5}))
        except UserError:
            return True
        return False

    def _objective(self) -> tuple[float, float]:
        """The returns whose objective is 0 and 1."""
        objective = self.config.objective
        if objective == "return":
            return 0.0, 1.0
        target = self._references(self.evaluated_in)
        if objective == "score":
            return target
        assert self._source is not None
        source = self._source.domain
        low, high = self._references(source)
        score = (self._return(source) - low) / (high - low)
        wanted = target[0] + score * (target[1] - target[0])
        before = self._return(self.evaluated_in)
        if wanted <= before:
            raise UserError(
                f"there is no gap to close in {self.evaluated_in.name}: the run has a return of "
                f"{before:,.1f} there without a transfer; allowed: objective return or score"
            )
        return before, wanted

    def _references(self, domain: Domain) -> tuple[float, float]:
        """The returns of random actions and of the oracle in a domain, from an earlier study."""
        known = known_references(self.task, domain)
        if known is None:
            raise UserError(
                f"objective {self.config.objective} needs the oracle of {domain.name}; run a study "
                "with that domain first, or choose the objective return"
            )
        return known.random, known.oracle

    def _return(self, domain: Domain) -> float:
        """The mean return of the run as it is."""
        assert self._source is not None
        rows = evaluate(
            self._source.policy,
            self.task,
            domain,
            episodes=self.config.episodes,
            seed=SEED + self.config.seeds[0],
        )
        return float(returns(rows).mean())


def _plain(domain: Domain) -> dict[str, Any]:
    return {"name": domain.name, **domain.plain()}
