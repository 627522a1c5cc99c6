"""A log of a robot against the contract of an exported policy and what it met in training."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sim2real.checks import CheckSkipped, require
from sim2real.deployment.faults import COMMANDS, channel_names, found_faults
from sim2real.deployment.first_step import Ask, first_commands, unusual_commands
from sim2real.deployment.response import Response
from sim2real.deployment.statistics import (
    at_ends,
    episodes,
    jitter,
    joint_pairs,
    observed,
    slopes_of,
    still,
)
from sim2real.errors import listed
from sim2real.world import Array

if TYPE_CHECKING:  # needs pydantic and safetensors
    from sim2real.identification.log import Log

OFF, LOST = 0.02, 0.02
"""Largest difference of the median period from the control step, and share of rows that may come
half a control step late or early."""
JITTER = 0.2
"""Share of the control step by which nine of ten rows may come early or late."""
BEYOND, OUTSIDE = 0.5, 0.05
"""How far a number may be outside of what is usual, in widths of that, and in how many rows."""
OFTENER, MORE_AT_ENDS = 1.5, 0.1
"""Share of the rows at an end: in that of the training, and beyond it."""
ROUGHER, SMALL = 2.0, 0.01
"""How much commands may jitter: in the most of the training, and beyond it in their range."""
LATER = 0.6
"""Control steps by which commands may act later or earlier than in any world of the training."""
SHIFTED = 3.0
"""How far a column may be shifted, in the largest shift of the training."""
DEGREES, FAR = 180 / np.pi, 5.0
STARTS = 20
"""Episodes whose first row the controller is given."""
MOST = 4
"""Channels that a message names."""


@dataclass(frozen=True)
class Compared:
    """A log, the contract, and the controller."""

    log: Log
    contract: dict[str, Any]
    controller: Ask

    @property
    def terms(self) -> list[dict[str, Any]]:
        """The terms of which sensors or the robot's program give the numbers."""
        return [
            term
            for term in self.contract["observation"]["terms"]
            if term["group"] == "policy" and not (term["commanded"] and self._is_absent(term))
        ]

    def _is_absent(self, term: dict[str, Any]) -> bool:
        return term["name"] not in self.log.observations

    @property
    def statistics(self) -> dict[str, Any]:
        """Those of the training."""
        found: dict[str, Any] = self.contract["statistics"]
        return found

    def is_sensed(self, number: str) -> bool:
        """Whether a sensor gives a number: "gyro[0]"."""
        terms = self.contract["observation"]["terms"]
        return number.rpartition("[")[0] in {t["name"] for t in terms if not t["commanded"]}

    def require_named(self) -> None:
        """CheckSkipped where the log has other channels than the contract."""
        if _channel_faults(self):
            raise CheckSkipped("the channels of the log are not those of the contract")

    @cached_property
    def usual(self) -> tuple[list[str], Array, dict[str, Array]]:
        """Names, numbers (n, k) and statistics of what both the log and the training observe."""
        self.require_named()
        given = self.statistics["observations"]
        names, seen = observed(self.log)
        known = [name for name in names if name in given["names"]]
        places = [given["names"].index(name) for name in known]
        numbers = {key: np.array(given[key])[places] for key in given if key != "names"}
        return known, seen[:, [names.index(name) for name in known]], numbers

    @cached_property
    def response(self) -> tuple[Response, list[tuple[Array, Array]]]:
        """The model of the training, and the episodes of the log as it takes them."""
        self.require_named()
        response, (names, _) = Response.of(self.statistics["response"]), observed(self.log)
        shown = [names.index(name) for name in self.statistics["response"]["columns"]]
        found = episodes(self.log, shown)
        if not len(response.residuals(found)):
            raise CheckSkipped("the log has no episode that is long enough")
        return response, found

    @cached_property
    def in_degrees(self) -> list[str]:
        """Terms with a column that is as large as if it were in degrees, and the commands."""
        names, seen, usual = self.usual
        ranges = zip(names, seen.T, usual["low"], usual["high"], strict=True)
        found = [name.rpartition("[")[0] for name, *one in ranges if _is_in_degrees(*one)]
        limits = np.array(self.contract["action"]["command_limits"])
        of = zip(self.log.commands.T, *limits.T, strict=True)
        found += [COMMANDS for one in of if _is_in_degrees(*one)]
        return list(dict.fromkeys(found))


def _channels(given: Compared) -> None:
    faults = _channel_faults(given)
    require(not faults, "; ".join(faults[:MOST]))


def _channel_faults(given: Compared) -> list[str]:
    log, names = given.log, given.contract["action"]["names"]
    found = []
    if list(log.actuators) != names:
        same = sorted(log.actuators) == sorted(names)
        what = "in another order" if same else "other ones"
        found.append(
            f"its actuators are {what}: {listed(log.actuators, MOST)}; "
            f"the policy commands {listed(names, MOST)}"
        )
    for term in given.terms:
        size = len(term["columns"])
        if given._is_absent(term):
            found.append(f"{term['name']} is missing")
        elif log.observations[term["name"]].shape[1] != size:
            wide = log.observations[term["name"]].shape[1]
            found.append(f"{term['name']} has {wide} numbers; the policy expects {size}")
    return found


def _units(given: Compared) -> None:
    wrong = [
        f"{term['name']} is in {given.log.units[term['name']]}; the policy expects {term['unit']}"
        for term in given.terms
        if given.log.units.get(term["name"]) and term["unit"]
        if given.log.units[term["name"]] != term["unit"]
    ]
    require(not wrong, "; ".join(wrong))


def _rate(given: Compared) -> None:
    low, high = _periods(given.contract)
    steps = float(np.median(_steps(given.log)))
    require(
        low * (1 - OFF) <= steps <= high * (1 + OFF),
        f"a row every {1e3 * steps:.4g} ms; the policy acts every {_ms(low, high)}",
    )


def _jitter(given: Compared) -> None:
    steps = _steps(given.log)
    middle, dt = float(np.median(steps)), given.contract["control_dt"]
    low, high = _periods(given.contract)
    early, late = np.maximum(low - steps, 0.0), np.maximum(steps - max(high, middle), 0.0)
    if low == high:
        early = np.maximum(middle - steps, 0.0)
    off = np.maximum(early, late) / dt
    usual, lost = float(np.quantile(off, 0.9)), float((off > 0.5).mean())
    require(
        usual <= JITTER and lost <= LOST,
        f"one row in ten is more than {usual:.0%} of a control step early or late, {lost:.1%} of "
        f"them more than half; allowed: {JITTER:.0%}, {LOST:.0%}",
    )


def _steps(log: Log) -> Array:
    return np.concatenate([np.diff(log.times[rows]) for rows in log.episodes])


def _periods(contract: dict[str, Any]) -> tuple[float, float]:
    """The shortest and longest control step of the training in s."""
    low, high = contract["control_dt_range"]
    return float(low), float(high)


def _ms(low: float, high: float) -> str:
    return f"{1e3 * low:.4g} ms" if low == high else f"{1e3 * low:.4g} to {1e3 * high:.4g} ms"


def _dead(given: Compared) -> None:
    names, seen, usual = given.usual
    dead = [
        name
        for name, stays, often in zip(names, still(seen), usual["still"], strict=True)
        if stays and not often and given.is_sensed(name)
    ]
    require(not dead, f"{listed(dead, MOST)}: never changes")


def _saturation(given: Compared) -> None:
    names, seen, usual = given.usual
    rows = zip(names, at_ends(seen), usual["at_ends"], still(seen), strict=True)
    commands = given.statistics["commands"]
    pairs = [
        *(row for row in rows if given.is_sensed(row[0])),
        *zip(
            (f"command of {name}" for name in given.log.actuators),
            at_ends(given.log.commands),
            commands["at_ends"],
            still(given.log.commands),
            strict=True,
        ),
    ]
    found = [
        f"{name} is at its largest or smallest value in {share:.0%} of the rows, in training in "
        f"{often:.0%}"
        for name, share, often, stays in pairs
        if share > OFTENER * often + MORE_AT_ENDS and not stays
    ]
    require(not found, "; ".join(found[:MOST]))


def _smoothness(given: Compared) -> None:
    given.require_named()
    log, usual = given.log, np.array(given.statistics["commands"]["jitter"])
    long = [rows for rows in log.episodes if rows.stop - rows.start > 2]
    if not long:
        raise CheckSkipped("the log has no episode that is long enough")
    found = jitter(log.commands, long)
    room = SMALL * np.ptp(np.array(given.contract["action"]["command_limits"]), axis=1)
    wrong = [
        f"the command of {name} jitters by {size:.2g}, in training by {most:.2g}"
        for name, size, most, slack in zip(log.actuators, found, usual, room, strict=True)
        if size > ROUGHER * most + slack
    ]
    require(not wrong, "; ".join(wrong[:MOST]))


def _limits(given: Compared) -> None:
    given.require_named()
    low, high = np.array(given.contract["action"]["command_limits"]).T
    slack = 1e-4 * (high - low)
    outside = (given.log.commands < low - slack) | (given.log.commands > high + slack)
    wrong = [f"{n}" for n, one in zip(given.log.actuators, outside.any(axis=0), strict=True) if one]
    require(not wrong, f"commands of {listed(wrong, MOST)} are beyond their limits")


def _distribution(given: Compared) -> None:
    names, seen, usual = given.usual
    found = list(_unusual(names, seen, usual))
    given_commands = given.statistics["commands"]
    numbers = {key: np.array(given_commands[key]) for key in ("low", "high")}
    of = [f"command of {name}" for name in given.log.actuators]
    found += _unusual(of, given.log.commands, numbers)
    found.sort(key=lambda one: -one[0])
    more = f"; and {len(found) - MOST} others" if len(found) > MOST else ""
    require(not found, "; ".join(message for _, message in found[:MOST]) + more)


def _unusual(
    names: Sequence[str], seen: Array, usual: dict[str, Array]
) -> Iterator[tuple[float, str]]:
    """The share of unusual rows of columns that have many, and what to say of them."""
    for name, values, low, high in zip(names, seen.T, usual["low"], usual["high"], strict=True):
        share = _outside(values, low, high)
        if share > OUTSIDE:
            cause = "; is it in degrees?" if _is_in_degrees(values, low, high) else ""
            least, most = np.quantile(values, (0.05, 0.95))
            yield (
                share,
                f"{name} is {least:.3g} to {most:.3g}, in training {low:.3g} to {high:.3g}{cause}",
            )


def _is_in_degrees(values: Array, low: float, high: float) -> bool:
    """Whether a column is as large as if it were."""
    large = np.quantile(np.abs(values), 0.95) > FAR * max(abs(low), abs(high))
    return bool(large) and _outside(values / DEGREES, low, high) <= OUTSIDE


def _outside(values: Array, low: float, high: float) -> float:
    room = BEYOND * (high - low) + 1e-6 * (1 + abs(low) + abs(high))
    return float(((values < low - room) | (values > high + room)).mean())


def _joints(given: Compared) -> None:
    given.require_named()
    names, _ = observed(given.log)
    pairs, usual = joint_pairs(given.contract, names), given.statistics["joints"]
    shown = episodes(given.log, range(len(names)))
    slopes = slopes_of(shown, [pairs[joint] for joint in usual["names"]])
    low, high = np.array(usual["low"]), np.array(usual["high"])
    room = BEYOND * np.maximum(np.abs(low), np.abs(high))
    rows: Sequence[Any] = [usual["names"], slopes, low - room, high + room, low, high]
    wrong = [
        f"the position of {joint} changes by {slope:.2g} of its velocity in a step, in training "
        f"by {least:.2g} to {most:.2g}"
        for joint, slope, bottom, top, least, most in zip(*rows, strict=True)
        if not bottom <= slope <= top
    ]
    require(not wrong, f"{'; '.join(wrong[:MOST])}: reversed, in another unit, or of another joint")


def _response(given: Compared) -> None:
    response, shown = given.response
    usual = given.statistics["response"]
    names = channel_names(given.contract, usual["columns"])
    faults = found_faults(response, shown, np.array(usual["score"]), names, given.in_degrees)
    require(not faults, "; ".join(faults))


def _offsets(given: Compared) -> None:
    response, shown = given.response
    usual = given.statistics["response"]
    shifts, most = response.shifts(shown), SHIFTED * np.array(usual["shift"])
    ratio = np.abs(shifts) / np.maximum(most, 1e-9)
    worst = int(np.argmax(ratio))
    names = channel_names(given.contract, usual["columns"])
    require(
        ratio[worst] <= 1,
        f"{names.columns[worst]} seems to be shifted by {shifts[worst]:.2g}; in training by up to "
        f"{most[worst] / SHIFTED:.2g}",
    )


def _latency(given: Compared) -> None:
    response, shown = given.response
    dt = given.contract["control_dt"]
    low, high = (float(one) for one in given.statistics["response"]["late"])
    late = response.late(shown)
    require(
        low - LATER <= late <= high + LATER,
        f"commands act {1e3 * dt * late:.3g} ms later than in the mean of the training; its "
        f"worlds: {1e3 * dt * low:.3g} to {1e3 * dt * high:.3g} ms",
    )


def _first(given: Compared) -> None:
    given.require_named()
    names, seen = observed(given.log)
    wrong: list[str] = []
    for row in given.log.starts[:STARTS]:
        shown = dict(zip(names, seen[row].tolist(), strict=True))
        commands = first_commands(given.controller, given.contract, shown)
        wrong += [] if commands is None else unusual_commands(commands, given.contract)
    require(not wrong, "; ".join(wrong[:MOST]))


LOG_CHECKS: dict[str, Callable[[Compared], None]] = {
    "log: channels": _channels,
    "log: units": _units,
    "log: rate": _rate,
    "log: jitter": _jitter,
    "log: dead channels": _dead,
    "log: saturation": _saturation,
    "log: smoothness": _smoothness,
    "log: command limits": _limits,
    "log: distribution": _distribution,
    "log: first commands": _first,
    "log: joints": _joints,
    "log: response": _response,
    "log: offsets": _offsets,
    "log: latency": _latency,
}
"""What of a log is compared, by name."""
