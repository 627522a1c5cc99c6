"""The Stable-Baselines3 VecEnv: plain SB3 code runs on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import gymnasium
import numpy as np
from gymnasium import Wrapper
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.simulation import Episode, Simulation
from sim2real.simulation.actions import Choice
from sim2real.simulation.front_ends.foreign import find_foreign, foreign_domain
from sim2real.simulation.front_ends.front_end import FrontEnd
from sim2real.simulation.front_ends.reset_options import (
    EPISODE,
    check_options,
    checked_seed,
    episodes_of,
    options_of_worlds,
)
from sim2real.simulation.front_ends.workers import WorkerVecEnv
from sim2real.simulation.observations import Shows
from sim2real.task import IntArray, Task

RENDER_MODES = ("rgb_array",)


class SimVecEnv(VecEnv):
    """A simulation as SB3 wants it.

    Every info has the `context` of its world; at the end of an episode also `terminal_observation`,
    `TimeLimit.truncated`, `episode` (as from SB3's Monitor), `reward_terms`, `failed`, `unstable`;
    and `is_success`, if the task defines it, which SB3 logs as rollout/success_rate.
    """

    def __init__(self, simulation: Simulation, render_mode: str | None = None) -> None:
        self.simulation = simulation
        self._front_end = FrontEnd(simulation, render_mode, RENDER_MODES)
        self._render_mode = render_mode
        self._started = time.time()
        self._actions: NDArray[Any] = np.zeros((0, 0))
        self._ended: tuple[Episode, ...] = ()
        super().__init__(simulation.num_envs, simulation.observation_space, simulation.action_space)
        metadata: dict[str, Any] = self.metadata
        metadata["render_fps"] = round(1 / simulation.dt)

    @property
    def actions(self) -> NDArray[Any]:
        """The actions (n, nu) of the last step, or of the one that is not done yet."""
        return self._actions

    def episodes(self) -> tuple[Episode, ...]:
        """The episodes that ended in the last step."""
        return self._ended

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Begin with the first episodes of `seed` at the next reset; UserError if it is invalid."""
        return super().seed(checked_seed(seed))

    def reset(self) -> NDArray[np.float64]:
        """Start the next episode of every world, the first ones of the seed given to `seed`.

        Or the episodes that `set_options` asked for: {"episode": k} for each world. Raises
        UserError for other options.
        """
        observation = self.simulation.restart(self._seeds[0], self._asked_episodes())
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [{"context": context} for context in self.simulation.contexts()]
        return observation

    def _asked_episodes(self) -> IntArray | None:
        """The episodes in the worlds' options, (n,); None where there are none."""
        given = options_of_worlds(self._options, self.num_envs)
        asked = [check_options(options, [EPISODE]) for options in given]
        if not any(asked):
            return None
        if not all(asked):
            raise UserError(
                f"the options ask for an episode in some worlds; allowed: in each of the "
                f"{self.num_envs}, or in none"
            )
        return episodes_of({EPISODE: [one[EPISODE] for one in asked]}, self.num_envs)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions (n, nu) for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One control step of every world, with what ended reset."""
        contexts = self.simulation.contexts()
        transition = self.simulation.step(self._actions)
        infos: list[dict[str, Any]] = [{"context": context} for context in contexts]
        self._ended = transition.episodes
        for episode, observation in zip(
            transition.episodes, transition.final_observation, strict=True
        ):
            infos[episode.world] |= self._final_info(episode, observation)
        dones = transition.terminated | transition.truncated
        return transition.observation, transition.reward, dones, infos

    def _final_info(self, episode: Episode, observation: NDArray[np.float64]) -> dict[str, Any]:
        more = {"terminal_observation": observation, "reward_terms": episode.terms}
        return episode.monitor_info(time.time() - self._started) | more

    def __repr__(self) -> str:
        return f"SimVecEnv({self.simulation!r})"

    def close(self) -> None:
        """End the simulation and its threads; give the OpenGL context back."""
        self._front_end.close()

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """An image of every world, where made with render_mode="rgb_array"."""
        if self._render_mode is None:
            return [None] * self.num_envs
        return self._front_end.images(range(self.num_envs))

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The value that `set_attr` set, else an attribute of the simulation (or `render_mode`)."""
        return self._front_end.get(attr_name, self._get_indices(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Keep a value of the user's own for each world asked; the others have None.

        Raises AttributeError for what the simulation has: its worlds share it.
        """
        worlds = list(self._get_indices(indices))
        self._front_end.set(attr_name, [value] * len(worlds), worlds)

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of the simulation once; the result is repeated for each world asked."""
        result = getattr(self.simulation, method_name)(*method_args, **method_kwargs)
        return [result for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for SB3's Monitor, whose episode statistics the infos carry; False for others."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]


@overload
def make_vec_env(
    task: Task,
    domain: str | Domain | None = None,
    num_envs: int = 64,
    seed: int = 0,
    threads: int = 0,
    privileged: Shows = False,
    actions: Choice | None = None,
    render_mode: str | None = None,
    history: int = 1,
) -> SimVecEnv: ...


@overload
def make_vec_env(
    task: str | EnvSpec | Callable[[], gymnasium.Env[Any, Any]],
    domain: str | Domain | Mapping[str, Any] | None = None,
    num_envs: int = 64,
    seed: int = 0,
    threads: int = 0,
    privileged: Shows = False,
    actions: Choice | None = None,
    render_mode: str | None = None,
    history: int = 1,
) -> SimVecEnv | WorkerVecEnv: ...


def make_vec_env(
    task: str | Task | EnvSpec | Callable[[], gymnasium.Env[Any, Any]],
    domain: str | Domain | Mapping[str, Any] | None = None,
    num_envs: int = 64,
    seed: int = 0,
    threads: int = 0,
    privileged: Shows = False,
    actions: Choice | None = None,
    render_mode: str | None = None,
    history: int = 1,
) -> SimVecEnv | WorkerVecEnv:
    """An SB3 VecEnv of `num_envs` worlds of `task` in `domain`.

    A task of ours is one Simulation, whose arguments these are: a SimVecEnv. Anything else is a
    foreign environment, in `threads` worker processes: a WorkerVecEnv, each environment in a
    DomainWrapper. A foreign environment is meant by a Gymnasium id, an EnvSpec, a function that
    makes one, or "module:function".

    `actions` are "normalized" to [-1, 1] or in the environment's "own" range. By default those of
    a task of ours are normalized: a VecEnv is there to learn on, and PPO does not find its way in
    a range like 0 to 200. Those of a foreign environment are its own.
    With `render_mode` "rgb_array" there are images, for SB3's VecVideoRecorder.
    Raises UserError for a name that is none of these.
    """
    foreign = find_foreign(task)
    if foreign is None:
        given = actions or "normalized"
        simulation = Simulation(task, domain, num_envs, seed, threads, privileged, given, history)  # type: ignore[arg-type]
        return SimVecEnv(simulation, render_mode)
    if privileged:
        raise UserError(f"{foreign.name} is a foreign environment: it has no privileged terms")
    if history != 1:
        raise UserError(
            f"{foreign.name} is a foreign environment: it has no history; wrap what makes it in "
            "Gymnasium's FrameStackObservation"
        )
    return WorkerVecEnv(
        foreign.rendering(render_mode),
        foreign_domain(domain),
        num_envs,
        seed,
        threads,
        actions=actions or "own",
    )
