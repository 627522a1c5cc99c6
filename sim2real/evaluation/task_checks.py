"""Checks of a task: what every shipped task fulfils, and what `sim2real check` tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from sim2real.checks import require
from sim2real.simulation import Simulation
from sim2real.simulation.episode import Transition
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.task import Array, Task, whole_steps

TERM = re.compile(r"[a-z][a-z0-9_]*")


def simulate(task: Task, num_envs: int = 3, seed: int = 0) -> Simulation:
    """A simulation of `task` in its nominal domain on one thread."""
    return Simulation(task, num_envs=num_envs, seed=seed, threads=1)


def random_actions(simulation: Simulation, steps: int, seed: int = 0) -> Array:
    """Uniform actions over the action space, (steps, n, k) float32."""
    space = simulation.action_space
    shape = (steps, simulation.num_envs, *space.shape)
    actions = np.random.default_rng(seed).uniform(space.low, space.high, shape)
    return actions.astype(np.float32)


def transitions(simulation: Simulation, steps: int) -> Iterator[Transition]:
    """What random actions lead to; the simulation resets ended episodes."""
    return map(simulation.step, random_actions(simulation, steps))


def check_control_step(task: Task) -> None:
    """The control step is a multiple of the physics step, and the episode of the control step."""
    whole_steps(task.control_dt, task.compile().opt.timestep, "control step")
    steps = whole_steps(task.episode_s, task.control_dt, "episode")
    require(steps > 1, f"an episode has {steps} control step; raise episode_s")


def check_term_names(task: Task) -> None:
    """Observation and reward terms have names in lower case."""
    simulation = simulate(task)
    (transition,) = transitions(simulation, 1)
    for name in [*(term.name for term in simulation.observation_terms), *transition.terms]:
        require(TERM.fullmatch(name), f"term {name!r}: use lower case letters, digits and _")


def check_terms(task: Task) -> None:
    """Over 200 random steps all terms are finite and of constant size, and the physics stable."""
    simulation = simulate(task)
    size = sum(term.size for term in simulation.observation_terms)
    for transition in transitions(simulation, 200):
        observed = transition.observation
        require(observed.shape == (3, size), f"observations of 3 worlds: {observed.shape}")
        require(transition.reward.shape == (3,), f"rewards of 3 worlds: {transition.reward.shape}")
        for name, term in transition.terms.items():
            require(np.isfinite(term).all(), f"reward term {name!r} is not finite")
        require(not transition.unstable.any(), "random actions make the physics unstable")


def check_seeds(task: Task) -> None:
    """The same seed gives the same trajectory, bit for bit, and another seed another one."""
    first, again, other = (_trajectory(task, seed) for seed in (5, 5, 6))
    require(np.array_equal(first, again), "two runs of one seed differ: draw from `rng` alone")
    require(not np.array_equal(first, other), "two seeds start alike: draw start states in start()")


def _trajectory(task: Task, seed: int) -> Array:
    simulation = simulate(task, seed=seed)
    start = simulation.observation.copy()
    return np.stack([start, *(one.observation for one in transitions(simulation, 50))])


def check_worlds(task: Task) -> None:
    """A world does not depend on the worlds beside it in the batch."""
    together, alone = simulate(task, 3), simulate(task, 1)
    alone.reset(episodes=[2])
    for action in random_actions(together, 50):
        many, one = together.advance(action), alone.advance(action[2:])
        same = np.array_equal(many.observation[2:], one.observation)
        same &= np.array_equal(many.reward[2:], one.reward)
        same &= np.array_equal(many.terminated[2:], one.terminated)
        require(same, "a world differs from the same world alone: compute row by row")


def check_start(task: Task) -> None:
    """Start states differ, and none has failed."""
    simulation = simulate(task, 8)
    states = np.hstack([simulation.qpos, simulation.qvel])
    require(len(np.unique(states, axis=0)) == 8, "start states are alike: draw them in start()")
    require(not task.failed(simulation).any(), "an episode starts failed: see failed() and start()")


def check_gymnasium(task: Task) -> None:
    """Gymnasium's `check_env` passes without a warning, with actions in [-1, 1]."""
    from gymnasium.utils.env_checker import check_env

    check_env(Sim2RealEnv(task, actions="normalized"), skip_render_check=True)


def check_sb3(task: Task) -> None:
    """Stable-baselines3's `check_env` passes without a warning, with actions in [-1, 1]."""
    from stable_baselines3.common.env_checker import check_env

    check_env(Sim2RealEnv(task, actions="normalized"))


TASK_CHECKS: Mapping[str, Callable[[Task], None]] = {
    "control step": check_control_step,
    "names of terms": check_term_names,
    "terms are finite": check_terms,
    "seeds": check_seeds,
    "worlds are independent": check_worlds,
    "start states": check_start,
    "gymnasium's check_env": check_gymnasium,
    "stable-baselines3's check_env": check_sb3,
}
"""The checks by the names that users see."""
