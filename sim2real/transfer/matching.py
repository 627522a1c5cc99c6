"""Which observations and actions of another task are the source's: by name, or as the user says.

A number that the target observes is the source's if its term has the same name, unit and size
there; an action is the source's if its actuator has the same name and range. `Match` says it for
what has another name:

    match:
      observations: {torso_height: height, "position[0:9]": "position[2:11]", contact: null}
      actions: {left_knee: knee}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import Field, model_validator

from sim2real.config import Config
from sim2real.errors import UserError, unknown
from sim2real.simulation.history import AGE, OBSERVED
from sim2real.simulation.observations import CONTEXT, TRUTH
from sim2real.task import ObservationTerm

BY_NAME = "by_name"
_NEW = "new: "
"""In the name of a number that the source does not have."""
_AGED = re.compile(rf"(.+?)({AGE}\d+)?\]")
_RANGE = re.compile(r"(\d+):(\d+)\]")

Names = dict[str, str | None]


class Match(Config):
    """What is the source's under another name: target name -> source name; None: nothing is.

    Of observations the names are those of terms, "position", or of their numbers, "position[3]",
    "position[3:5]"; of actions those of actuators, or of the joints of unnamed ones.
    """

    observations: Names = Field(default_factory=dict)
    actions: Names = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, data: Any) -> Any:
        if isinstance(data, str) and data != BY_NAME:
            raise ValueError(f"must be {BY_NAME}, or observations and actions, got {data!r}")
        return {} if data == BY_NAME else data


@dataclass(frozen=True)
class Side:
    """What the policies of one side observe and command."""

    name: str
    terms: tuple[ObservationTerm, ...]
    actuators: tuple[str, ...]
    range: spaces.Box
    """Of the actions, in the task's units, (nu,)."""

    @property
    def policy_terms(self) -> dict[str, ObservationTerm]:
        """What a robot's policy sees, by name."""
        return {term.name: term for term in self.terms if term.group == "policy"}

    @property
    def seen(self) -> list[str]:
        """The numbers of these, of a history those of the present."""
        return [label for term in self.policy_terms.values() for label in newest_labels(term)]


@dataclass(frozen=True)
class Matching:
    """What the policies of the target observe and command, in the names of the source.

    `columns` and `actions` are target name -> source name, of what both have.
    """

    source: Side
    target: Side
    columns: dict[str, str]
    actions: dict[str, str]

    def labels(self) -> list[str]:
        """The columns of the target; what the source does not have has a name of no column."""
        return [self._label(term, label) for term in self.target.terms for label in term.labels]

    def action_labels(self) -> list[str]:
        """The actions of the target, in the same way."""
        return [self.actions.get(name, f"{_NEW}{name}") for name in self.target.actuators]

    @property
    def new(self) -> dict[str, list[str]]:
        """What only the target has."""
        return {
            "observations": [one for one in self.target.seen if one not in self.columns],
            "actions": [one for one in self.target.actuators if one not in self.actions],
        }

    @property
    def dropped(self) -> dict[str, list[str]]:
        """What only the source has."""
        kept = {*self.columns.values()}, {*self.actions.values()}
        return {
            "observations": [one for one in self.source.seen if one not in kept[0]],
            "actions": [one for one in self.source.actuators if one not in kept[1]],
        }

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        matched = {"observations": self.columns, "actions": self.actions}
        return {"matched": matched, "new": self.new, "dropped": self.dropped}

    def lines(self) -> list[str]:
        """What is new and what is dropped, in words."""
        return [
            f"{what} {kind}: {', '.join(names)}"
            for what, found in (("New", self.new), ("Dropped", self.dropped))
            for kind, names in found.items()
            if names
        ]

    def _label(self, term: ObservationTerm, label: str) -> str:
        if term.group == "privileged" and term.name == CONTEXT:
            return label
        if term.group == "privileged" and term.name == TRUTH:
            found = self.columns.get(label[len(TRUTH) + 1 : -1])
            return f"{_NEW}{label}" if found is None else f"{TRUTH}[{found}]"
        name, age = _AGED.fullmatch(label).groups("")  # type: ignore[union-attr]
        found = self.columns.get(f"{name}]")
        return f"{_NEW}{label}" if found is None else f"{found[:-1]}{age}]"


def match_spaces(source: Side, target: Side, given: Match) -> Matching:
    """The matching of two sides. Raises UserError for a name that is unknown, for one that has
    two numbers, and for what has the same name and differs."""
    actions = _actions(source, target, given.actions)
    columns = _columns(source, target, given.observations, actions)
    _require_one_each("action", actions)
    _require_one_each("observation", columns)
    return Matching(source, target, columns | _privileged(source, target), actions)


def _columns(
    source: Side, target: Side, given: Names, actions: Mapping[str, str]
) -> dict[str, str]:
    """Number of the target -> number of the source, of what the policies see."""
    asked = _asked(source, target, given)
    found: Names = {}
    for term in target.policy_terms.values():
        left = [label for label in newest_labels(term) if label not in asked]
        other = source.policy_terms.get(term.name)
        if not left or other is None:
            continue
        if _is_last_action(term, target) and _is_last_action(other, source):
            places = {name: f"{term.name}[{at}]" for at, name in enumerate(source.actuators)}
            ours = zip(newest_labels(term), target.actuators, strict=True)
            by_name = {label: places[actions[name]] for label, name in ours if name in actions}
        else:
            by_name = _same_numbers(term, other, said=len(left) < len(newest_labels(term)))
        found |= {label: by_name[label] for label in left if label in by_name}
    return {name: other for name, other in (found | asked).items() if other is not None}


def _asked(source: Side, target: Side, given: Names) -> Names:
    """What the user says, for each number."""
    asked: Names = {}
    for name, other in given.items():
        ours = _expand(name, target)
        theirs = [None] * len(ours) if other is None else _expand(other, source)
        if len(ours) != len(theirs):
            raise UserError(
                f"match: {name} has {len(ours)} numbers in the target, {other} has {len(theirs)} "
                "in the source; allowed: as many"
            )
        asked |= dict(zip(ours, theirs, strict=True))
    return asked


def _expand(reference: str, side: Side) -> Sequence[str]:
    """The numbers that "position", "position[3]" or "position[3:5]" names."""
    name, bracket, inside = reference.partition("[")
    if name not in side.policy_terms:
        raise unknown(f"observation of the {side.name}", name, side.policy_terms)
    every = newest_labels(side.policy_terms[name])
    if not bracket:
        return every
    if found := _RANGE.fullmatch(inside):
        first, last = int(found[1]), int(found[2])
        if not first < last <= len(every):
            raise UserError(
                f"match: {reference} of the {side.name}; allowed: {name}[0:{len(every)}] or a part"
            )
        return every[first:last]
    if reference not in every:
        raise unknown(f"number of the {side.name}", reference, every)
    return [reference]


def _same_numbers(term: ObservationTerm, other: ObservationTerm, said: bool) -> dict[str, str]:
    """The numbers of a term and of that of the same name; none if some were `said` already and
    the rest cannot be told. Raises UserError for another unit or size."""
    ours, theirs = newest_labels(term), newest_labels(other)
    start = f"observation {term.name} has"
    if term.unit != other.unit:
        raise UserError(
            f"{start} the unit {other.unit!r} in the source, {term.unit!r} in the target; allowed: "
            f"the same, or match: {{observations: {{{term.name}: null}}}}, which starts it anew"
        )
    if len(ours) != len(theirs) and not said:
        raise UserError(
            f"{start} {len(theirs)} numbers in the source, {len(ours)} in the target; allowed: as "
            "many, or which is which, for example match: {observations: "
            f'{{"{term.name}[0:1]": "{term.name}[0:1]"}}}}'
        )
    return dict(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else {}


def _is_last_action(term: ObservationTerm, side: Side) -> bool:
    return term.name in OBSERVED and len(newest_labels(term)) == len(side.actuators)


def _privileged(source: Side, target: Side) -> dict[str, str]:
    """The numbers of the tasks' own privileged terms, where name, unit and size are the same."""
    theirs = {term.name: term for term in source.terms if term.group == "privileged"}
    found: dict[str, str] = {}
    for term in target.terms:
        is_own = term.group == "privileged" and term.name not in (TRUTH, CONTEXT)
        if is_own and theirs.get(term.name) == term:
            found |= {label: label for label in term.labels}
    return found


def _actions(source: Side, target: Side, given: Names) -> dict[str, str]:
    """Actuator of the target -> actuator of the source."""
    for side in (source, target):
        if len({*side.actuators}) < len(side.actuators):
            raise UserError(
                f"match: the actuators of the {side.name} are {', '.join(side.actuators)}; "
                "allowed: different names"
            )
    for name, other in given.items():
        if name not in target.actuators:
            raise unknown("actuator of the target", name, target.actuators)
        if other is not None and other not in source.actuators:
            raise unknown("actuator of the source", other, source.actuators)
    by_name: Names = {name: name for name in target.actuators if name in source.actuators}
    found = {name: other for name, other in (by_name | given).items() if other is not None}
    for name, other in found.items():
        ours, theirs = _range(target, name), _range(source, other)
        if not np.allclose(ours, theirs, rtol=1e-6, atol=0.0):
            raise UserError(
                f"actuator {name} has the range [{ours[0]:g}, {ours[1]:g}] in the target, "
                f"{other} has [{theirs[0]:g}, {theirs[1]:g}] in the source; allowed: the same, or "
                f"match: {{actions: {{{name}: null}}}}, which starts it anew"
            )
    return found


def _range(side: Side, actuator: str) -> tuple[float, float]:
    at = side.actuators.index(actuator)
    return float(side.range.low[at]), float(side.range.high[at])


def _require_one_each(kind: str, found: Mapping[str, str]) -> None:
    """UserError unless there is something, and nothing of the source is matched twice."""
    if not found:
        raise UserError(
            f"no {kind} of the target is one of the source by name; allowed: a `match` that says "
            "which is which"
        )
    owner: dict[str, str] = {}
    for name, other in found.items():
        if other in owner:
            raise UserError(
                f"match: {kind} {other} of the source is both {owner[other]} and {name} of the "
                "target; allowed: one of them, the other null"
            )
        owner[other] = name


def newest_labels(term: ObservationTerm) -> list[str]:
    """The names of the numbers of a term, of its history those of the present alone."""
    return [label for label in term.labels if AGE not in label]
