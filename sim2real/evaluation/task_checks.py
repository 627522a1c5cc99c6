"""Checks of a task, which every shipped task passes and which `sim2real check` runs."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.checks import Check, CheckSkipped, require, run_checks
from sim2real.domains import Domain
from sim2real.simulation import Simulation
from sim2real.simulation.episode import Transition
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.observations import CONTEXT
from sim2real.simulation.rendering import Renderer, RenderingUnavailable
from sim2real.task import Array, Task, World, whole_steps

TERM = re.compile(r"[a-z][a-z0-9_]*")


def simulate(task: Task, num_envs: int = 3, seed: int = 0) -> Simulation:
    """A simulation of `task` in its nominal domain on one thread."""
    return Simulation(task, num_envs=num_envs, seed=seed, threads=1)


def random_actions(simulation: Simulation, steps: int) -> Array:
    """Uniform actions over the action space, (steps, n, k) float32."""
    space = simulation.action_space
    shape = (steps, simulation.num_envs, *space.shape)
    actions = np.random.default_rng(0).uniform(space.low, space.high, shape)
    return actions.astype(np.float32)


def transitions(simulation: Simulation, steps: int) -> Iterator[Transition]:
    """The transitions of random actions; the simulation resets ended episodes."""
    return map(simulation.step, random_actions(simulation, steps))


def check_task(task: Task) -> Iterator[Check]:
    """Run every check of a task; where the reward has a fault, the others with a reward of 0."""
    for name, check in TASK_CHECKS.items():
        for result in run_checks({name: check}, task):
            yield result
            if check is check_reward and not result.passed:
                task = _with_reward(task, _no_reward)


def _with_reward(task: Task, reward: Callable[[World, NDArray[Any]], dict[str, Array]]) -> Task:
    """The same task with another reward."""
    changed = copy.copy(task)
    vars(changed)["reward"] = reward
    return changed


def _no_reward(world: World, action: NDArray[Any]) -> dict[str, Array]:
    return {"reward": np.zeros(len(action))}


def check_reward(task: Task) -> None:
    """Over 200 random steps each term of the reward is a finite number for each world."""
    problems: dict[str, None] = {}

    def watch(world: World, action: NDArray[Any]) -> dict[str, Array]:
        state = np.hstack([world.qpos, world.qvel])
        sound: NDArray[Any] = np.asarray(np.isfinite(state).all(axis=1))
        for name, term in task.reward(world, action).items():
            if problem := _problem_of(np.asarray(term), sound):
                problems[f"reward term {name!r} {problem}"] = None
        return _no_reward(world, action)

    for _ in transitions(simulate(_with_reward(task, watch)), 200):
        pass
    require(not problems, "; ".join(problems))


def _problem_of(term: NDArray[Any], sound: NDArray[Any]) -> str:
    """The fault of a term of the reward, where the state of the worlds is `sound` (n,)."""
    if term.shape != sound.shape:
        return f"has the shape {term.shape} for {len(sound)} worlds; allowed: {sound.shape}"
    if term.dtype.kind not in "fiub":
        return f"is no number: {term.dtype}"
    return "" if np.isfinite(term[sound]).all() else "is not finite"


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


def check_contexts(task: Task) -> None:
    """Episodes in a random domain differ, and each can be had again."""
    masses: Any = {"field": "body_mass", "scale": {"uniform": [0.9, 1.1]}}
    domain = Domain(dynamics=(masses,))
    simulation = Simulation(task, domain, num_envs=3, threads=1)
    first = np.hstack([simulation.context, simulation.observation])
    for transition in transitions(simulation, 20):
        require(np.isfinite(transition.reward).all(), "not finite with masses ± 10 %")
    observation = simulation.reset()
    others = np.hstack([simulation.context, observation])
    require((others != first).any(axis=1).all(), "a new episode has the context of the last one")
    observation = simulation.reset(episodes=[0, 1, 2])
    same = np.array_equal(np.hstack([simulation.context, observation]), first)
    require(same, "an episode starts otherwise the second time: keep no state in the task")


def check_actions(task: Task) -> None:
    """Each action has an effect between the ends of its range."""
    simulation = simulate(task, 2)
    low, high = simulation.action_space.low, simulation.action_space.high
    for index in range(len(low)):
        simulation.reset(episodes=[0, 0])
        actions = np.stack([(low + high) / 2] * 2)
        actions[:, index] = low[index], high[index]
        for _ in range(5):
            simulation.advance(actions)
        states = np.hstack([simulation.qpos, simulation.qvel])
        differ = not np.array_equal(*states)
        require(
            differ,
            f"action {index} has no effect between {low[index]:g} and {high[index]:g}: see the "
            "actuators and control()",
        )


def check_mirror(task: Task) -> None:
    """All that is observed, and each action, has a mirror image, if there is a mirror."""
    if task.mirror is None:
        return
    from sim2real.policies.symmetry import Symmetry, mirroring_of

    simulation = Simulation(task, threads=1, privileged=True)
    terms = [term for term in simulation.observation_terms if term.name != CONTEXT]
    mirroring_of(Symmetry(symmetry="augment"), task, terms, simulation.action_range)


def check_training(task: Task) -> None:
    """64 steps of PPO with Stable-baselines3 leave finite weights."""
    from stable_baselines3 import PPO

    from sim2real.policies.adam import Adam

    env = SimVecEnv(Simulation(task, num_envs=2, threads=1, actions="normalized"))
    learner = PPO(
        "MlpPolicy",
        env,
        n_steps=16,
        batch_size=16,
        n_epochs=2,
        policy_kwargs={"optimizer_class": Adam},
        seed=0,
        device="cpu",
    )
    learner.learn(64)
    finite = all(bool(one.isfinite().all()) for one in learner.policy.parameters())
    require(finite, "training leads to weights that are not finite: scale rewards and observations")


def check_rendering(task: Task) -> None:
    """A frame shows more than one colour."""
    try:
        renderer = Renderer(simulate(task, 1))
    except RenderingUnavailable as error:
        raise CheckSkipped(str(error)) from None
    frame = renderer.frame()
    renderer.close()
    require(frame.min() < frame.max(), "a frame has one colour: see `camera`, and the lights")


def check_gymnasium(task: Task) -> None:
    """Gymnasium's `check_env` passes without a warning, with actions in [-1, 1]."""
    from gymnasium.utils.env_checker import check_env

    check_env(Sim2RealEnv(task, actions="normalized"), skip_render_check=True)


def check_sb3(task: Task) -> None:
    """Stable-baselines3's `check_env` passes without a warning, with actions in [-1, 1]."""
    from stable_baselines3.common.env_checker import check_env

    check_env(Sim2RealEnv(task, actions="normalized"))


TASK_CHECKS: Mapping[str, Callable[[Task], None]] = {
    "reward terms": check_reward,
    "control step": check_control_step,
    "names of terms": check_term_names,
    "terms are finite": check_terms,
    "seeds": check_seeds,
    "worlds are independent": check_worlds,
    "start states": check_start,
    "contexts": check_contexts,
    "range of the actions": check_actions,
    "mirror": check_mirror,
    "gymnasium's check_env": check_gymnasium,
    "stable-baselines3's check_env": check_sb3,
    "training": check_training,
    "rendering": check_rendering,
}
"""The checks by the names that users see."""
