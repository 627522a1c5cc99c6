"""The Gymnasium VectorEnv: many worlds behind `gymnasium.make_vec`."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError, unknown
from sim2real.registry import load_task
from sim2real.simulation import Episode, Simulation, Transition
from sim2real.simulation.actions import Actions
from sim2real.simulation.rendering import Renderer
from sim2real.task import Task

Observations = NDArray[np.float64]


class Sim2RealVectorEnv(
    gymnasium.vector.VectorEnv[Observations, NDArray[np.float32], NDArray[Any]]
):
    """`num_envs` worlds of `task` in `domain`; `gymnasium.make_vec("sim2real/Hopper-v0", 64)`.

    What ends is reset in the same step; `info["final_obs"]` and `info["final_info"]` tell how it
    ended, `info["context"]` what the present episodes drew. `threads` and `actions` are those of
    Simulation.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (declared so by Gymnasium)
        "render_modes": ["rgb_array"],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        task: str | Task,
        num_envs: int = 1,
        domain: str | Domain | None = None,
        render_mode: str | None = None,
        threads: int = 0,
        width: int = 480,
        height: int = 480,
        privileged: bool = False,
        actions: Actions = "own",
        **options: Any,
    ) -> None:
        if render_mode not in (None, *type(self).metadata["render_modes"]):
            raise unknown("render_mode", render_mode, type(self).metadata["render_modes"])
        self.simulation = Simulation(
            load_task(task, **options),
            domain,
            num_envs,
            threads=threads,
            privileged=privileged,
            actions=actions,
        )
        self.num_envs = num_envs
        self.single_observation_space = self.simulation.observation_space
        self.single_action_space = self.simulation.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": round(1 / self.simulation.dt)}
        self.width, self.height = width, height
        self._renderer: Renderer | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Start the next episode of every world; with `seed`, the first ones of that seed."""
        super().reset(seed=seed)
        return self.simulation.restart(seed), self._context_info()

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Observations, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One control step of every world: observation, reward, terminated, truncated, info."""
        transition = self.simulation.step(actions)
        info = self._context_info() | {"unstable": transition.unstable}
        if len(transition.ended):
            info |= self._final_info(transition)
        return (
            transition.observation,
            transition.reward,
            transition.terminated,
            transition.truncated,
            info,
        )

    def _context_info(self) -> dict[str, Any]:
        names, columns = self.simulation.context_names, self.simulation.context.T.copy()
        return {
            "context": dict(zip(names, columns, strict=True)),
            "_context": np.ones(self.num_envs, dtype=bool),
        }

    def _final_info(self, transition: Transition) -> dict[str, Any]:
        ended = np.zeros(self.num_envs, dtype=bool)
        ended[transition.ended] = True
        observations = np.full(self.num_envs, None, dtype=object)
        for row, world in enumerate(transition.ended):
            observations[world] = transition.final_observation[row]
        final: dict[str, Any] = {}
        for episode in transition.episodes:
            final = self._add_info(final, _episode_info(episode), episode.world)
        return {
            "final_obs": observations,
            "_final_obs": ended,
            "final_info": final,
            "_final_info": ended,
        }

    def render(self) -> tuple[NDArray[np.uint8], ...]:
        """A picture (height, width, 3) of every world."""
        if self.render_mode is None:
            raise UserError("make the environment with render_mode='rgb_array' to render it")
        if self._renderer is None:
            self._renderer = Renderer(self.simulation, self.width, self.height)
        return tuple(self._renderer.frame(world) for world in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """End the simulation and its threads; give the OpenGL context back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self.simulation.close()


def _episode_info(episode: Episode) -> dict[str, Any]:
    return episode.told_success() | {
        "episode": {"r": episode.total, "l": episode.length},
        "context": episode.context,
        "terms": episode.terms,
        "unstable": episode.unstable,
    }
