"""The audit: does every parameter of a domain have an effect, and is every world sound?"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import mujoco
import mujoco.batch
from gymnasium.envs.registration import EnvSpec

from sim2real.domains import Domain
from sim2real.evaluation.audit.curves import best_curve
from sim2real.evaluation.audit.effects import CLEAR, Effect, is_clear, times_noise
from sim2real.evaluation.audit.findings import PROBES, AuditReport, End, Finding, check_waived
from sim2real.evaluation.audit.judge import (
    MODEL,
    TOGETHER,
    changed_friction,
    keyframe_finding,
    model_finding,
    problems,
    together_finding,
)
from sim2real.evaluation.audit.motions import WORLDS, Rollout
from sim2real.evaluation.audit.other_model import (
    OtherModel,
    has_parameters,
    other_model_findings,
)
from sim2real.evaluation.audit.parts import Part, bare, parts
from sim2real.evaluation.audit.reasons import Case, why_friction_hidden, why_nothing, why_softer
from sim2real.evaluation.audit.worlds import Probed, Reference, make_reference, probe
from sim2real.simulation.front_ends.foreign import AnyEnv, domain_for, task_or_foreign
from sim2real.task import Task

AnyTask = str | Task | EnvSpec | Callable[[], AnyEnv]
"""A task, or what means a foreign environment."""
FAINT = 1e-6
"""Relative change below which an effect is remarkable for being so small."""
_REFUSED = (ValueError, mujoco.FatalError, mujoco.batch.SimulationError)


PATIENCE_S = 10.0
"""Seconds between two lines of progress."""


def audit(
    task: AnyTask,
    domain: str | Domain = "randomized",
    *,
    waive: Sequence[str] = (),
    progress: bool = False,
) -> AuditReport:
    """Probe every parameter of `domain` at both ends of its range, all else nominal.

    `task` may be a foreign environment, as for `make_vec_env`, and the domain then an object or
    "file.yaml:name".
    The errors of the parameters `waive` do not count. With `progress`, an audit that takes long
    prints the parameter that it is at, on standard error. Raises UserError for a domain that cannot
    be bound to the task at all, and for a waived parameter that it does not have.
    """
    return audits(task, [domain], waive=waive, progress=progress)[0]


def audits(
    task: AnyTask,
    domains: Sequence[str | Domain],
    *,
    waive: Sequence[str] = (),
    progress: bool = False,
) -> list[AuditReport]:
    """As `audit`, for several domains of one task; one of them must have each waived parameter."""
    auditor = Auditor(task, progress)
    reports = [auditor.audit(domain) for domain in domains]
    check_waived(reports, waive)
    return [report.waive(waive) for report in reports]


class Auditor:
    """Audits domains of one task; what is nominal is probed once for all of them."""

    def __init__(self, task: AnyTask, progress: bool = False) -> None:
        self.task = task_or_foreign(task)
        self._progress = progress
        self._references: list[tuple[Domain, Reference]] = []
        self._others: dict[str, OtherModel] = {}

    def audit(self, domain: str | Domain) -> AuditReport:
        """As the function `audit`."""
        started = time.perf_counter()
        asked = domain_for(self.task, domain)
        together = Rollout(self.task, asked, 2 * WORLDS)  # refuses what cannot be bound
        names = together.simulation.context_names
        reference = self._nominal(asked)
        base = reference.base
        shaken = changed_friction(base.model, together.simulation.world_model(0))
        findings = [
            model_finding(base),
            *self._keyframe(asked, base),
            *self._control_period(asked),
            *self._other_model(asked),
            *(
                self._examine(reference, part, shaken)
                for part in self._counted(list(parts(self.task, asked, names)))
            ),
            together_finding(base, together),
        ]
        shown = tuple(
            one
            for one in findings
            if one.ends or one.errors or one.warnings or one.parameter not in (MODEL, TOGETHER)
        )
        seconds = time.perf_counter() - started
        advice = tuple(hints(self.task, asked)) if isinstance(self.task, Task) else ()
        return AuditReport(self.task.name, asked.name, shown, seconds, advice)

    def _counted(self, found: Sequence[Part]) -> Iterator[Part]:
        """The parts one after the other, a line of progress every `PATIENCE_S` seconds."""
        printed = time.monotonic()
        for number, part in enumerate(found):
            if self._progress and time.monotonic() - printed >= PATIENCE_S:
                printed = time.monotonic()
                line = f"audit of {part.domain.name}: {part.name}, {number + 1} of {len(found)}"
                print(line, file=sys.stderr)
            yield part

    def _nominal(self, domain: Domain) -> Reference:
        """The reference of the domain's model without parameters."""
        base = bare(domain).model_copy(update={"name": "nominal", "about": ""})
        for known, reference in self._references:
            if known == base:
                return reference
        self._references.append((base, make_reference(self.task, base)))
        return self._references[-1][1]

    def _keyframe(self, domain: Domain, base: Probed) -> list[Finding]:
        """The effect of the domain's key frame, if it has one."""
        if domain.keyframe is None:
            return []
        own = self._nominal(domain.model_copy(update={"keyframe": None}))
        return [keyframe_finding(base, own.base)]

    def _control_period(self, domain: Domain) -> Iterator[Finding]:
        """Whether a control period of the domain's own is another than the task's."""
        if (period := domain.control_period) is None or not isinstance(self.task, Task):
            return
        description = f"a control step of {period.describe()} s"
        same = period.support == (self.task.control_dt, self.task.control_dt)
        errors = ("has no effect: it is the task's own",) if same else ()
        yield Finding("control_period", description, errors=errors)

    def _other_model(self, domain: Domain) -> Iterator[Finding]:
        """The differences of a domain's other model, and another domain that is the same world."""
        if domain.model is None or not isinstance(self.task, Task):
            return
        other = OtherModel.of(self.task, self._nominal(domain))
        yield from other_model_findings(self.task, domain, other)
        if has_parameters(domain):
            return
        for name, known in self._others.items():
            if name != domain.name and known.same_as(other.model):
                error = f"is the same world as {name!r}, no probe differs"
                yield Finding("model", f"the model {domain.model}", errors=(error,))
                return
        self._others[domain.name] = other

    def _examine(self, reference: Reference, part: Part, shaken: frozenset[int]) -> Finding:
        """One parameter; `shaken` are the geoms whose friction the domain changes."""
        probed, errors = self._probe_ends(reference, part, part.alone)
        if not probed and part.with_others(1, None, absent=True) != bare(part.domain):
            reference = make_reference(self.task, part.with_others(1, None, absent=True))
            probed, errors = self._probe_ends(reference, part, partial(part.with_others, 1))
        steps = self._steps_to_act(reference, part, probed)
        ends = [_end(one, reference.effects(one.probed, steps)) for one in probed]
        warnings: list[str] = []
        if not errors:
            errors, warnings = self._judge(reference, part, probed, ends, shaken)
        motions = {one.name: one.probed.motion for one in probed}
        base = reference.base
        return Finding(
            part.name,
            part.entry.describe(),
            tuple(ends),
            tuple(errors),
            tuple(warnings),
            curve=best_curve(part.section, base.motion, motions, base.rollout.simulation),
        )

    def _probe_ends(
        self, reference: Reference, part: Part, place_in: Callable[[float | None], Domain]
    ) -> tuple[list[_Probe], list[str]]:
        """The probes at each end, in the domain that it makes, and what is wrong there."""
        probed, errors = [], []
        for name, value in part.ends():
            place = _place(name, value)
            try:
                found = probe(self.task, place_in(value), reference)
            except _REFUSED as error:
                errors.append(f"{place}refused: {' '.join(str(error).split())}")
                continue
            probed.append(_Probe(name, value, found))
            errors += [place + problem for problem in problems(reference.base, found)]
        return probed, errors

    def _judge(
        self,
        reference: Reference,
        part: Part,
        probed: Sequence[_Probe],
        ends: Sequence[End],
        shaken: frozenset[int],
    ) -> tuple[list[str], list[str]]:
        """Errors and warnings about what the parameter does, where every world is sound."""
        base = reference.base
        cases = [
            Case(part, base.model, one.probed.model, base.forces, one.probed.forces)
            for one in probed
        ]
        hidden = [why_friction_hidden(case, shaken) for case in cases]
        if all(hidden):
            return [f"no contact uses the friction asked for: {hidden[0]}"], []
        warnings = [
            f"{_place(one.name, one.value)}no contact uses the friction asked for: {reason}"
            for one, reason in zip(probed, hidden, strict=True)
            if reason
        ]
        softer = [why_softer(case) for case in cases]
        warnings += [
            _place(one.name, one.value) + reason
            for one, reason in zip(probed, softer, strict=True)
            if reason
        ]
        if any(end.times_noise > CLEAR for end in ends):
            if max(max(end.changes.values()) for end in ends) < FAINT:
                warnings.append("changes nothing by more than a millionth of what is measured")
            return [], warnings
        if self._acts_with_others(part):
            return [], [*warnings, "acts only together with other parameters of the domain"]
        return [f"has no effect: {why_nothing(cases[-1])}"], warnings

    def _steps_to_act(self, reference: Reference, part: Part, probed: Sequence[_Probe]) -> int:
        """Control steps until an effect shows: the usual ones, else looking ever further."""
        usual = len(reference.base.motion.qpos)
        episode = reference.base.rollout.simulation.episode_steps
        last = min(4 * usual, episode) if part.section == "dynamics" else episode
        steps = usual
        while not any(is_clear(reference.effects(one.probed, steps)) for one in probed):
            if steps >= last:
                return usual
            steps = min(2 * steps, last)
        return steps

    def _acts_with_others(self, part: Part) -> bool:
        """Whether it acts when the domain's other parameters are at their ends."""
        for end in (0, 1):
            without = part.with_others(end, None, absent=True)
            if without == bare(part.domain):
                return False
            try:
                reference = make_reference(self.task, without)
                for _, value in part.ends():
                    changed = probe(self.task, part.with_others(end, value), reference)
                    if is_clear(reference.effects(changed, len(changed.motion.qpos))):
                        return True
            except _REFUSED:  # the others' errors are reported with them
                continue
        return False


@dataclass(frozen=True)
class _Probe:
    """A probe at one end."""

    name: str
    value: float | None
    probed: Probed


def _end(one: _Probe, effects: dict[str, Effect]) -> End:
    changes = {name: effects[name].change for name in PROBES}
    return End(one.name, one.value, changes, times_noise(effects))


def _place(name: str, value: float | None) -> str:
    """Where in the range something happens."""
    if value is None:
        return ""
    return f"at {value:g}: " if name == "value" else f"at its {name} end, {value:g}: "


_ROUNDING = 1e-9


def hints(task: Task, domain: Domain) -> Iterator[str]:
    """Advice about what the policy of `task` observes, for what `domain` does to its signals."""
    late = _longest_delay(domain)
    steps = (late + _ROUNDING) / task.control_dt
    if steps >= 1 and not task.history and not task.commanded:
        yield (
            f"commands and observations are up to {late:g} s late, {steps:.3g} control steps of "
            f"{task.control_dt:g} s, and the policy observes neither a history nor its last "
            "actions: it cannot know which commands have not arrived yet; train with a "
            "`history`, or give the task its last action as a `commanded` term"
        )


def _longest_delay(domain: Domain) -> float:
    """The longest time from a state to the force that depends on it, s."""
    commands = max((entry.longest for entry in domain.actuation), default=0.0)
    sensing = [one.longest for one in domain.sensing if one.kind.name != "reward_delay"]
    return float(commands + max(sensing, default=0.0))
