"""Identify the target from a short log, adapt in the identified simulation, verify in the target.

    phi* = argmax_phi p(log | phi),    theta* = argmax_theta J(theta; simulation(phi*)),
    keep theta* if E[J(theta*) - J(theta_source) | episodes in the target, simulation] > 0

A round has four phases:

1. record: the policy acts in the target, half of the steps with noise on its actions and half
   without. The noise excites what the policy alone does not; the other half measures the policy.
2. identify: which world of a family of simulations moves as the log does (`sim2real.identify`).
   If the log does not allow it (too short, nothing moves), the policy stays as it is.
3. adapt: the source's algorithm continues in the identified world with its recipe of pretraining.
   The weights, the critic and the observation statistics are the source's, the exploration noise is
   that of a fresh policy, and the learning rate of PPO falls linearly from that of the pretraining
   to 0. The policy is evaluated in the identified world at equal distances, and the best one is
   kept. Where an attempt has stalled, another one follows with another seed.
4. verify: whole episodes of the adapted policy and of the former one in the target, until it is
   clear which is better or the budget ends. `sim2real.transfer.verification` states the rule. The
   former policy is kept unless the adapted one is better, so chance alone makes it worse. Without a
   reward (`reward: false`) the simulation is believed where it explains the log, and only there.

Another round follows where the budget allows it and something remains: the family does not explain
the log, the adapted policy was not kept, or it gets clearly less than the simulation predicts. It
records with the policy that was kept; the earlier logs are used with the new ones.

The idea is that of system identification before control (Ljung 1999, "System Identification"),
with simulations and policies: Chebotar et al. 2019 (SimOpt, arXiv:1810.05687), Tsai et al. 2021
(DROID, arXiv:2102.11003), Tiboni et al. 2023 (DROPO, arXiv:2201.08434). Those repeat the search or
randomize around its result; here the best estimate alone is trained in, as ranges cost return.

It assumes that the difference between source and target is in the family, and that the policy moves
what differs. Where the family does not explain the log, the identified world is wrong in
other respects; the verification notices that if the budget pays the episodes.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy

from sim2real import files
from sim2real.config import LAST_SEED, Count
from sim2real.domains.domain import dump_domains, load_domains
from sim2real.errors import UserError, brief
from sim2real.identification.design import design_excitation
from sim2real.identification.excitation import Excitation
from sim2real.identification.family import family_of
from sim2real.identification.identify import identify
from sim2real.identification.log import Log, join
from sim2real.identification.record import actuator_names
from sim2real.identification.result import IDENTIFIED, POSTERIOR
from sim2real.identification.stages import whole
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.run import Run
from sim2real.transfer.adaptation import TRAIN, Adaptation, parts, return_at_home
from sim2real.transfer.budget import Budget
from sim2real.transfer.method import NETWORKS, Method
from sim2real.transfer.summaries import write_round
from sim2real.transfer.target import Target
from sim2real.transfer.verification import Trace, Verdict, compare, traces_of
from sim2real.transfer.work import Work

REPORT, DOMAINS = "report/identification.json", "report/identified.yaml"
PAGE = "report/identification-{number}.html"
UNFINISHED = "phases/identification"
"""What an interrupted identification has finished."""
STEPS = {"ppo": 3_000_000, "sac": 300_000, "td3": 300_000}
"""Control steps of an attempt in simulation: minutes on two cores."""
IDENTIFICATION = 700_000
"""Control steps of training that take as long as an identification, about."""
RECORD, IDENTIFY, VERIFY = "record", "identify", "verify"
"""The kinds of parts of the progress, with TRAIN."""
NEXT_ROUND = 0.3
"""Part of the budget that must be left for another round."""
Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Identify(Method):
    """Identify the target from a log, adapt in the identified simulation, verify in the target."""

    name: ClassVar[str] = "identify"
    needs_reward: ClassVar[bool] = False
    fits_other_tasks: ClassVar[bool] = False  # the worlds of both tasks have other parameters

    record: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    """Part of what is left of the budget that a round records, at most."""
    most_recorded: Count = 2_000
    """Control steps that a round records, at most; more tell little more."""
    noise: Annotated[float, Field(ge=0.0, le=1.0)] = 0.2
    """Standard deviation of the noise on the recorded actions, in halves of their range."""
    designed: bool = False
    """Record with the noise that tells most in the nominal world, found in simulation."""
    log: str | None = None
    """A log of the target that is at hand, which is identified from beside those recorded."""
    family: str | None = None
    """A domain with ranges: what may differ; by default `randomized`, with wider ranges."""
    residual: bool = False
    """Fit forces of the joints to what the family does not explain; used where they predict it."""
    world: Literal["identified", "posterior"] = "identified"
    """Where to adapt: in the best estimate, or in draws from what the log leaves open."""
    simulated_steps: Count | None = None
    """Control steps of an attempt in simulation, at most; by default those of STEPS."""
    evaluations: Count = 24
    """Times that an attempt is evaluated in the identified world."""
    episodes: Count = 16
    """Episodes of an evaluation in simulation."""
    enough: Share = 0.9
    """Part of the gap in simulation, to the source's return at home, that may end the training."""
    patience: Count = 2
    """Evaluations without a better policy that end the training then."""
    attempts: Count = 2
    """Attempts with other seeds, at most; another one follows where all before have stalled."""
    stalled: Share = 0.5
    """Part of the gap in simulation up to which an attempt has stalled."""
    fresh_attempts: Annotated[int, Field(ge=0, le=100)] = 0
    """Attempts from fresh weights besides, for a source that learned little; the best is kept."""
    rounds: Count = 2
    """Rounds, at most."""
    verify: Count = 6
    """Episodes of the adapted policy in the target, at most."""

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The recipe of the source's pretraining, with a learning rate that falls to 0 (PPO)."""
        return self.as_in_pretraining(source)

    def kept_options(self) -> tuple[str, ...]:
        """Those of the networks."""
        return NETWORKS

    def target_worlds(self, recipe: AnyRecipe) -> int:
        """One; those of the recipe are simulated."""
        return 1

    def simulated(self, algorithm: str) -> int:
        """An identification and one attempt, which mostly is enough."""
        return IDENTIFICATION + self._attempt_steps(algorithm)

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """Rounds of record, identify, adapt and verify; the policy that is best in the target."""
        family_of(target.task, self.family)  # refused before a step is made
        at_hand = [] if self.log is None else [log_at_hand(self.log, target)]
        with work.plan(self._parts(work)):
            return self._adapted(source, target, work, at_hand)

    def _parts(self, work: Work) -> dict[str, int]:
        """How many parts the method has of each kind, at most."""
        evaluations = len(
            parts(work.recipe, self._attempt_steps(work.recipe.algorithm), self.evaluations)
        )
        trainings = (self.attempts + self.fresh_attempts) * evaluations
        return {
            RECORD: self.rounds,
            IDENTIFY: self.rounds,
            TRAIN: self.rounds * trainings,
            VERIFY: self.rounds,
        }

    def _adapted(
        self, source: Run, target: Target, work: Work, at_hand: Sequence[Log]
    ) -> BasePolicy:
        policy = work.learner("source", work.recipe, target.env(), source.policy).algorithm.policy
        home = None
        if not target.is_target(source.domain):
            home = return_at_home(work, policy, source.domain, self.episodes)
        logs, rounds = [*at_hand], list[dict[str, Any]]()
        for number in range(1, self.rounds + 1):
            logs += self._record(policy, target, work, number)
            found = self._identify(logs, target, work, number)
            rounds.append(found)
            if "problem" not in found:
                adaptation = self._train(policy, home, work, number)
                former = traces_of(logs[-1], adaptation.episode_steps)
                verdict = self._verify(
                    policy, former, adaptation, found["explained"], target, work, number
                )
                policy = adaptation.policy(adaptation.best if verdict["keep"] else adaptation.start)
                found |= {"adaptation": adaptation.plain(), "verdict": verdict}
                self._write_events(found, work, number)
            else:
                work.parts.skip(TRAIN, self._parts(work)[TRAIN] // self.rounds)
                work.parts.skip(VERIFY, 1)
            work.report(", ".join(f"{name}: {value}" for name, value in results(found).items()))
            files.write_json(work.path / REPORT, {"rounds": rounds})
            left = target.budget.steps - target.usage.steps
            if _is_done(found) or left < NEXT_ROUND * target.budget.steps:
                break
        return policy

    def _record(self, policy: BasePolicy, target: Target, work: Work, number: int) -> list[Log]:
        """Two logs of the policy in the target: with noise on its actions, and without."""
        left = target.budget.steps - target.usage.steps
        steps = min(int(self.record * left), self.most_recorded)
        work.parts.begin(RECORD, f"round {number}, recording")
        first = steps - steps // 2
        noise = self._excitation(policy, first, target, work, number)
        parts = [(first, noise), (steps // 2, Excitation((0.0,)))]

        def record() -> list[Log]:
            seed = int(work.generator.integers(LAST_SEED))
            return [target.record(policy, part, noise=noise, seed=seed) for part, noise in parts]

        return work.once(f"record-{number}", record)

    def _excitation(
        self, policy: BasePolicy, steps: int, target: Target, work: Work, number: int
    ) -> Excitation:
        """The noise on the recorded actions: white, or designed for a log of so many steps."""
        if not self.designed:
            return Excitation((self.noise,))

        def design() -> dict[str, Any]:
            found = design_excitation(
                target.task, policy, steps, self.family, actions=target.actions, seed=work.seed
            )
            work.report(found.sentence)
            work.meter.add(steps=found.simulated_steps)
            return {"std": list(found.excitation.std), "time": found.excitation.time}

        stored = work.once(f"excitation-{number}", design)
        return Excitation(tuple(stored["std"]), stored["time"])

    def _identify(
        self, logs: Sequence[Log], target: Target, work: Work, number: int
    ) -> dict[str, Any]:
        """What was identified, as JSON, with the domains in DOMAINS; or the problem of the log."""

        def find() -> dict[str, Any]:
            try:
                found = identify(
                    join([replace(log, extras={}) for log in logs]),
                    target.task,
                    self.family,
                    work.seed,
                    residual=self.residual,
                    report=whole(work.parts.update),
                    phases=work.path / UNFINISHED,
                )
            except UserError as error:
                return {"problem": str(error)}
            work.meter.add(steps=found.simulated_steps)
            domains = {IDENTIFIED: found.domain, POSTERIOR: found.posterior}
            pictures = {
                name: np.frombuffer(one, np.uint8) for name, one in found.pictures().items()
            }
            shown = {"page": found.page(), "pictures": pictures}
            return {"domains": dump_domains(domains), **shown, **found.plain()}

        work.parts.begin(IDENTIFY, f"round {number}")
        found = work.once(f"identify-{number}", find)
        shutil.rmtree(work.path / UNFINISHED, ignore_errors=True)
        if "problem" not in found:
            files.write_text(work.path / DOMAINS, found.pop("domains"))
            files.write_text(work.path / PAGE.format(number=number), found.pop("page"))
        return found

    def _write_events(self, found: dict[str, Any], work: Work, number: int) -> None:
        """Write what a round found for TensorBoard, beside its phase."""
        steps = parts(work.recipe, self._attempt_steps(work.recipe.algorithm), self.evaluations)
        pictures, returns = found.pop("pictures"), found["adaptation"]["attempts"]
        write_round(work.folder_of(f"identify-{number}"), found, pictures, steps, returns)

    def _attempt_steps(self, algorithm: str) -> int:
        return self.simulated_steps or STEPS[algorithm]

    def _train(self, policy: BasePolicy, home: float | None, work: Work, number: int) -> Adaptation:
        """Train the policy in the identified world, in one or more attempts."""
        domains = load_domains(work.path / DOMAINS)
        identified, world = domains[IDENTIFIED], domains[self.world]
        adaptation = Adaptation(work, policy, identified, world, home, self.episodes, number)
        steps = self._attempt_steps(work.recipe.algorithm)
        for attempt in range(1, self.attempts + 1):
            adaptation.attempt(attempt, steps, self.evaluations, self.enough, self.patience)
            if adaptation.closed > self.stalled:
                ends = len(parts(work.recipe, steps, self.evaluations))
                work.parts.skip(TRAIN, (self.attempts - attempt) * ends)
                break
        for attempt in range(self.attempts + 1, self.attempts + self.fresh_attempts + 1):
            adaptation.attempt_afresh(attempt, steps, self.evaluations)
        return adaptation

    def _verify(
        self,
        policy: BasePolicy,
        recorded: Sequence[Trace],
        adaptation: Adaptation,
        explained: bool,
        target: Target,
        work: Work,
        number: int,
    ) -> dict[str, Any]:
        """The verdict on the former policy, with its recorded episodes, and the adapted one."""
        simulated = adaptation.start.traces, adaptation.best.traces
        adapted = adaptation.policy(adaptation.best)

        def play() -> Verdict:
            before, after = list(recorded), list[Trace]()
            while True:
                verdict = compare(before, after, simulated, explained)
                left = target.budget.steps - target.usage.steps
                if verdict.clear or not left or len(after) == self.verify:
                    return verdict
                acts, traces = (policy, before) if len(before) < len(after) else (adapted, after)
                log = target.record(acts, left, episodes=1)
                traces += traces_of(log, adaptation.episode_steps)

        work.parts.begin(VERIFY, f"round {number}, verifying in the target")
        if adaptation.best is adaptation.start or not target.rewarded:
            learned = adaptation.best is not adaptation.start
            return compare(recorded, [], simulated, explained and learned).plain()
        return work.once(f"verify-{number}", lambda: play().plain())


def log_at_hand(path: str, target: Target) -> Log:
    """The log in a file; UserError where it is none that a recording in the target would make."""
    log, terms = Log.load(path), target.contract.observations
    units = {term.name: term.unit for term in terms if term.unit}
    compared = {
        "observations": (
            {name: rows.shape[1] for name, rows in log.observations.items()},
            {term.name: term.size for term in terms},
        ),
        "units": (log.units or units, units),
        "actuators": (log.actuators, actuator_names(target.task)),
        "control_dt": (log.control_dt, target.contract.control_dt),
    }
    for name, (found, wanted) in compared.items():
        if found != wanted:
            raise UserError(f"log {path}: {name} {brief(found)}; allowed: {brief(wanted)}")
    return replace(log, units=units)


def results(found: dict[str, Any]) -> dict[str, str]:
    """What a round gave, of what stands in the report, in words."""
    if "problem" in found:
        return {"problem": found["problem"], "policy": "as it was"}
    returns, verdict = found["adaptation"], found["verdict"]
    over = "whole episodes" if verdict["steps"] is None else f"{verdict['steps']:,} steps"
    measured = verdict["measured"]
    return {
        "simulated return at home": f"{returns['home']:,.0f}",
        "simulated return before": f"{returns['start']:,.0f}",
        "simulated return after": f"{returns['best']:,.0f}",
        "difference predicted": f"{verdict['predicted']:+z,.0f} over {over}",
        "difference in the target": "not measured" if measured is None else f"{measured:+z,.0f}",
        "expected over whole episodes": f"{verdict['mean']:+z,.0f} ± {verdict['error']:,.0f}",
        "adapted policy": "kept" if verdict["keep"] else "not kept",
    }


def _is_done(found: dict[str, Any]) -> bool:
    """Whether a round has left nothing to gain for another one."""
    if "problem" in found:
        return False
    verdict = found["verdict"]
    return bool(found["explained"] and verdict["keep"] and not verdict["disappoints"])
