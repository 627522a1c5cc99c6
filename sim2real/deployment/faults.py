"""Which fault of its channels explains a log: reversed, swapped, in degrees, shifted, or late.

Each is a hypothesis: the log without it. The one with which the response of the training predicts
the log far better is named, then the next is looked for, until none helps.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.deployment.response import EARLIER, LATER, Episode, Response, later
from sim2real.world import Array

WORSE, LEAST = 2.5, 1.0
"""How badly a column may be predicted: in the worst of the training, and beyond it."""
BETTER = 0.6
"""What a repair must leave of the errors that are too large, at most."""
MOST_FAULTS = 3
MOST_SWAPPED = 24
"""Columns that are tried as swapped, at most: those that are predicted worst."""
RADIANS = np.pi / 180
COMMANDS = "commands"
Episodes = Sequence[Episode]
Repair = Callable[[Episodes], Episodes]


@dataclass(frozen=True)
class Channels:
    """The names of columns and commands, the term of each column, and the columns of joints."""

    columns: list[str]
    commands: list[str]
    terms: list[str]
    joints: dict[str, list[int]]
    moved: list[str | None]


def channel_names(contract: dict[str, Any], columns: Sequence[str]) -> Channels:
    """Those of a contract: "position[1] (knee)"."""
    readings = {
        f"{term['name']}[{k}]": None if one is None else one["joint"]
        for term in contract["observation"]["terms"]
        for k, one in enumerate(term["joints"])
    }
    joints: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        if (joint := readings.get(name)) is not None:
            joints.setdefault(joint, []).append(place)
    action = contract["action"]
    return Channels(
        [f"{name} ({readings[name]})" if readings.get(name) else name for name in columns],
        [f"command of {name}" for name in action["names"]],
        [name.rpartition("[")[0] for name in columns],
        joints,
        action["joints"],
    )


def found_faults(
    response: Response,
    episodes: Episodes,
    usual: Array,
    names: Channels,
    in_degrees: Collection[str] = (),
) -> list[str]:
    """What is wrong with the channels, a line each; empty where all is predicted as in training.

    `usual` is the worst score of each column in training, (k,); `in_degrees` the terms (or
    "commands") that are as large as if they were.
    """
    allowed = WORSE * usual + LEAST
    found: list[str] = []

    def excess(shown: Episodes) -> Array:
        return np.maximum(response.scores(shown) - allowed, 0.0)

    now = excess(episodes)
    while now.any() and len(found) < MOST_FAULTS:
        tried: list[tuple[float, int, str, Episodes]] = []
        for message, repair in _hypotheses(response, episodes, names, now, in_degrees):
            repaired = repair(episodes)
            tried.append((float(excess(repaired).sum()), len(tried), message, repaired))
        left, _, message, repaired = min(tried, key=lambda one: one[:2])
        if left > BETTER * now.sum():
            break
        found, episodes = [*found, message], repaired
        now = excess(episodes)
    if now.any() and not found:
        worst = names.columns[int(np.argmax(now))]
        found.append(f"{worst} does not answer as in any world of the training")
    return found


def _hypotheses(
    response: Response,
    episodes: Episodes,
    names: Channels,
    excess: Array,
    in_degrees: Collection[str],
) -> Iterator[tuple[str, Repair]]:
    yield from _in_degrees(names, in_degrees)
    yield from _reversed(names)
    yield from _shifted(names, response.shifts(episodes))
    yield from _late()
    yield from _swapped(names, np.argsort(-excess)[:MOST_SWAPPED].tolist())


def _reversed(names: Channels) -> Iterator[tuple[str, Repair]]:
    for column, name in enumerate(names.columns):
        yield f"{name} seems to be reversed", _scaled([column], [], -1.0)
    for command, name in enumerate(names.commands):
        yield f"{name} seems to be reversed", _scaled([], [command], -1.0)
    for joint, columns in names.joints.items():
        own = [place for place, moved in enumerate(names.moved) if moved == joint]
        if len(columns) > 1:
            yield f"readings of {joint} seem to be reversed", _scaled(columns, [], -1.0)
        if own:
            yield (
                f"readings and commands of {joint} seem to be reversed",
                _scaled(columns, own, -1.0),
            )


def _in_degrees(names: Channels, suspects: Collection[str]) -> Iterator[tuple[str, Repair]]:
    for term in suspects:
        columns = [place for place, one in enumerate(names.terms) if one == term]
        if term == COMMANDS:
            yield "commands seem to be in degrees", _scaled([], range(len(names.commands)), RADIANS)
        elif columns:
            yield f"{term} seems to be in degrees", _scaled(columns, [], RADIANS)


def _shifted(names: Channels, shifts: Array) -> Iterator[tuple[str, Repair]]:
    for column, (name, shift) in enumerate(zip(names.columns, shifts, strict=True)):
        yield f"{name} seems to be shifted by {shift:.2g}", _moved(column, -float(shift))


def _late() -> Iterator[tuple[str, Repair]]:
    for by in (*range(-EARLIER, 0), *range(1, LATER + 1)):
        when = "later" if by > 0 else "earlier"
        yield (
            f"commands seem to act {abs(by)} control steps {when} than in training",
            functools.partial(later, by=by),
        )


def _swapped(names: Channels, suspects: Sequence[int]) -> Iterator[tuple[str, Repair]]:
    for a, b in itertools.combinations(sorted(suspects), 2):
        if names.terms[a] == names.terms[b]:
            yield (
                f"{names.columns[a]} and {names.columns[b]} seem to be swapped",
                _exchanged({a: b}),
            )
    for a, b in itertools.combinations(range(len(names.commands)), 2):
        one, other = names.commands[a], names.commands[b]
        yield f"{one} and {other} seem to be swapped", _exchanged({}, {a: b})
    suspected = {j: c for j, c in names.joints.items() if not set(c).isdisjoint(suspects)}
    for first, second in itertools.combinations(suspected, 2):
        pairs = dict(zip(suspected[first], suspected[second], strict=False))
        if len(pairs) > 1:
            yield f"readings of {first} and {second} seem to be swapped", _exchanged(pairs)


def _each(change: Callable[[Array, Array], Episode]) -> Repair:
    return lambda episodes: [change(*one) for one in episodes]


def _moved(column: int, by: float) -> Repair:
    def change(seen: Array, given: Array) -> Episode:
        seen = seen.copy()
        seen[:, column] += by
        return seen, given

    return _each(change)


def _scaled(columns: Sequence[int], commands: Sequence[int], factor: float) -> Repair:
    def change(seen: Array, given: Array) -> Episode:
        seen, given = seen.copy(), given.copy()
        seen[:, columns] *= factor
        given[:, commands] *= factor
        return seen, given

    return _each(change)


def _exchanged(columns: dict[int, int], commands: dict[int, int] | None = None) -> Repair:
    return _each(lambda seen, given: (_permuted(seen, columns), _permuted(given, commands or {})))


def _permuted(values: Array, pairs: dict[int, int]) -> Array:
    order = np.arange(values.shape[1])
    for a, b in pairs.items():
        order[[a, b]] = b, a
    return values[:, order]
