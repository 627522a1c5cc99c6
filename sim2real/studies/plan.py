"""The cells of a study, with every name looked up and checked before anything is run.

pretrain/seed-0                   one policy a seed, in the source
evaluate/hard/seed-0              that policy as it is, in the source and in each target
transfer/fine_tune/hard/seed-0    a method within the budget, with its learning curve
oracle/hard                       the reference that is trained in the target itself,
evaluate/hard/oracle              and what it reaches there
evaluate/hard/random              what uniform actions reach in a domain
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim2real.domains import Domain
from sim2real.studies.cells import TablePlan
from sim2real.studies.config import StudyConfig
from sim2real.studies.ledger import Cell
from sim2real.training.recipe import load_recipe, parse_recipe
from sim2real.transfer.budget import Budget
from sim2real.transfer.curve import SEED, schedule
from sim2real.transfer.method import describe_method, load_method


class Plan(TablePlan):
    """A checked study. Raises UserError for whatever is unknown or impossible."""

    def __init__(self, config: StudyConfig) -> None:
        super().__init__(config, config.source.domain)
        self.config = config
        self.points = schedule(config.evaluations, config.budget)
        self._add_all(self._recipe(), self._recipe(**config.oracle.options))

    @property
    def worlds(self) -> list[Domain]:
        """Every domain that is trained or evaluated in."""
        return self.domains

    def pretrained(self, domain: Domain, seed: int) -> Cell:
        """The cell that evaluates the pretrained policy of a seed in a domain."""
        return self.cells[f"evaluate/{domain.name}/seed-{seed}"]

    def reference(self, kind: str, domain: Domain) -> Cell:
        """The cell that evaluates a reference, `random` or `oracle`, in a domain."""
        return self.cells[f"evaluate/{domain.name}/{kind}"]

    def transferred(self, label: str, target: Domain, seed: int) -> Cell:
        """The cell of a method in a target from the policy of a seed."""
        return self.cells[f"transfer/{label}/{target.name}/seed-{seed}"]

    def _recipe(self, **options: Any) -> dict[str, Any]:
        source = self.config.source
        merged = {**source.options, **options}
        recipe = load_recipe(source.algorithm, self.task.name, merged)
        return recipe.model_dump(mode="json")

    def _add_all(self, recipe: Mapping[str, Any], oracle_recipe: Mapping[str, Any]) -> None:
        config = self.config
        methods = {label: self._method(label, recipe) for label in config.methods}
        for domain in self.domains:
            self._evaluate(domain, "random", SEED)
        for target in self.targets:
            oracle = config.oracle
            name = f"oracle/{target.name}"
            trained = self._train(name, target, oracle_recipe, oracle.steps, oracle.seed)
            self._evaluate(target, "oracle", SEED + oracle.seed, trained)
        for seed in config.seeds:
            name = f"pretrain/seed-{seed}"
            policy = self._train(name, self.source, recipe, config.source.steps, seed)
            for domain in self.domains:  # on the episodes that `transfer` draws its curve on
                self._evaluate(domain, f"seed-{seed}", SEED + seed, policy)
            for label, method in methods.items():
                for target in self.targets:
                    name = f"transfer/{label}/{target.name}/seed-{seed}"
                    self._transfer(name, target, method, seed, policy)

    def _method(self, label: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """The method of a label, checked against the budget, as JSON."""
        method = load_method(self.config.method(label))
        budget = Budget(self.config.budget)
        parsed = parse_recipe(self.config.source.algorithm, recipe)
        budget.usable(method.target_recipe(parsed, budget).num_envs)
        return describe_method(method)

    def _train(
        self, name: str, domain: Domain, recipe: Mapping[str, Any], steps: int, seed: int
    ) -> Cell:
        kind = name.partition("/")[0]
        return self._cells.add(kind, name, domain, steps, recipe=recipe, steps=steps, seed=seed)

    def _evaluate(self, domain: Domain, who: str, seed: int, trained: Cell | None = None) -> Cell:
        name = f"evaluate/{domain.name}/{who}"
        kind = "evaluate" if trained else "random"
        content = {"episodes": self.config.episodes, "seed": seed}
        return self._cells.add(kind, name, domain, self._evaluation, trained, **content)

    def _transfer(
        self, name: str, target: Domain, method: Mapping[str, Any], seed: int, policy: Cell
    ) -> Cell:
        config = self.config
        return self._cells.add(
            "transfer",
            name,
            target,
            config.budget + len(self.points) * self._evaluation,
            policy,
            method=method,
            budget=config.budget,
            points=list(self.points),
            episodes=config.episodes,
            seed=seed,
        )
