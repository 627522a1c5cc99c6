"""The second form of an export: a whole controller, compared with a simulation that it drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import BasePolicy

from sim2real.deployment.actor import Actor
from sim2real.deployment.controller import (
    ACTIONS,
    COMMANDS,
    FIRST,
    NEXT_STATE,
    OBSERVATION,
    POSITIONS,
    STATE,
    VELOCITIES,
    Controller,
    Wiring,
    wiring_of,
)
from sim2real.deployment.graph import program, to_onnx
from sim2real.deployment.names import CONTROLLER
from sim2real.deployment.parity import (
    OBSERVATIONS,
    Rows,
    actions_of,
    difference,
    refuse_beyond,
)
from sim2real.deployment.probing import TRIED, command_of, joint_readings, to_task
from sim2real.domains import Domain
from sim2real.evaluation.rollout import simulation_for
from sim2real.runs.session import Session
from sim2real.simulation import Simulation
from sim2real.simulation.history import newest_of
from sim2real.task import ObservationTerm, Task

FILE = CONTROLLER
ROUNDING = 1e-5
"""Largest difference of an observation, as a share of its size and 1: readings are float32."""


def controller_of(policy: BasePolicy, task: Task, domain: Domain) -> Controller:
    """The controller of a `policy` of `task` that was trained in `domain`."""
    simulation = simulation_for(policy, task, domain, TRIED, threads=1)
    terms, named = terms_of(policy, simulation), {n for e in domain.sensing for n in e.of}
    command, onto = command_of(simulation), to_task(simulation)
    given = {term.name for term in terms if term.commanded}
    readings = {n: row for n, row in joint_readings(simulation).items() if n not in given}
    simulation.close()
    if command is not None and command.term in named:
        command = None
    wiring = wiring_of(terms, readings, len(onto[0]), named)
    return Controller(Actor(policy), wiring, onto, command)


def terms_of(policy: BasePolicy, simulation: Simulation) -> tuple[ObservationTerm, ...]:
    """The observation terms that a policy acts on."""
    terms: tuple[ObservationTerm, ...] = getattr(policy, "acting_terms", simulation.policy_terms)
    known = {term.name: term for term in simulation.policy_terms}
    return tuple(known.get(term.name, term) for term in terms)


def controller_onnx(controller: Controller, properties: dict[str, str]) -> bytes:
    """The content of its file."""
    sizes = [len(names) for names in controller.wiring.inputs.values()]
    sizes += [controller.state_size, 1] if controller.state_size else []
    examples = [torch.zeros(2, size) for size in sizes]
    graph = program(controller, examples)
    return to_onnx(graph, controller.input_names, controller.output_names, properties)


@dataclass
class Robot:
    """A simulation that gives the readings of its sensors, as a robot does."""

    simulation: Simulation
    wiring: Wiring
    terms: tuple[ObservationTerm, ...]

    def readings(self, seen: NDArray[np.floating]) -> dict[str, Rows]:
        """The inputs of a controller where a policy would observe `seen`, (n, k)."""
        columns, first = [], 0
        for term in self.terms:
            columns += (first + newest_of(term)).tolist()
            first += term.size
        present = (seen[:, columns] - self.wiring.offset) / self.wiring.scale
        given = np.zeros((len(seen), self.wiring.width))
        for column, place in zip(present.T, self.wiring.index, strict=True):
            if place < self.wiring.width:  # behind is the action before
                given[:, place] = column
        ends = np.cumsum([len(names) for names in self.wiring.inputs.values()])[:-1]
        parts = np.split(given.astype(np.float32), ends, axis=1)
        return dict(zip(self.wiring.inputs, parts, strict=True))


def follow(
    policy: BasePolicy, simulation: Simulation, controller: Controller, session: Session
) -> dict[str, float]:
    """The largest differences of a controller's outputs from those in a `simulation`.

    Its actions are compared with `predict` of what it observes itself. Raises UserError where one
    is too large.
    """
    robot = Robot(simulation, controller.wiring, terms_of(policy, simulation))
    limits = np.array(simulation.model.actuator_ctrlrange)
    half = np.ptp(limits, axis=1) / 2
    worlds = np.arange(simulation.num_envs)
    state = np.zeros((len(worlds), controller.state_size), np.float32)
    first = np.ones((len(worlds), 1), np.float32)
    seen = simulation.reset()
    off = dict.fromkeys(controller.output_names[: 2 + controller.commands], 0.0)
    for _ in range(OBSERVATIONS // len(worlds)):
        kept = {STATE: state, FIRST: first} if controller.state_size else {}
        answer = session(robot.readings(seen) | kept)
        found = {
            ACTIONS: difference(policy, answer[OBSERVATION], answer[ACTIONS], FILE),
            OBSERVATION: float(np.max(np.abs(answer[OBSERVATION] - seen) / (1 + np.abs(seen)))),
        }
        transition = simulation.step(actions_of(policy, seen))
        if controller.commands:
            asked = np.clip(simulation.commanded, *limits.T)
            found[COMMANDS] = float(np.max(np.abs(answer[COMMANDS] - asked) / half))
        off = {name: max(off[name], value) for name, value in found.items()}
        state, seen = answer.get(NEXT_STATE, state), transition.observation
        first = np.isin(worlds, transition.ended)[:, None].astype(np.float32)
    for name, what in ((OBSERVATION, "observations"), (COMMANDS, COMMANDS)):
        refuse_beyond(off.get(name, 0.0), ROUNDING, f"{FILE}: its {what}")
    return off


def described(controller: Controller) -> dict[str, Any]:
    """Its inputs and outputs, for the contract."""
    wiring = controller.wiring
    about = {
        POSITIONS: "positions of these joints, rad or m",
        VELOCITIES: "velocities of these joints, rad/s or m/s",
    }
    inputs: list[dict[str, Any]] = [
        {"name": name, "numbers": names, "about": about.get(name, "of the observation")}
        for name, names in wiring.inputs.items()
    ]
    if controller.state_size:
        inputs.append({"name": STATE, "size": controller.state_size, "about": NEXT_STATE})
        inputs.append({"name": FIRST, "size": 1, "about": "1 at the first control step, then 0"})
    return {"inputs": inputs, "outputs": controller.output_names}
