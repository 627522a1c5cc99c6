"""The mirrored world of a task is a world of the task: observation, reward, physics, end."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.envs.quadruped import Quadruped
from sim2real.mirror import Reflection
from sim2real.policies.recipe import load_recipe
from sim2real.policies.symmetry import mirroring_of
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from sim2real.task import Task

FREE = "0 -1 2 3 -4 5 -6"
"""A free joint's position and quaternion: across the plane of x and z."""
FREE_RATES = "0 -1 2 -3 4 -5"
STATES = {
    "ant": (f"{FREE} -13 14 -11 12 -9 10 -7 8", f"{FREE_RATES} -12 13 -10 11 -8 9 -6 7"),
    "cartpole": ("-0 -1", "-0 -1"),
    "quadrotor": (FREE, FREE_RATES),
    "quadruped": (
        f"{FREE} -10 11 12 -7 8 9 -16 17 18 -13 14 15",
        f"{FREE_RATES} -9 10 11 -6 7 8 -15 16 17 -12 13 14",
    ),
    "walker2d": ("0 1 2 6 7 8 3 4 5", "0 1 2 6 7 8 3 4 5"),
}
"""The mirrored qpos and qvel of each task that declares a mirror."""
PAIRS = 8
LEGS = ("FR", "FL", "RR", "RL")


def make_symmetric(_: Quadruped, spec: mujoco.MjSpec) -> None:
    """Make the inertias of the quadruped's trunk and calves as symmetric as their shapes."""
    for body in (spec.body("trunk"), *(spec.body(f"{leg}_calf") for leg in LEGS)):
        body.ipos[1] = 0.0
        body.fullinertia[[3, 5]] = 0.0  # xy and yz


def tasks() -> list[str]:
    return [name for name in task_names() if load_task(name).mirror is not None]


def test_every_task_with_a_mirror_is_tested() -> None:
    assert tasks() == sorted(STATES)


def mirrored(row: str, values: Any) -> Any:
    reflection = Reflection.of(row, "a test")
    return values[:, reflection.places] * np.array(reflection.signs)


class Pair:
    """Worlds i and i + PAIRS are mirror images of each other."""

    def __init__(self, task: Task) -> None:
        assert task.mirror is not None
        self.task, self.mirror = task, task.mirror
        self.simulation = Simulation(task, "nominal", 2 * PAIRS, threads=1, privileged=True)
        self.rng = np.random.default_rng(1)

    def actions(self) -> Any:
        low, high = self.simulation.action_range.low, self.simulation.action_range.high
        own = self.rng.uniform(low, high, (PAIRS, len(low)))
        return np.concatenate([own, mirrored(self.mirror.action, own)])

    def reflect(self) -> Any:
        """Put the second half into the mirror images of the first; the observations."""
        world = self.simulation
        for name, row in {"goal": "0 -1 2", "command": "0 -1 -2", "air": "1 0 3 2"}.items():
            if name in world.memory:
                world.memory[name][PAIRS:] = mirrored(row, world.memory[name][:PAIRS])
        world.last_action[PAIRS:] = mirrored(self.mirror.action, world.last_action[:PAIRS])
        if world.model.na:
            world.act[PAIRS:] = mirrored(self.mirror.action, world.act[:PAIRS])
        qpos, qvel = (
            np.concatenate([own[:PAIRS], mirrored(row, own[:PAIRS])])
            for own, row in zip((world.qpos, world.qvel), STATES[self.task.name], strict=True)
        )
        return world.write_state(qpos, qvel)

    def assert_mirrored(self, observation: Any, tolerance: float) -> None:
        """Each term of the second half is the mirror image of the first's."""
        first = 0
        for term in self.simulation.observation_terms:
            if term.name == "truth":
                continue
            columns = observation[:, first : first + term.size]
            first += term.size
            row = Reflection.of(self.mirror.terms[term.name], term.name)
            blocks = Reflection.side_by_side([row] * (term.size // len(row)))
            image = columns[:PAIRS, blocks.places] * np.array(blocks.signs)
            np.testing.assert_allclose(columns[PAIRS:], image, atol=tolerance, err_msg=term.name)


@pytest.mark.parametrize("name", sorted(STATES))
def test_the_mirrored_action_leads_to_the_mirrored_next_state(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quadruped, "edit", make_symmetric)
    pair = Pair(load_task(name))
    world = pair.simulation
    for _ in range(10):  # to states of motion, contacts and commands
        world.step(pair.rng.uniform(-0.5, 0.5, (2 * PAIRS, world.model.nu)))
    pair.assert_mirrored(pair.reflect(), 1e-12)
    alive = np.ones(PAIRS, dtype=bool)
    moved = np.zeros((PAIRS, world.model.nq))
    for _ in range(5):
        before, actions = world.qpos[:PAIRS].copy(), pair.actions()
        transition = world.advance(actions)
        ended = transition.terminated | transition.truncated
        assert (ended[:PAIRS] == ended[PAIRS:]).all()
        alive &= ~ended[:PAIRS]
        own, image = transition.reward[:PAIRS], transition.reward[PAIRS:]
        np.testing.assert_allclose(own[alive], image[alive], atol=1e-7)
        kept = np.concatenate([alive, alive])
        assert alive.sum() > PAIRS / 2
        seen = np.where(kept[:, None], transition.observation, 0.0)
        pair.assert_mirrored(seen, 1e-6)
        state = STATES[name][0]
        there = mirrored(state, world.qpos[:PAIRS])[alive]
        np.testing.assert_allclose(world.qpos[PAIRS:][alive], there, atol=1e-7)
        moved += np.abs(world.qpos[:PAIRS] - before)
    assert (moved.max(axis=0) > 1e-5).all()  # each number has moved, and none by chance


@pytest.mark.parametrize("name", sorted(STATES))
def test_mirrored_twice_is_the_identity(name: str) -> None:
    task = load_task(name)
    mirror = task.mirror
    assert mirror is not None
    for row in (mirror.action, *mirror.terms.values()):
        once = Reflection.of(row, name)
        values = np.random.default_rng(0).normal(size=(3, len(once)))
        assert len(once) != 1 or row == "-0"
        assert (mirrored(row, mirrored(row, values)) == values).all()


@pytest.mark.parametrize("name", sorted(STATES))
@pytest.mark.parametrize("history", [1, 3])
def test_all_columns_have_a_mirror_image(name: str, history: int) -> None:
    task = load_task(name)
    simulation = Simulation(task, "nominal", threads=1, privileged=True, history=history)
    recipe = load_recipe("ppo", None, {"symmetry": "augment"})
    space = simulation.action_range
    mirroring = mirroring_of(recipe, task, simulation.observation_terms, space)
    assert len(mirroring.observation) == simulation.observation_space.shape[0]
