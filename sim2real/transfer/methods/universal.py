"""A universal policy, with the context that does best in the target.

    source:  pi(a | o, c),  c: what was drawn for the episode (masses, friction, delay, ...)
    target:  c* = argmax_c E[return of pi(. | o, c) in the target]    by CMA-ES, an episode a point

Strategy optimization (Yu, Liu & Turk 2019, "Policy transfer with strategy optimization",
arXiv:1810.05751): no weight is learned in the target, the search has as many dimensions as the
context has numbers. The package `cma` searches from the nominal context, in units of the standard
deviations of the source's statistics, within the values that the source's domain draws. With
`context: identified` the context is that of the world that a log of the target identifies (Yu et
al. 2017, "Preparing for the unknown: learning a universal policy with online system
identification", arXiv:1702.02453, with `identify` in place of their network), and the target need
not give a reward.

A context that is constant is a change of the first layer's bias, W c; so what comes out is a policy
of the robot's own observations:

    W_o o + W_c c + b  =  W_o o + b',    b' = b + W_c c

At the end episodes of the policy with the mean context and of the new one are compared, and the
better one is kept (see `sim2real.transfer.selection`).

It assumes a source that was pretrained with `privileged: context, privileged_actor: true`, in a
domain whose contexts make a difference to the best action; and that some context makes it act well
in the target. The target's own differences need not be those that the source's domain draws.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Sequence
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from stable_baselines3.common.policies import BasePolicy

from sim2real.config import LAST_SEED
from sim2real.domains import Domain
from sim2real.domains.domain import dump_domains
from sim2real.domains.width import widened
from sim2real.errors import UserError
from sim2real.extras import needed
from sim2real.files import write_json, write_text
from sim2real.identification.family import family_of
from sim2real.identification.identify import identify
from sim2real.identification.log import join
from sim2real.identification.result import IDENTIFIED
from sim2real.policies.build import observation_terms
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.task import Array, labels
from sim2real.transfer.budget import Budget
from sim2real.transfer.conditioned import Conditioned
from sim2real.transfer.method import NETWORKS, Method
from sim2real.transfer.selection import REPORT, SOURCE, select
from sim2real.transfer.target import Target
from sim2real.transfer.verification import traces_of
from sim2real.transfer.work import Work

DRAWS = 256
"""Contexts that are drawn in the source's domain, to know their range."""
RECORDED = 2_000
"""Control steps of the log that identifies, at most; more tell little more."""
STEP = 0.7
"""Standard deviation of the first generation, in those of the contexts."""
SMALLEST = 1e-6
"""Width of the range of a number that is the same in every context; cma needs one."""
FOUND, DOMAINS = "report/context.json", "report/identified.yaml"


Box = dict[str, Array]
"""The corners `low` and `high`, and the `nominal` place, each (d,)."""


class Universal(Method):
    """Find the context with which a universal policy does best in the target."""

    name: ClassVar[str] = "universal"
    fits_other_tasks: ClassVar[bool] = False
    fixes_context: ClassVar[bool] = True
    needs_reward: ClassVar[bool] = False

    context: Literal["searched", "identified"] = "searched"
    """How the context is found: by the returns of episodes, or by a log of the target."""
    population: Annotated[int, Field(ge=4, le=1_000)] | None = None
    """Contexts of a generation, an episode each; by default 4 + 3 ln(numbers of the context)."""
    verification: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.3
    """Part of the budget kept to compare the found context with the mean one."""
    family: str | None = None
    """identified: a domain with ranges, what may differ; by default that of the source."""
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """identified: standard deviation of the noise on the recorded actions, in halves of range."""

    @model_validator(mode="after")
    def _has_returns_to_search_by(self) -> Universal:
        if self.context == "searched" and not self.reward:
            raise ValueError("context searched needs the target's reward; allowed: identified")
        return self

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's, of a policy that observes what a robot does; UserError for another."""
        if self.context == "searched":
            _cma()
        given = source.privileged == "context" and source.privileged_actor
        if not given or source.context_encoder is not None or not source.normalize_observations:
            raise UserError(
                "method 'universal' needs a policy that acts on the context alone; pretrain the "
                "source with privileged=context privileged_actor=true, normalized and without a "
                "context_encoder"
            )
        return self.resized(source)

    def kept_options(self) -> tuple[str, ...]:
        """Those of the networks."""
        return NETWORKS

    def target_worlds(self, recipe: AnyRecipe) -> int:
        """One, as of a robot."""
        return 1

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """The policy with the mean context or with the found one, whichever is better."""
        env = target.env()
        usual, found = (
            Conditioned(
                source.policy,
                work.learner(name, work.recipe, env, source.policy).algorithm.policy,
            )
            for name in (SOURCE, self.name)
        )
        box = work.once("range", lambda: drawn_range(source, usual, work))
        find = self._searched if self.context == "searched" else self._identified
        place, described = find(source, target, work, found, box)
        found.set(place)
        values = dict(zip(found.names, found.values(place).tolist(), strict=True))
        write_json(work.path / FOUND, {"context": values, **described})
        if not target.rewarded:
            return found.policy
        policies = {SOURCE: usual.policy, self.name: found.policy}
        selection = work.once("verify", lambda: select(policies, target).plain())
        write_json(work.path / REPORT, selection)
        return policies[selection["chosen"]]

    def _steps(self, target: Target) -> int:
        """Control steps for finding the context."""
        return target.budget.steps - max(int(self.verification * target.budget.steps), 1)

    def _searched(
        self, source: Run, target: Target, work: Work, universal: Conditioned, box: Box
    ) -> tuple[Array, dict[str, Any]]:
        """The mean of the last generation whose episodes the budget covers."""
        search = search_in(box, self.population, work.seed)
        self._warn_of_few(search.popsize, target, work)
        returns: list[list[float]] = []
        while True:
            points = search.ask()
            play = functools.partial(self._played, np.array(points), target, universal)
            played = work.once(f"generation-{len(returns) + 1}", play)
            if len(played) < len(points):
                place = box["nominal"] if not returns else search.result.xfavorite
                return place, {"step": search.sigma, "generations": returns}
            search.tell(points, [-one for one in played])
            returns.append(played)

    def _warn_of_few(self, population: int, target: Target, work: Work) -> None:
        """Say so where the budget may not cover a generation of the longest episodes."""
        needed_steps = population * target.episode_steps
        if self._steps(target) < needed_steps:
            work.report(
                f"method universal: a generation is {population} episodes of up to "
                f"{target.episode_steps:,} control steps, and {self._steps(target):,} are for the "
                f"search; without a whole one the context stays the nominal one (enough in any "
                f"case: budget={math.ceil(needed_steps / (1.0 - self.verification)) + 1})"
            )

    def _played(self, points: Array, target: Target, universal: Conditioned) -> list[float]:
        """The return of an episode at each point, of as many as the budget covers."""
        returns = list[float]()
        for point in points:
            left = self._steps(target) - target.usage.steps
            if left < 1:
                break
            universal.set(point)
            log = target.record(universal.policy, left, episodes=1)
            (trace,) = traces_of(log, target.episode_steps)
            if not trace.ended:
                break
            returns.append(float(trace.within(np.inf)))
        return returns

    def _identified(
        self, source: Run, target: Target, work: Work, universal: Conditioned, box: Box
    ) -> tuple[Array, dict[str, Any]]:
        """The context of the world that moves as a log of the target does, within the box."""
        family = source.domain if self.family is None else self.family
        known = family_of(target.task, family).domain  # refused before a step is made
        _missing(universal.names, _context_in(known, work)[0])
        steps = min(self._steps(target), RECORDED)
        halves = [(steps - steps // 2, self.noise), (steps // 2, 0.0)]

        def find() -> dict[str, Any]:
            seed = int(work.generator.integers(LAST_SEED))
            logs = [
                target.record(universal.policy, count, noise=noise, seed=seed)
                for count, noise in halves
                if count
            ]
            found = identify(join(logs), target.task, family, work.seed)
            work.meter.add(steps=found.simulated_steps)
            columns, values = _context_in(found.domain, work)
            return {
                "columns": columns,
                "values": values,
                "domain": dump_domains({IDENTIFIED: found.domain}),
                "explained": found.explained,
                "table": [vars(row) for row in found.table],
            }

        found = work.once("identify", find)
        write_text(work.path / DOMAINS, found["domain"])
        given = dict(zip(found["columns"], found["values"].tolist(), strict=True))
        missing = _missing(universal.names, given)
        mean = universal.values(np.zeros(len(universal.names)))
        values = [given.get(name, value) for name, value in zip(universal.names, mean, strict=True)]
        place = np.clip(universal.place(np.array(values)), box["low"], box["high"])
        return place, {"explained": found["explained"], "table": found["table"], "mean": missing}


def _context_in(domain: Domain, work: Work) -> tuple[list[str], Array]:
    """The names of all columns that worlds of `domain` show with their context, and a first row."""
    env = work.env(domain, privileged="context")
    return labels(observation_terms(env)), np.asarray(env.reset())[0]


def _missing(names: Sequence[str], known: Container[str]) -> list[str]:
    """Which `names` of a context are not `known`; UserError if none is."""
    missing = [name for name in names if name not in known]
    if len(missing) == len(names):
        raise UserError(
            f"the family has none of the context's {', '.join(missing)}; allowed: a domain "
            "with the source's parameters"
        )
    return missing


def drawn_range(source: Run, universal: Conditioned, work: Work) -> Box:
    """The smallest and the largest of each number of the contexts that the source draws.

    And the nominal one, the nearest to it where it is outside; the mean where there is none.
    """
    size = len(universal.names)
    shown = np.asarray(work.env(source.domain, DRAWS, privileged="context").reset())
    places = universal.place(shown[:, -size:])
    low = places.min(axis=0)
    high = np.maximum(places.max(axis=0), low + SMALLEST)
    alone = work.env(widened(source.domain, 0.0), privileged="context")
    nominal = universal.place(np.asarray(alone.reset())[0, -size:])
    return {"low": low, "high": high, "nominal": np.clip(nominal, low, high)}


def search_in(box: Box, population: int | None, seed: int) -> Any:
    """The search of the package `cma` from the nominal context of `box`, which its points keep to.

    Its random numbers come from a generator of its own, so it proposes the same for the same seed.
    Raises UserError without the package.
    """
    rng = np.random.default_rng(seed)
    options = {
        "bounds": [box["low"], box["high"]],
        "maxstd": np.inf,  # a limit fails in one dimension (cma 4.5.0)
        "randn": lambda *shape: rng.normal(size=shape),
        "verbose": -9,
    }
    given = {} if population is None else {"popsize": population}
    return _cma().CMAEvolutionStrategy(box["nominal"], STEP, options | given)


def _cma() -> Any:
    return needed("cma", "method universal with context=searched", "identify")
