"""Combined challenges of the Real-World RL suite (Dulac-Arnold et al. 2020, arXiv:2003.11881).

The numbers are those of `get_combined_challenge` in the suite's `environments/realworld_env.py`;
delays and lapses are in control steps there, and here in seconds of the task's control step. The
action noise is in units of half the control range, which is 1 in the suite. What is perturbed is,
where the suite has the same robot, what it perturbs there: the pole of the cart-pole
(`environments/cartpole.py`) and the contact friction of the humanoid (`humanoid.py`, relative to
0.7). Other robots take their friction, density or damping with the humanoid's relative ranges;
thighs and shins are not lengthened as in the suite, because Gymnasium's robots would start inside
the floor. Observations that mean nothing, a challenge to the network and not to the world, are
left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.task import Task


@dataclass(frozen=True)
class Challenge:
    """One level of difficulty: delays and lapses in control steps, noises as deviations."""

    action_delay: int
    observation_delay: int
    reward_delay: int
    noise: float
    probability: float
    steps: int
    repeat: int
    length: tuple[float, float]
    friction: tuple[float, float]


CHALLENGES = {
    "easy": Challenge(3, 3, 10, 0.1, 0.01, 1, 1, (0.9, 1.1), (0.6 / 0.7, 0.8 / 0.7)),
    "medium": Challenge(6, 6, 20, 0.3, 0.05, 5, 2, (0.7, 1.7), (0.5 / 0.7, 0.9 / 0.7)),
    "hard": Challenge(9, 9, 40, 1.0, 0.1, 10, 3, (0.5, 2.3), (0.4 / 0.7, 1.0 / 0.7)),
}

_FRICTION = {"field": "geom_friction", "component": "sliding", "shared": True}
_DAMPING = {"field": "dof_damping", "shared": True}
_POLE = {"field": "link_length", "of": ["pole"]}
_PERTURBED: dict[str, dict[str, Any]] = {
    "ant": _FRICTION,
    "cartpole": _POLE,
    "half_cheetah": _FRICTION,
    "hopper": _FRICTION,
    "humanoid": _FRICTION,
    "inverted_double_pendulum": _DAMPING,
    "inverted_pendulum": _POLE,
    "pusher": _DAMPING,
    "quadruped": _FRICTION,
    "reacher": _DAMPING | {"of": ["joint0", "joint1"]},
    "swimmer": {"field": "opt.density"},
    "walker2d": _FRICTION,
}


def names(task: Task) -> tuple[str, ...]:
    """The presets, the same for every task."""
    return tuple(CHALLENGES)


def build(task: Task, name: str) -> dict[str, Any]:
    """The plain data of a challenge for `task`; KeyError for another name."""
    challenge = CHALLENGES[name]
    lapse = {"steps": challenge.steps}
    actuation: list[dict[str, Any]] = [{"delay": challenge.action_delay * task.control_dt}]
    actuation += [
        {"noise": {"normal": [0.0, challenge.noise * half]}, "of": actuators}
        for half, actuators in _half_ranges(task).items()
    ]
    if challenge.repeat > 1:
        actuation.append({"repeat": challenge.repeat})
    sensing: list[dict[str, Any]] = [
        {"delay": challenge.observation_delay * task.control_dt},
        {"noise": {"normal": [0.0, challenge.noise]}},
        {"dropped": challenge.probability, **lapse},
        {"held": challenge.probability, **lapse},
        {"reward_delay": challenge.reward_delay * task.control_dt},
    ]
    return {
        "about": f"The {name} combined challenge of the Real-World RL suite.",
        "dynamics": _perturbation(task, challenge),
        "actuation": actuation,
        "sensing": sensing,
    }


def _perturbation(task: Task, challenge: Challenge) -> list[dict[str, Any]]:
    parameter = _PERTURBED.get(task.name)
    if parameter is None:  # a task of the user: its parts are not known here
        return []
    ends = challenge.length if parameter is _POLE else challenge.friction
    return [{**parameter, "scale": {"uniform": list(ends)}}]


def _half_ranges(task: Task) -> dict[float, list[str]]:
    """Half the control range -> the actuators that have it; none named where all have the same."""
    model = task.compile()
    limited = model.actuator_ctrllimited.astype(bool)
    halves = np.where(limited, np.ptp(model.actuator_ctrlrange, axis=1) / 2, 1.0).tolist()
    if len(set(halves)) == 1:
        return {halves[0]: []}
    groups: dict[float, list[str]] = {}
    for index, half in enumerate(halves):
        groups.setdefault(half, []).append(model.actuator(index).name or f"#{index}")
    return groups
