"""The cells of a study, with every name looked up and checked before anything is run.

pretrain/seed-0                       one policy a seed, in the source; or given/seed-0, a copy
evaluate/hard/seed-0                  that policy as it is, in the source and in each target
oracle/source/hard/seed-0             the references of a domain, trained in it without a budget:
oracle/scratch/hard/seed-0            from the source's policy, and from scratch,
evaluate/hard/oracle-source/seed-0    and what their best policies reach, on other episodes
evaluate/hard/random                  what uniform actions reach in a domain
transfer/fine_tune/hard/seed-0        a method within the budget, with its learning curve,
evaluate/randomized/fine_tune-hard/seed-0    and what is left of it in the source

References and zero-shot come first, so that an unsound reference is reported before methods run.
"""

from __future__ import annotations

from sim2real.domains import Domain
from sim2real.learning.curve import SEED, schedule
from sim2real.policies.recipe import AnyRecipe, load_recipe, parse_recipe
from sim2real.studies.cells import TablePlan
from sim2real.studies.config import StudyConfig, Way
from sim2real.studies.given import GivenRun, given_runs
from sim2real.studies.ledger import Cell
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import describe_method, load_method
from sim2real.transfer.method import OF_SOURCE, Method

CURVE_PARTS = 10
"""Parts of the learning curve of a pretraining or an oracle; two of them are a fifth of it."""
CURVE_EPISODES = 10
"""Episodes of each of its points; not the study's, so that other evaluations cost no training."""
FRESH = 2 * SEED
"""Added to an oracle's seed: it is measured on other episodes than those that chose its way."""


class StudyPlan(TablePlan):
    """A checked study. Raises UserError for whatever is unknown or impossible."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.given = given_runs(config)
        own = self.given[0].domain if self.given else "randomized"
        super().__init__(config, config.source.domain or own)
        schedule(config.evaluations, config.budget)  # refuses what does not fit
        self._recipe = self._source_recipe()
        self._add_all()

    @property
    def worlds(self) -> list[Domain]:
        """Every domain that is trained or evaluated in."""
        return self.domains

    @property
    def algorithm(self) -> str:
        """The algorithm of every training."""
        return self._recipe.algorithm

    def trained(self, seed: int) -> Cell:
        """The cell of the source's policy of a seed."""
        return self.cells[f"{'given' if self.given else 'pretrain'}/seed-{seed}"]

    def pretrained(self, domain: Domain, seed: int) -> Cell:
        """The cell that evaluates the source's policy of a seed in a domain."""
        return self.cells[f"evaluate/{domain.name}/seed-{seed}"]

    def random(self, domain: Domain) -> Cell:
        """The cell that evaluates uniform actions in a domain."""
        return self.cells[f"evaluate/{domain.name}/random"]

    def oracle(self, way: Way, domain: Domain, seed: int) -> Cell:
        """The cell that evaluates an oracle in its domain."""
        return self.cells[f"evaluate/{domain.name}/oracle-{way}/seed-{seed}"]

    def transferred(self, label: str, target: Domain, seed: int) -> Cell:
        """The cell of a method in a target from the policy of a seed."""
        return self.cells[f"transfer/{label}/{target.name}/seed-{seed}"]

    def at_home(self, label: str, target: Domain, seed: int) -> Cell:
        """The cell that evaluates in the source what a method made in a target."""
        return self.cells[f"evaluate/{self.source.name}/{label}-{target.name}/seed-{seed}"]

    def oracle_training(self, way: Way, domain: Domain, seed: int) -> Cell:
        """The cell that trains an oracle, with its learning curve.

        In the source itself the pretrainings are the trainings from scratch, if they are as long.
        """
        if way == "scratch" and self._is_pretrained(domain, seed):
            return self.trained(seed)
        return self.cells[f"oracle/{way}/{domain.name}/seed-{seed}"]

    @property
    def _curve_effort(self) -> float:
        return CURVE_PARTS * CURVE_EPISODES / self.config.episodes * self._evaluation

    def _is_pretrained(self, domain: Domain, seed: int) -> bool:
        """Whether the pretraining of a seed is that of an oracle from scratch in `domain`.

        One that is longer than asked counts only if every seed of the oracle has one.
        """
        config = self.config
        steps, asked = config.source.steps, config.oracle.steps
        all_pretrained = set(config.oracle_seeds) <= set(config.seeds)
        long = steps is not None and (steps == asked or (steps > asked and all_pretrained))
        alike = seed in config.seeds and not config.oracle.options
        return long and alike and _content(domain) == _content(self.source)

    def _source_recipe(self) -> AnyRecipe:
        if self.given:
            return self.given[0].recipe
        source = self.config.source
        return load_recipe(source.algorithm, self.task.name, source.options)

    def _add_all(self) -> None:
        config = self.config
        methods = {label: self._method(label) for label in config.methods}
        for domain in self.domains:
            self._evaluate(domain, "random", SEED, kind="random")
        for index, seed in enumerate(config.seeds):
            policy = self._start(seed, self.given[index % len(self.given)] if self.given else None)
            for domain in self.domains:  # on the episodes that `transfer` draws its curve on
                self._evaluate(domain, f"seed-{seed}", SEED + seed, policy)
        for index, seed in enumerate(config.oracle_seeds):
            start = seed if seed in config.seeds else config.seeds[index % len(config.seeds)]
            for domain in self.domains:
                self._oracles(domain, seed, self.trained(start))
        for seed in config.seeds:
            for label, method in methods.items():
                for target in self.targets:
                    self._transfer(label, method, target, seed)

    def _start(self, seed: int, given: GivenRun | None) -> Cell:
        """The policy that a seed starts from."""
        if given is not None:
            return self._cells.add(
                "given",
                f"given/seed-{seed}",
                self.source,
                1,
                place={"reference": given.reference},
                policy=given.digest,
            )
        source = self.config.source
        assert source.steps is not None
        name = f"pretrain/seed-{seed}"
        return self._train("pretrain", name, self.source, self._recipe, source.steps, seed)

    def _oracles(self, domain: Domain, seed: int, start: Cell) -> None:
        oracle = self.config.oracle
        recipe = parse_recipe(
            self._recipe.algorithm,
            # a target may draw nothing, and so have no worst worlds
            {**self._recipe.model_dump(exclude={"worst_share"}), **oracle.options},
        )
        for way in oracle.ways:
            if way == "scratch" and not self._is_pretrained(domain, seed):
                name = f"oracle/scratch/{domain.name}/seed-{seed}"
                self._train("oracle", name, domain, recipe, oracle.steps, seed)
            elif way == "source":
                self._continue(domain, recipe, seed, start)
            trained = self.oracle_training(way, domain, seed)
            self._evaluate(domain, f"oracle-{way}/seed-{seed}", FRESH + seed, trained, kind="best")

    def _continue(self, domain: Domain, recipe: AnyRecipe, seed: int, start: Cell) -> None:
        """Go on from the source's policy with the rate, noise and rollouts of a pretraining."""
        oracle = self.config.oracle
        options = recipe.model_dump(mode="json", exclude={"algorithm", *OF_SOURCE})
        noise = {"least_log_std": options["log_std_init"]} if "log_std_init" in options else {}
        method = load_method(
            {
                "name": "fine_tune",
                "learning_rate_factor": 1.0,
                "log_std": None,
                "recipe": options,
                **noise,
            }
        )
        self._cells.add(
            "continue",
            f"oracle/source/{domain.name}/seed-{seed}",
            domain,
            oracle.steps + self._curve_effort,
            start,
            method=describe_method(method),
            budget=oracle.steps,
            points=list(schedule(CURVE_PARTS, oracle.steps)),
            episodes=CURVE_EPISODES,
            seed=seed,
        )

    def _method(self, label: str) -> Method:
        """The method of a label, checked against the budget."""
        method = load_method(self.config.method(label))
        method.require_algorithm(self._recipe.algorithm)
        budget = Budget(self.config.budget_of(label))
        budget.usable(method.target_recipe(self._recipe, budget).num_envs)
        return method

    def _train(
        self, kind: str, name: str, domain: Domain, recipe: AnyRecipe, steps: int, seed: int
    ) -> Cell:
        return self._cells.add(
            kind,
            name,
            domain,
            steps + self._curve_effort,
            recipe=recipe.model_dump(mode="json"),
            steps=steps,
            points=list(schedule(CURVE_PARTS, steps)),
            episodes=CURVE_EPISODES,
            seed=seed,
        )

    def _evaluate(
        self,
        domain: Domain,
        who: str,
        seed: int,
        trained: Cell | None = None,
        rank: int = 0,
        kind: str = "evaluate",
    ) -> None:
        self._cells.add(
            kind,
            f"evaluate/{domain.name}/{who}",
            domain,
            self._evaluation,
            trained,
            rank,
            episodes=self.config.episodes,
            seed=seed,
        )

    def _transfer(self, label: str, method: Method, target: Domain, seed: int) -> None:
        """A method in a target, and the evaluation of its policy in the source."""
        config = self.config
        budget, points = config.budget_of(label), config.points_of(label)
        simulated = method.simulated(self._recipe.algorithm)
        moved = self._cells.add(
            "transfer",
            f"transfer/{label}/{target.name}/seed-{seed}",
            target,
            budget + simulated + len(points) * self._evaluation,
            self.trained(seed),
            1,
            method=describe_method(method),
            budget=budget,
            points=list(points),
            episodes=config.episodes,
            seed=seed,
        )
        who = f"{label}-{target.name}/seed-{seed}"
        self._evaluate(self.source, who, SEED + seed, moved, 1)


def _content(domain: Domain) -> Domain:
    """A domain without its description."""
    return domain.model_copy(update={"name": "", "about": ""})
