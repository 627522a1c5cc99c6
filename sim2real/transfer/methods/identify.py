"""Identify the target from a short log, adapt in the identified simulation, verify in the target.

    phi* = argmax_phi p(log | phi),    theta* = argmax_theta J(theta; simulation(phi*)),
    keep theta* if E[J(theta*) - J(theta_source) | episodes in the target, simulation] > 0

A round has four phases:

1. record: the policy acts in the target, half of the steps with noise on its actions and half
   without. The noise excites what the policy alone does not; the other half measures the policy.
2. identify: which world of a family of simulations moves as the log does (`sim2real.identify`).
3. adapt: the source's algorithm continues in the identified world with its recipe of pretraining.
   The weights, the critic and the observation statistics are the source's, the exploration noise is
   that of a fresh policy, and the learning rate is not reduced: the steps are free. The policy is
   evaluated in the identified world at equal distances, and the best one is kept. Where it closes
   too little of the gap in simulation, another attempt is made with another seed.
4. verify: whole episodes of the adapted policy and of the source's in the target, until it is
   clear which is better or the budget ends. `sim2real.transfer.verification` states the rule. The
   source's policy is kept unless the adapted one is better, so chance alone makes it worse.

The idea is that of system identification before control (Ljung 1999, "System Identification"),
with simulations and policies: Chebotar et al. 2019 (SimOpt, arXiv:1810.05687), Tsai et al. 2021
(DROID, arXiv:2102.11003), Tiboni et al. 2023 (DROPO, arXiv:2201.08434). Those repeat the search or
randomize around its result; here the best estimate alone is trained in, as ranges cost return.

It assumes that the difference between source and target is in the family, and that the policy moves
what differs. Where the family does not explain the log, the identified world is wrong in
other respects; the verification notices that if the budget pays the episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field
from stable_baselines3.common.policies import BasePolicy

from sim2real import files
from sim2real.config import LAST_SEED, Count
from sim2real.domains.library import dump_domains, load_domains
from sim2real.identification.identify import identify
from sim2real.identification.log import Log, join
from sim2real.identification.result import IDENTIFIED, POSTERIOR
from sim2real.policies.recipe import AnyRecipe, parse_recipe
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import PLAIN, Method
from sim2real.transfer.rehearsal import Rehearsal, with_weights
from sim2real.transfer.target import Target
from sim2real.transfer.verification import Trace, compare, traces_of
from sim2real.transfer.work import Work

REPORT, DOMAINS = "report/identification.json", "report/identified.yaml"
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class Identify(Method):
    """Identify the target from a log, adapt in the identified simulation, verify in the target."""

    name: ClassVar[str] = "identify"

    record: Share = 0.5
    """Part of the budget of a round that is recorded for the identification, at most."""
    most_recorded: Count = 2_000
    """Control steps that are recorded in a round, at most; more tell little more."""
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Standard deviation of the noise on the recorded actions, in halves of their range."""
    family: str | None = None
    """A domain with ranges: what may differ; by default `randomized`, with wider ranges."""
    world: Literal["identified", "posterior"] = "identified"
    """Where to adapt: in the best estimate, or in draws from what the log leaves open."""
    simulated_steps: Count = 3_000_000
    """Control steps of an attempt in simulation."""
    evaluations: Count = 12
    """Times that an attempt is evaluated in the identified world."""
    episodes: Count = 16
    """Episodes of an evaluation in simulation."""
    attempts: Count = 2
    """Attempts with other seeds, at most; one, where the first closes enough of the gap."""
    enough: Share = 0.8
    """Part of the gap in simulation to the source's return at home that ends the attempts."""
    rounds: Count = 1
    """Rounds, which share the budget; each records with the policy that the last one kept."""
    verify: Count = 6
    """Episodes of the adapted policy in the target, at most."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The recipe of the source's pretraining, as it learns in simulation."""
        starts = {} if source.algorithm == "ppo" else {"learning_starts": 0}
        worlds = {} if self.num_envs is None else {"num_envs": self.num_envs}
        merged = {**source.model_dump(), **PLAIN, **starts, **self.recipe, **worlds}
        return parse_recipe(source.algorithm, merged)

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """Rounds of record, identify, adapt and verify; the policy that is best in the target."""
        acting, logs, rounds = source.policy, [], []
        for number in range(1, self.rounds + 1):
            left = target.budget.steps - target.usage.steps
            pays = left // (self.rounds - number + 1)
            recorded = self._record(acting, target, work, pays, number)
            logs += recorded
            found = self._identify(logs, target, work, number)
            rehearsal = self._rehearse(source, acting, target, work, number)
            own = traces_of(recorded[-1], rehearsal.episode_steps)
            verdict = self._verify(
                acting, own, rehearsal, target, work, found["explained"], left - pays, number
            )
            kept = rehearsal.best if verdict["keep"] else rehearsal.start
            acting = with_weights(rehearsal.learner, kept)
            rounds.append({**found, "adaptation": rehearsal.plain(), "verdict": verdict})
            files.write_json(work.path / REPORT, {"rounds": rounds})
        return acting

    def _record(
        self, policy: BasePolicy, target: Target, work: Work, pays: int, number: int
    ) -> list[Log]:
        """Two logs of the policy in the target: with noise on its actions, and without."""
        steps = min(int(self.record * pays), self.most_recorded)
        parts = [(steps - steps // 2, self.noise), (steps // 2, 0.0)]

        def record() -> list[Log]:
            seed = int(work.generator.integers(LAST_SEED))
            return [target.record(policy, part, noise=noise, seed=seed) for part, noise in parts]

        return work.once(f"record-{number}", record)

    def _identify(
        self, logs: Sequence[Log], target: Target, work: Work, number: int
    ) -> dict[str, Any]:
        """What was identified, as JSON; the domains are in DOMAINS."""

        def find() -> dict[str, Any]:
            found = identify(join(logs), target.task, self.family, work.seed)
            work.meter.add(steps=found.simulated_steps)
            domains = {IDENTIFIED: found.domain, POSTERIOR: found.posterior}
            return {"domains": dump_domains(domains), **found.plain()}

        found = work.once(f"identify-{number}", find)
        files.write_text(work.path / DOMAINS, found["domains"])
        return {key: value for key, value in found.items() if key != "domains"}

    def _rehearse(
        self, source: Run, acting: BasePolicy, target: Target, work: Work, number: int
    ) -> Rehearsal:
        """Train `acting` in the identified world, in one or more attempts."""
        domains = load_domains(work.path / DOMAINS)
        home = None if target.is_target(source.domain) else source.domain
        rehearsal = Rehearsal(
            work, acting, domains[IDENTIFIED], domains[self.world], home, self.episodes, number
        )
        for attempt in range(1, self.attempts + 1):
            rehearsal.attempt(attempt, self.simulated_steps, self.evaluations)
            if rehearsal.closed >= self.enough:
                break
        return rehearsal

    def _verify(
        self,
        policy: BasePolicy,
        own: Sequence[Trace],
        rehearsal: Rehearsal,
        target: Target,
        work: Work,
        explained: bool,
        spare: int,
        number: int,
    ) -> dict[str, Any]:
        """The verdict on both policies; `own` are the recorded episodes of the one that acts.

        Leaves at least `spare` steps of the budget.
        """
        simulated = rehearsal.start.traces, rehearsal.best.traces
        adapted = with_weights(rehearsal.learner, rehearsal.best)

        def play() -> dict[str, Any]:
            before: list[Trace] = list(own)
            after: list[Trace] = []
            while True:
                verdict = compare(before, after, simulated, explained)
                left = target.budget.steps - target.usage.steps - spare
                if verdict.clear or left <= 0 or len(after) >= self.verify:
                    return verdict.plain()
                acts, traces = (policy, before) if len(before) < len(after) else (adapted, after)
                log = target.record(acts, left, episodes=1)
                traces += traces_of(log, rehearsal.episode_steps)

        if rehearsal.best is rehearsal.start:
            return compare(own, [], simulated, explained=False).plain()
        return work.once(f"verify-{number}", play)
