"""Imperfections bound to the numbers of a signal, each entry checked when it is added."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import mujoco
import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.distributions.draw_keys import draw_name, key_of
from sim2real.domains.entries.delays import (
    CommandDelay,
    Delay,
    EngineJitter,
    Rate,
    RewardDelay,
    Sampled,
)
from sim2real.domains.entries.disturbance import DisturbanceEntry
from sim2real.domains.entries.imperfection import Actuation, Imperfection, Sensing
from sim2real.domains.entries.kinds import commands_in_order, readings_in_order
from sim2real.domains.entries.stage import Effect, Stage, StepDraws
from sim2real.domains.entries.stages import Length, Saturation, Strength, Unit
from sim2real.domains.entries.substep_kind import SubstepKind
from sim2real.domains.model_fields.elements import element_rows, matching
from sim2real.domains.model_fields.rest_points import Rest, no_rest, rest_points
from sim2real.domains.model_fields.table import STRENGTH
from sim2real.errors import UserError, unknown
from sim2real.task import Array, IntArray, ObservationTerm

_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))


def bind_actuation(
    entries: Iterable[Actuation], builder: Builder
) -> tuple[tuple[Effect, ...], tuple[object, ...]]:
    """The effects on the control signal (n, nu), and what acts before every physics step.

    Strengths and delays become model writes; where the subject has `commands`, its delays are
    effects like the others. Raises UserError for unknown actuators or commands, for two entries of
    a kind on one of them and for a delay as long as an episode.
    """
    model, commands = builder.model, builder.subject.commands
    substeps: list[object] = []
    limits = np.asarray(model.actuator_ctrlrange, dtype=np.float64)
    rest = rest_points(model)
    if commands is not None:
        limits = np.array(list(commands.values())).reshape(-1, 2)
        rest = _rest_of_commands(commands, model)
    effects = Effects(builder, limits, rest)
    for entry in entries:
        first = len(builder.names)
        try:
            if commands is None or entry.kind is Strength:
                rows = element_rows(model, STRENGTH, entry.of)
            else:
                rows = _command_columns(commands, entry.of)
        except UserError as error:
            raise builder.error(entry.label, str(error)) from None
        elements = {name: np.array(places) for name, places in rows.items()}
        if entry.by_joint:
            if commands is not None:
                raise builder.error(
                    entry.label, "the action of a foreign environment has no joints"
                )
            elements = _by_joint(model, elements)
        effects.check(entry, elements)
        columns = elements if commands is not None else _controls(model, elements)
        if entry.kind is Saturation and not np.isfinite(limits).all():
            raise builder.error(
                entry.label, "the action has no limits, so nothing would be cut off"
            )
        if entry.kind is Strength:
            builder.strength(entry)
        elif issubclass(entry.kind, SubstepKind):
            if commands is not None:
                problem = "it needs every physics step, which a foreign environment takes by itself"
                raise builder.error(entry.label, problem)
            substeps.append(entry.kind.bound(builder, entry, elements))
        elif entry.kind is CommandDelay and commands is None and _has_history(model, elements):
            drawn = builder.delay(entry, elements)
            if _random(entry) is not None:
                effects.add(entry, elements, EngineJitter, drawn)
        else:
            effects.add(entry, columns)
        builder.change_entry(entry, first)
        builder.note_when(entry, first)
    return commands_in_order(effects.found), tuple(substeps)


def _rest_of_commands(commands: Mapping[str, tuple[float, float]], model: mujoco.MjModel) -> Rest:
    """The rest points of a foreign environment's action: 0, and a target where a servo has one."""
    rest = no_rest(len(commands))
    if list(commands) == list(element_rows(model, STRENGTH, ())) and model.nu == len(commands):
        return Rest(rest.values, rest_points(model).holds)
    return rest


def _by_joint(model: mujoco.MjModel, actuators: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Joint name -> the rows of its actuators; an actuator without a joint is its own element."""
    joints: dict[str, IntArray] = {}
    for name, rows in actuators.items():
        moves_joint = model.actuator_trntype[rows[0]] in _JOINTS
        joint = model.joint(model.actuator_trnid[rows[0], 0]).name if moves_joint else name
        joints[joint] = np.concatenate([joints.get(joint, rows[:0]), rows])
    return joints


def _controls(model: mujoco.MjModel, elements: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Actuator name -> its numbers in `ctrl`: a motor has one, a controller may have several."""
    return {
        name: np.concatenate(
            [model.actuator_ctrladr[row] + np.arange(model.actuator_ctrlnum[row]) for row in rows]
        )
        for name, rows in elements.items()
    }


def bind_sensing(
    entries: Iterable[Sensing], builder: Builder
) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
    """The effects on the observation (n, k), and those on the reward (n, 1).

    A quaternion keeps its length where an entry changes its numbers. Terms that are commanded have
    no sensor and are left out unless an entry names them. Raises UserError for terms that the
    subject does not have, for two entries of a kind on one number and for a delay as long as an
    episode.
    """
    terms = builder.subject.terms
    count = sum(term.size for term in terms)
    limits, rest = np.tile([-1.0, 1.0], (max(count, 1), 1)), no_rest(max(count, 1))
    sensing, reward = (Effects(builder, limits, rest) for _ in range(2))
    for entry in entries:
        first = len(builder.names)
        if entry.kind is RewardDelay:
            elements = {"": np.array([0])}
            reward.check(entry, elements)
            reward.add(entry, elements, Delay)
            builder.note_when(entry, first)
            continue
        elements = _term_columns(terms, entry, builder.domain_name, builder.subject.name)
        sensing.check(entry, elements)
        if entry.kind.each == "number":
            elements = _numbers(elements)
        if entry.kind is not Rate:
            sensing.add(entry, elements)
            builder.change_entry(entry, first)
        else:
            sensing.sample(entry, elements)
        builder.note_when(entry, first)
    sensing.keep_units(builder.subject.quaternions)
    return readings_in_order(sensing.found), tuple(reward.found)


class Effects:
    """Collects the effects on one signal, of the `limits` (columns, 2) and rest points `rest`."""

    def __init__(self, builder: Builder, limits: Array, rest: Rest) -> None:
        self._builder = builder
        self._limits = limits
        self._rest = rest
        self._taken: set[tuple[str, int]] = set()
        self._drawn: set[str] = set()
        self.found: list[Effect] = []

    def check(
        self, entry: Imperfection | DisturbanceEntry, elements: Mapping[str, IntArray]
    ) -> None:
        """Refuse a second entry of a kind on one number, and an endless delay."""
        episode_s = self._builder.subject.episode_s
        if entry.longest >= episode_s:
            what = "period" if entry.kind.name == "rate" else "delay"
            problem = f"a {what} of {entry.longest:g} s is as long as an episode"
            raise self._builder.error(entry.label, f"{problem} ({episode_s:g} s)")
        for element, columns in elements.items():
            places = {(entry.kind.name, column) for column in columns.tolist()}
            if places & self._taken and not entry.kind.adds_up:
                what = element or "the reward"
                raise self._builder.error(
                    entry.label, f"{what} has two entries of the kind {entry.kind.name}"
                )
            self._taken |= places

    def add(
        self,
        entry: Imperfection | DisturbanceEntry,
        elements: Mapping[str, IntArray],
        stage: type[Stage] | None = None,
        drawn: Sequence[int] | None = None,
    ) -> None:
        """One effect on `elements`, name -> columns; `stage`, `drawn` replace the entry's own."""
        random = _random(entry)
        in_step = entry.kind.drawn == "step"
        if drawn is None and not in_step:
            drawn = self._builder.draws(
                entry.label, list(elements), entry.distribution, entry.is_shared
            )
        if _is_idle(entry):
            return
        kind = entry.kind if stage is None else stage
        assert issubclass(kind, Stage)
        columns = np.concatenate(list(elements.values()))
        sizes = [len(found) for found in elements.values()]
        self.found.append(
            Effect(
                stage=kind,
                columns=columns,
                sources=np.repeat(drawn or np.zeros(len(sizes), int), sizes)[
                    : None if drawn else 0
                ],
                lanes=_lanes(entry, sizes),
                random=random,
                draws=() if random is None else self._step_draws(entry, elements),
                low=self._limits[columns, 0],
                high=self._limits[columns, 1],
                rest=self._rest.of(columns),
                longest=entry.longest,
                steps=entry.steps,
                options={**kind.options, **entry.options},
            )
        )

    def keep_units(self, quaternions: Sequence[int]) -> None:
        """Let the quaternions whose numbers an effect so far changes keep their lengths."""
        changed = {
            column
            for effect in self.found
            if not effect.stage.keeps_length
            for column in effect.columns.tolist()
        }
        fours = [np.arange(first, first + 4) for first in quaternions]
        columns = [four for four in fours if changed & set(four.tolist())]
        if columns:
            together, none = np.concatenate(columns), np.zeros(0, dtype=np.intp)
            zeros = np.zeros(len(together))
            rest = self._rest.of(together)
            lanes = np.zeros(len(together), dtype=np.intp)
            self.found += [
                Effect(stage, together, none, lanes, None, (), zeros, zeros, rest)
                for stage in (Length, Unit)
            ]

    def sample(self, entry: Sensing, elements: Mapping[str, IntArray]) -> None:
        """The effects of a sensor with its own rate: when it samples, and the value that it holds.

        Each has the rates of its columns as sources, then their phases.
        """
        shared = entry.is_shared
        rates = self._builder.draws(entry.label, list(elements), entry.distribution, shared)
        label = f"{entry.label}.phase"
        phases = self._builder.draws(label, list(elements), entry.phase, shared)
        for stage in (Rate, Sampled):
            self.add(entry, elements, stage, rates)
            sizes = [len(columns) for columns in elements.values()]
            sources = np.concatenate([self.found[-1].sources, np.repeat(phases, sizes)])
            self.found[-1] = dataclasses.replace(self.found[-1], sources=sources)

    def _step_draws(
        self, entry: Imperfection | DisturbanceEntry, elements: Mapping[str, IntArray]
    ) -> tuple[StepDraws, ...]:
        """The random numbers of a control step, by the names of the entry and its elements."""
        if entry.is_shared:
            counts = {draw_name(entry.label, entry.name, entry.of): 1}
        else:
            one = _one_lane(entry)
            counts = {
                draw_name(entry.label, None, [element]): 1 if one else len(columns)
                for element, columns in elements.items()
            }
        self._builder.check_new(entry.label, list(counts), self._drawn)
        self._drawn |= set(counts)
        return tuple(StepDraws(key_of(name), count) for name, count in counts.items())


def _is_idle(entry: Imperfection | DisturbanceEntry) -> bool:
    """Whether an entry never has an effect, so that it needs no stage."""
    jitters = entry.jitter is not None and entry.jitter.support != (0.0, 0.0)
    return entry.distribution.support == (entry.identity, entry.identity) and not jitters


def _random(entry: Imperfection | DisturbanceEntry) -> Distribution | None:
    """The distribution that an entry draws from in each control step; None if it is always 0."""
    random = entry.kind.random
    if entry.kind.drawn == "step":
        random = entry.distribution
    elif entry.kind.name == "delay":
        random = entry.jitter
    return None if random is None or random.support == (0.0, 0.0) else random


def _lanes(entry: Imperfection | DisturbanceEntry, sizes: Sequence[int]) -> IntArray:
    """One random number for all, for each element (a delay is one for a term), or each number."""
    if entry.is_shared:
        return np.zeros(sum(sizes), dtype=np.intp)
    if _one_lane(entry):
        return np.repeat(np.arange(len(sizes)), sizes)
    return np.arange(sum(sizes))


def _one_lane(entry: Imperfection | DisturbanceEntry) -> bool:
    """Whether an element's numbers share their random numbers, where its entry does not."""
    return entry.kind.lane_of == "element" or entry.by_joint


def _command_columns(commands: Iterable[str], names: Sequence[str]) -> dict[str, list[int]]:
    """Command name -> its place in the action, for those that `names` match; all without names."""
    places = {command: [place] for place, command in enumerate(commands)}
    if not places:
        raise UserError("the action is no row of numbers (a Box), so it takes no imperfection")
    return matching(places, names, "number of the action")


def _has_history(model: mujoco.MjModel, elements: Mapping[str, IntArray]) -> bool:
    rows = np.concatenate(list(elements.values()))
    return bool((model.actuator_history[rows, 0] > 0).all())


def _term_columns(
    terms: Sequence[ObservationTerm], entry: Sensing, domain: str, subject: str
) -> dict[str, IntArray]:
    """Element name -> columns of the observation, for the terms that the entry names.

    A pattern, and an entry without names, selects the terms with a sensor, if it matches any.
    """
    ends = np.cumsum([term.size for term in terms])
    columns = {
        term.name: np.arange(end - term.size, end) for term, end in zip(terms, ends, strict=True)
    }
    singles = _numbers(columns)
    sensed = {term.name for term in terms if not term.commanded}
    chosen: dict[str, IntArray] = {}
    for name in entry.of or ("*",):
        if name in singles:
            chosen[name] = singles[name]
            continue
        matches = [term for term in columns if term == name or fnmatchcase(term, name)]
        matches = [term for term in matches if term in sensed] or matches
        if not matches:
            raise unknown(
                f"observation term of {subject!r} in domain {domain!r}, {entry.label}",
                name,
                columns,
            )
        chosen |= {term: columns[term] for term in matches}
    return chosen


def _numbers(elements: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Elements taken apart: "term[i]" for each number of a term that has several."""
    return {
        name if len(columns) == 1 else f"{name}[{i}]": columns[i : i + 1]
        for name, columns in elements.items()
        for i in range(len(columns))
    }
