"""What a policy met in training, as numbers with which a log of a robot is compared.

Each number is computed of the parts of a recording in the domain of the training, and of the log in
the same way: the range over the parts is what is usual.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sim2real.deployment.response import Episode, Response, rounded
from sim2real.world import Array, BoolArray

if TYPE_CHECKING:  # needs pydantic and safetensors
    from sim2real.identification.log import Log

MOST_LAGS = 8
"""Control steps before, whose commands a model of responses takes, at most."""
ROWS = 100
"""Rows of a part, at least."""
WIDEST = 64
"""Columns of a linear model of responses, at most; of more, those of joints alone."""
INSIDE = (0.002, 0.5, 0.998)
"""Quantiles of what is usual: low, median and high."""


def statistics(recording: tuple[Log, Log], contract: dict[str, Any]) -> dict[str, Any]:
    """What the recordings in training show, as JSON."""
    log, starts = recording
    names, seen = observed(log)
    modelled = modelled_columns(contract, names)
    lags = _lags(contract)
    response = Response.fit(episodes(log, modelled), lags)
    each = parts(log)
    shown = [_taken(seen[:, modelled], log.commands, one) for one in each]
    late = [response.late(one) for one in shown]
    pairs = joint_pairs(contract, names)
    whole = [_taken(seen, log.commands, one) for one in each]
    slopes = np.array([slopes_of(one, list(pairs.values())) for one in whole])
    return {
        "rows": len(log),
        "observations": _range(names, seen) | _habits(seen, each),
        "commands": _range(log.actuators, log.commands)
        | _habits(log.commands, each)
        | {"jitter": _largest(jitter(log.commands, one) for one in each)},
        "first": {
            "observations": rounded(np.median(observed(starts)[1][starts.starts], axis=0)),
            "commands": _range(log.actuators, starts.commands[starts.starts]),
        },
        "joints": {
            "names": list(pairs),
            "low": rounded(slopes.min(axis=0)),
            "high": rounded(slopes.max(axis=0)),
        },
        "response": response.plain()
        | {
            "columns": [names[column] for column in modelled],
            "score": _largest(response.scores(one) for one in shown),
            "shift": _largest(np.abs(response.shifts(one)) for one in shown),
            "late": [min(late), max(late)],
        },
    }


def observed(log: Log) -> tuple[list[str], Array]:
    """The names of the numbers that a log observes, and the numbers, (n, k)."""
    names = [f"{name}[{k}]" for name, one in log.observations.items() for k in range(one.shape[1])]
    return names, np.hstack(list(log.observations.values()))


def modelled_columns(contract: dict[str, Any], names: Sequence[str]) -> list[int]:
    """The columns of the linear model: what sensors give, or of very many what joints give."""
    terms = [term for term in contract["observation"]["terms"] if not term["commanded"]]
    sensed = [(f"{t['name']}[{k}]", joint) for t in terms for k, joint in enumerate(t["joints"])]
    chosen = {name for name, _ in sensed}
    if len(chosen) > WIDEST:
        chosen = {name for name, joint in sensed if joint is not None} or {*names[:WIDEST]}
    return [column for column, name in enumerate(names) if name in chosen]


def joint_pairs(contract: dict[str, Any], names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The columns of the position and the velocity of each joint of which both are observed."""
    found: dict[tuple[str, str], int] = {}
    for term in contract["observation"]["terms"]:
        for k, one in enumerate(term["joints"]):
            if one is not None and (name := f"{term['name']}[{k}]") in names:
                found.setdefault((one["joint"], one["quantity"]), list(names).index(name))
    joints = [joint for joint, quantity in found if quantity == "position"]
    return {
        joint: (found[joint, "position"], found[joint, "velocity"])
        for joint in joints
        if (joint, "velocity") in found
    }


def slopes_of(shown: Sequence[Episode], pairs: Sequence[tuple[int, int]]) -> Array:
    """The change of each position in a step, regressed on the velocity, (joints,)."""
    slopes = np.zeros(len(pairs))
    for place, (position, velocity) in enumerate(pairs):
        change = np.concatenate([np.diff(seen[:, position]) for seen, _ in shown])
        rate = np.concatenate([(seen[1:, velocity] + seen[:-1, velocity]) / 2 for seen, _ in shown])
        centered = rate - rate.mean()
        slopes[place] = (centered @ change) / max(centered @ centered, 1e-12)
    return slopes


def episodes(log: Log, columns: Sequence[int]) -> list[Episode]:
    """Some columns and the commands of each episode."""
    _, seen = observed(log)
    return _taken(seen[:, columns], log.commands, log.episodes)


def parts(log: Log) -> list[list[slice]]:
    """The rows of the log in parts of `ROWS` or more; none joins the halves of two episodes."""
    pieces: list[slice] = []
    for one in log.episodes:
        starts = [*range(one.start, max(one.stop - ROWS, one.start) + 1, ROWS)]
        pieces += map(slice, starts, [*starts[1:], one.stop])
    found: list[list[slice]] = [[]]
    for piece in pieces:
        found[-1].append(piece)
        if sum(one.stop - one.start for one in found[-1]) >= ROWS:
            found.append([])
    return found[: max(len(found) - 1, 1)]


def _taken(seen: Array, commands: Array, rows: Sequence[slice]) -> list[Episode]:
    return [(seen[one], commands[one]) for one in rows]


def at_ends(values: Array) -> Array:
    """The larger share of the rows at the largest or smallest value of each column, (k,)."""
    ends = [values.max(axis=0), values.min(axis=0)]
    shares: Array = np.max([(values == end).mean(axis=0) for end in ends], axis=0)
    return shares


def jitter(values: Array, episodes: Sequence[slice]) -> Array:
    """The root mean square of the second differences of each column, (k,)."""
    bends = [np.diff(values[rows], n=2, axis=0) for rows in episodes]
    sizes: Array = np.sqrt(np.mean(np.concatenate(bends) ** 2, axis=0))
    return sizes


def still(values: Array) -> BoolArray:
    """Which columns never change, (k,)."""
    same: BoolArray = np.ptp(values, axis=0) == 0
    return same


def _lags(contract: dict[str, Any]) -> int:
    """Control steps before, whose commands may still act."""
    sensing = max(float(term["longest_delay_s"]) for term in contract["observation"]["terms"])
    steps = (contract["action"]["longest_delay_s"] + sensing) / float(contract["control_dt"])
    return int(min(1 + math.ceil(steps - 1e-9), MOST_LAGS))


def _range(names: Sequence[str], values: Array) -> dict[str, Any]:
    low, median, high = np.quantile(values, INSIDE, axis=0)
    numbers = {"low": low, "median": median, "high": high}
    return {"names": [*names]} | {name: rounded(one) for name, one in numbers.items()}


def _habits(values: Array, each: Sequence[Sequence[slice]]) -> dict[str, Any]:
    """The largest share at an end, and whether a column never changes in a part."""
    shown = [np.concatenate([values[rows] for rows in part]) for part in each]
    return {
        "at_ends": _largest(at_ends(one) for one in shown),
        "still": np.any([still(one) for one in shown], axis=0).tolist(),
    }


def _largest(several: Any) -> Any:
    return rounded(np.max(list(several), axis=0))
