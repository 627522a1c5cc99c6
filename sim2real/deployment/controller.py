"""A whole controller as one graph: readings of a robot in, commands of its actuators out.

    o_t     = history of (offset + scale readings, the action before)
    a_t     = policy(o_t)
    command = clip(base + scale a_t, limits)

What must be remembered from one control step to the next, the history and the action before, is
one array that goes in and comes out. At the first step of an episode (`first` is 1) it is not
read: the history is filled with what is observed, and the action before is 0, as in a simulation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sim2real.deployment.actor import Actor
from sim2real.deployment.names import ACTIONS as ACTIONS
from sim2real.deployment.names import COMMANDS as COMMANDS
from sim2real.deployment.names import FIRST as FIRST
from sim2real.deployment.names import NEXT_STATE as NEXT_STATE
from sim2real.deployment.names import OBSERVATION as OBSERVATION
from sim2real.deployment.names import POSITIONS as POSITIONS
from sim2real.deployment.names import STATE as STATE
from sim2real.deployment.names import VELOCITIES as VELOCITIES
from sim2real.deployment.probing import Command, Reading
from sim2real.simulation.history import OBSERVED, newest_of
from sim2real.task import Array, IntArray, ObservationTerm

_QUANTITY = {"position": POSITIONS, "velocity": VELOCITIES}


@dataclass(frozen=True)
class Wiring:
    """How inputs become observations: present number i is offset[i] + scale[i] x[index[i]].

    x are the numbers of the `inputs`, names of their numbers by name of the input, side by side,
    and behind them the action before. `sizes` and `steps` are those of each term.
    """

    inputs: dict[str, list[str]]
    index: IntArray
    scale: Array
    offset: Array
    sizes: tuple[int, ...]
    steps: tuple[int, ...]
    remembers_action: bool

    @property
    def width(self) -> int:
        """How many numbers the inputs have together."""
        return sum(len(names) for names in self.inputs.values())

    @property
    def stacked(self) -> int:
        """How many numbers of histories are remembered."""
        return sum(size * n for size, n in zip(self.sizes, self.steps, strict=True) if n > 1)


def wiring_of(
    terms: Sequence[ObservationTerm],
    readings: Mapping[str, list[Reading | None]],
    actions: int,
    sensed: Collection[str] = (),
) -> Wiring:
    """The wiring of observation `terms` where `readings` of joints are known, of `actions`.

    The action before comes from the controller itself, unless it is `sensed`.
    """
    present = {term.name: [term.labels[i] for i in newest_of(term)] for term in terms}
    remembered = {name for name in OBSERVED if name not in sensed}
    own = {name for name in remembered & present.keys() if len(present[name]) == actions}
    known: dict[str, Sequence[Reading | None]] = {
        name: readings.get(name) or [None] * len(labels) for name, labels in present.items()
    }
    inputs: dict[str, list[str]] = {POSITIONS: [], VELOCITIES: []}
    for name, labels in present.items():
        for label, reading in zip(labels, known[name], strict=True):
            if reading is not None:
                names = inputs[_QUANTITY[reading.quantity]]
                names += [reading.joint] if reading.joint not in names else []
            elif name not in own:
                inputs.setdefault(name, []).append(label)
    inputs = {name: names for name, names in inputs.items() if names}
    flat = [(name, number) for name, names in inputs.items() for number in names]
    index: list[int] = []
    for name, labels in present.items():
        for place, (label, reading) in enumerate(zip(labels, known[name], strict=True)):
            if reading is not None:
                index.append(flat.index((_QUANTITY[reading.quantity], reading.joint)))
            else:
                index.append(len(flat) + place if name in own else flat.index((name, label)))
    affine = [one for name in present for one in known[name]]
    return Wiring(
        inputs,
        np.array(index),
        np.array([1.0 if one is None else one.scale for one in affine]),
        np.array([0.0 if one is None else one.offset for one in affine]),
        tuple(len(labels) for labels in present.values()),
        tuple(term.size // len(present[term.name]) for term in terms),
        bool(own),
    )


class Controller(nn.Module):
    """The `actor` between readings and commands.

    `onto` are half the width and the middle of the task's range: from the policy's to its actions.
    """

    index: Tensor
    scale: Tensor
    offset: Tensor
    stretch: Tensor
    middle: Tensor
    base: Tensor
    gain: Tensor
    least: Tensor
    most: Tensor

    def __init__(
        self, actor: Actor, wiring: Wiring, onto: tuple[Array, Array], command: Command | None
    ) -> None:
        super().__init__()
        self.actor, self.wiring = actor, wiring
        self.commands, self.steps_from = command is not None, -1
        numbers: dict[str, Any] = {"scale": wiring.scale, "offset": wiring.offset}
        numbers |= dict(zip(("stretch", "middle"), onto, strict=True))
        if command is not None:
            numbers |= {"base": command.offset, "gain": command.scale}
            numbers |= {"least": command.low, "most": command.high}
            if command.term is not None:
                self.steps_from = _place(wiring, command.term)
        for name, values in numbers.items():
            self.register_buffer(name, torch.as_tensor(values, dtype=torch.float32))
        self.register_buffer("index", torch.from_numpy(wiring.index))
        self.state_size = wiring.stacked + len(onto[0]) * wiring.remembers_action
        self.eval()

    @property
    def input_names(self) -> list[str]:
        """In the order of the arguments."""
        return [*self.wiring.inputs, *([STATE, FIRST] if self.state_size else [])]

    @property
    def output_names(self) -> list[str]:
        """In the order of the results."""
        names = [COMMANDS] if self.commands else []
        return [*names, ACTIONS, OBSERVATION, *([NEXT_STATE] if self.state_size else [])]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """As `output_names` of `input_names`, each (n, ...)."""
        readings = torch.cat(inputs[: len(self.wiring.inputs)], dim=1)
        state, first = inputs[-2:] if self.state_size else (readings, readings)
        observation = self._observe(readings, state, first > 0.5)
        action = self.actor(observation)
        asked = self.middle + self.stretch * action
        found = [action, observation]
        if self.commands:
            at = self.steps_from
            base = self.base if at < 0 else readings[:, at : at + self.base.shape[0]]
            command = torch.minimum(base + self.gain * asked, self.most)
            found.insert(0, torch.maximum(command, self.least))
        if self.state_size:
            lines = [part for part, n in self._parts(observation) if n > 1]
            found.append(torch.cat([*lines, *([asked] if self.wiring.remembers_action else [])], 1))
        return tuple(found)

    def _observe(self, readings: Tensor, state: Tensor, first: Tensor) -> Tensor:
        """The terms with their histories, side by side."""
        known = readings
        if self.wiring.remembers_action:
            before = state[:, self.wiring.stacked :]
            known = torch.cat([known, torch.where(first, 0.0, before)], dim=1)
        present = self.offset + self.scale * known[:, self.index]
        shown, at, line = [], 0, 0
        for size, steps in zip(self.wiring.sizes, self.wiring.steps, strict=True):
            now, at = present[:, at : at + size], at + size
            if steps > 1:
                past, line = state[:, line + size : line + size * steps], line + size * steps
                past = torch.where(first, now.repeat(1, steps - 1), past)
                now = torch.cat([past, now], dim=1)
            shown.append(now)
        return torch.cat(shown, dim=1)

    def _parts(self, observation: Tensor) -> list[tuple[Tensor, int]]:
        """Each term of an observation, and how many control steps it shows."""
        pairs = list(zip(self.wiring.sizes, self.wiring.steps, strict=True))
        parts = torch.split(observation, [size * n for size, n in pairs], dim=1)
        return [(part, n) for part, (_, n) in zip(parts, pairs, strict=True)]


def _place(wiring: Wiring, term: str) -> int:
    """Where the numbers of a term begin among those of the inputs."""
    names = list(wiring.inputs)
    return sum(len(wiring.inputs[name]) for name in names[: names.index(term)])
