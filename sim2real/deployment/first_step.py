"""The first control step of an episode: what the controller is given, and what it commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.deployment.names import COMMANDS, FIRST, POSITIONS, STATE, VELOCITIES
from sim2real.runs.session import Arrays
from sim2real.world import Array

Ask = Callable[[Arrays], dict[str, NDArray[np.float32]]]
"""A controller: its outputs by name for its inputs by name."""
BEYOND = 0.5
"""How far a number may be outside of what is usual, in widths of that."""
OF_LIMITS = 0.02
"""And in widths of the limits of a command."""


def usual_first(contract: dict[str, Any]) -> dict[str, float]:
    """The median of each number at the starts of the training: "gyro[0]"."""
    statistics = contract["statistics"]
    names, values = statistics["observations"]["names"], statistics["first"]["observations"]
    return dict(zip(names, values, strict=True))


def first_commands(
    controller: Ask, contract: dict[str, Any], observed: Mapping[str, float]
) -> Array | None:
    """The commands, (nu,), at the first step where this is `observed`; None if it gives none.

    What is not among the `observed` is as at the starts of the training.
    """
    values = usual_first(contract) | dict(observed)
    numbers = _numbers(contract, values)
    inputs = {}
    for one in contract["controller"]["inputs"]:
        name = one["name"]
        row = [numbers[name, number] for number in one.get("numbers", [])]
        if name in (STATE, FIRST):
            row = [float(name == FIRST)] * one["size"]
        inputs[name] = np.array([row], np.float32)
    answers = controller(inputs)
    return np.array(answers[COMMANDS][0], dtype=float) if COMMANDS in answers else None


def unusual_commands(commands: Array, contract: dict[str, Any]) -> Iterator[str]:
    """What to say of each command, (nu,), that is far from those at the starts of the training."""
    action, usual = contract["action"], contract["statistics"]["first"]["commands"]
    low, high = np.array(usual["low"]), np.array(usual["high"])
    room = BEYOND * (high - low) + OF_LIMITS * np.ptp(np.array(action["command_limits"]), axis=1)
    rows: Sequence[Any] = [action["names"], commands, low, high, room]
    for name, value, least, most, slack in zip(*rows, strict=True):
        if not least - slack <= value <= most + slack:
            yield (
                f"the first command of {name} is {value:.3g}; at the starts of the training "
                f"{least:.3g} to {most:.3g}"
            )


def _numbers(contract: dict[str, Any], values: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """The numbers of the controller's inputs, by input and name."""
    found: dict[tuple[str, str], float] = {}
    quantities = {"position": POSITIONS, "velocity": VELOCITIES}
    for term in contract["observation"]["terms"]:
        for k, (label, one) in enumerate(zip(term["columns"], term["joints"], strict=True)):
            value = values.get(f"{term['name']}[{k}]", 0.0)
            found[term["name"], label] = value
            if one is not None:
                place = quantities[one["quantity"]], one["joint"]
                found[place] = (value - one["offset"]) / one["scale"]
    return found
