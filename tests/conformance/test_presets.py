"""Every preset of every task: it fits, it acts, and the physics bears it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.domains.presets import preset_names
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

PRESETS = [(task, name) for task in task_names() for name in preset_names(load_task(task))]
CHALLENGES = [(task, "rwrl:easy") for task in task_names()]
STEPS, LONG = 40, 150
"""Control steps; the longer ones are for lapses with a probability of 0.01 a step."""


def trajectory(
    task: str, domain: str | Domain | None, bent: float = 0.0, count: int = STEPS
) -> np.ndarray:
    """Observations and rewards under random actions, without resets; (steps, n, k).

    The joints start `bent` towards the upper (1) or lower (-1) end of their nominal ranges.
    """
    simulation = Simulation(task, domain, num_envs=2, seed=1, threads=1)
    model = load_task(task).compile()
    qpos = simulation.qpos.copy()
    for joint in np.flatnonzero(model.jnt_limited) if bent else ():
        low, high = model.jnt_range[joint]
        qpos[:, model.jnt_qposadr[joint]] = (low + high) / 2 + bent * (high - low) / 2
    simulation.write_state(qpos, simulation.qvel.copy())
    rng = np.random.default_rng(0)
    space = simulation.action_space
    steps = []
    for action in rng.uniform(space.low, space.high, (count, 2, *space.shape)):
        transition = simulation.advance(action)
        assert not transition.unstable.any()
        steps.append(np.column_stack([transition.observation, transition.reward]))
    return np.stack(steps)


@functools.cache
def nominal(task: str, bent: float = 0.0, count: int = STEPS) -> np.ndarray:
    return trajectory(task, None, bent, count)


@pytest.mark.parametrize(("task", "name"), PRESETS)
def test_it_fits_acts_and_stays_stable(task: str, name: str) -> None:
    assert load_domain(task, name).about.endswith(".")
    bents = (-0.95, 0.95) if "kinematic" in name else (0.0,)  # ranges act at their ends
    moved = [np.abs(trajectory(task, name, bent) - nominal(task, bent)) for bent in bents]
    assert max(difference.max() for difference in moved) > 1e-3


def parts(domain: Domain) -> Iterator[tuple[str, Domain]]:
    for section in ("dynamics", "actuation", "sensing"):
        for entry in getattr(domain, section):
            yield entry.describe(), Domain.model_validate({section: (entry,)})


@pytest.mark.parametrize(("task", "name"), CHALLENGES)
def test_every_part_of_a_challenge_acts(task: str, name: str) -> None:
    found = list(parts(load_domain(task, name)))
    assert len(found) >= 7  # two delays, a late reward, noises and lapses, and what is perturbed
    for words, alone in found:
        acts = any(
            np.abs(trajectory(task, alone, count=count) - nominal(task, count=count)).max() > 1e-3
            for count in (STEPS, LONG)
        )
        assert acts, words
