"""One suite for every shipped task: a new task writes no test of its own to be held to this."""

from __future__ import annotations

import copy
import inspect
import re

import mujoco
import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.evaluation.task_checks import TASK_CHECKS, random_actions
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from sim2real.task import whole_steps

TASKS = task_names()
WITH_OPTIONS = [(name, {}) for name in TASKS] + [
    ("ant", {"contact_forces": True}),
    ("humanoid", {"contact_forces": True}),
]
NEVER_MOVE = {"pusher": {19, 20, 21, 22}}
"""Observation elements that Gymnasium's task holds still: the object's height, and the goal."""

every_task = pytest.mark.parametrize("name", TASKS)
every_variant = pytest.mark.parametrize(
    ("name", "options"),
    WITH_OPTIONS,
    ids=[f"{name}{len(given) or ''}" for name, given in WITH_OPTIONS],
)


def simulate(name: str, domain: str | None = None, num_envs: int = 4, seed: int = 0) -> Simulation:
    return Simulation(name, domain, num_envs=num_envs, seed=seed, threads=1)


def rollout(simulation: Simulation, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observations (steps + 1, n, k) and rewards (steps, n), with resets."""
    transitions = []
    first = simulation.observation
    for action in actions:
        transitions.append(simulation.step(action))
    observations = [first, *(transition.observation for transition in transitions)]
    return np.stack(observations), np.stack([transition.reward for transition in transitions])


@every_task
def test_it_is_named_after_its_file(name: str) -> None:
    task = load_task(name)
    assert task.reference == task.name == name
    assert type(task).__name__ == "".join(part.capitalize() for part in name.split("_"))
    assert not any(task.options.values())


TERMS = ("reward terms", "names of terms", "terms are finite", "worlds are independent")
"""The checks of what an option changes; with options the others are slow."""


@pytest.mark.parametrize(
    ("check", "name", "options"),
    [
        slow_unless(not options or check in TERMS, check, name, options)
        for name, options in WITH_OPTIONS
        for check in TASK_CHECKS
    ],
)
def test_checks_of_users(check: str, name: str, options: dict[str, object]) -> None:
    TASK_CHECKS[check](load_task(name, **options))


def documented(name: str) -> tuple[set[int], dict[int, str]]:
    """What the tables of the task's docstring tell: action indices, observation index -> term."""
    document = inspect.getdoc(type(load_task(name))) or ""
    actions: set[int] = set()
    observations: dict[int, str] = {}
    heading = ""
    for line in document.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split("|")]
        if cells[0] in ("action", "index"):
            heading = cells[0]
        numbers = re.fullmatch(r"(\d+)(?:(?:-|, )(\d+))?", cells[0])
        if not numbers:
            continue
        low, high = int(numbers[1]), int(numbers[2] or numbers[1])
        for index in range(low, high + 1):
            if heading == "action":
                actions.add(index)
            else:
                observations[index] = cells[1]
    return actions, observations


@every_variant
def test_the_docstring_states_every_action_and_observation(
    name: str, options: dict[str, object]
) -> None:
    simulation = Simulation(load_task(name, **options), threads=1)
    actions, observations = documented(name)
    wanted = "the docstring needs tables `action | ...` and `index | term | ...`, as in cartpole.py"
    assert actions == set(range(simulation.model.nu)), wanted
    term_names = [term.name for term in simulation.observation_terms for _ in range(term.size)]
    assert [observations.get(index) for index in range(len(term_names))] == term_names, wanted


@every_variant
def test_the_specs_are_kept(name: str, options: dict[str, object]) -> None:
    simulation = Simulation(load_task(name, **options), num_envs=3, threads=1)
    size = simulation.observation_space.shape[0]
    for action in random_actions(simulation, 60):
        transition = simulation.step(action)
        assert transition.observation.shape == (3, size)
        assert transition.observation.dtype == np.float64
        assert all(simulation.observation_space.contains(row) for row in transition.observation)
        assert transition.reward.shape == (3,)
        assert transition.reward.dtype == np.float64
        assert np.isfinite(transition.reward).all()
        total = sum(term.astype(np.float64) for term in transition.terms.values())
        np.testing.assert_array_equal(total, transition.reward)
        assert transition.terminated.dtype == transition.truncated.dtype == np.bool_
        assert not transition.unstable.any()


@every_task
def test_no_observation_element_is_constant(name: str) -> None:
    simulation = simulate(name, "randomized", num_envs=8)
    # A slow push after the other reaches further than noise does: rails end, joints hit limits.
    actions = np.repeat(random_actions(simulation, 20), 10, axis=0)
    seen = [simulation.advance(action).observation for action in actions]
    spread = np.ptp(np.concatenate(seen), axis=0)
    assert set(np.flatnonzero(spread < 1e-9)) == NEVER_MOVE.get(name, set())


@every_task
def test_the_control_step_is_a_multiple_of_the_physics_step(name: str) -> None:
    task = load_task(name)
    substeps = whole_steps(task.control_dt, task.compile().opt.timestep, "control step")
    assert substeps * task.compile().opt.timestep == task.control_dt  # to the last bit
    assert whole_steps(task.episode_s, task.control_dt, "episode") > 1


@every_task
def test_dense_and_sparse_jacobians_agree(name: str) -> None:
    """MuJoCo 4.0.0 has a known solver bug with sparse constraint Jacobians; no task shows it.

    Below 60 degrees of freedom `auto` is dense in any case. The accelerations are compared in the
    states of one dense trajectory, so that rounding has no time to grow.
    """
    dense = load_task(name).compile()
    assert dense.opt.jacobian == mujoco.mjtJacobian.mjJAC_AUTO
    assert dense.nv < 60
    sparse = copy.copy(dense)
    dense.opt.jacobian = mujoco.mjtJacobian.mjJAC_DENSE
    sparse.opt.jacobian = mujoco.mjtJacobian.mjJAC_SPARSE
    data, other = mujoco.MjData(dense), mujoco.MjData(sparse)
    rng = np.random.default_rng(0)
    for _ in range(500):
        data.ctrl = rng.uniform(*dense.actuator_ctrlrange.T)
        mujoco.mj_copyData(other, dense, data)
        mujoco.mj_forward(dense, data)
        mujoco.mj_forward(sparse, other)
        scale = 1 + np.abs(data.qacc).max()
        np.testing.assert_allclose(other.qacc / scale, data.qacc / scale, rtol=0, atol=1e-10)
        mujoco.mj_step(dense, data)


@every_task
def test_the_camera_settings_are_mujocos(name: str) -> None:
    camera, settings = mujoco.MjvCamera(), load_task(name).camera
    assert settings
    for setting in settings:
        assert hasattr(camera, setting)


@every_variant
def test_privileged_columns_follow_and_change_nothing(
    name: str, options: dict[str, object]
) -> None:
    task = load_task(name, **options)
    plain = Simulation(task, "randomized", 3, seed=1, threads=1)
    full = Simulation(task, "randomized", 3, seed=1, threads=1, privileged=True)
    size = plain.observation_space.shape[0]
    assert full.observation_terms[: len(plain.observation_terms)] == plain.observation_terms
    columns = sum(term.size for term in full.observation_terms)
    assert full.observation_space.shape == (columns,)
    actions = random_actions(plain, 40)
    expected, expected_rewards = rollout(plain, actions)
    seen, rewards = rollout(full, actions)
    np.testing.assert_array_equal(seen[..., :size], expected)
    np.testing.assert_array_equal(rewards, expected_rewards)
    assert np.isfinite(seen).all()
    np.testing.assert_array_equal(seen[-1, :, -len(full.context_names) :], full.context)
