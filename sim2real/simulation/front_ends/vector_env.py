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
from sim2real.simulation import Transition
from sim2real.simulation.actions import Actions
from sim2real.simulation.front_ends.front_end import FrontEnd, check_mode, make_simulation
from sim2real.simulation.front_ends.image_spaces import ImageSpaces, Seen
from sim2real.simulation.front_ends.reset_options import (
    EPISODE,
    MASK,
    check_options,
    episodes_of,
    mask_of,
    one_seed,
)
from sim2real.simulation.observations import Shows
from sim2real.task import BoolArray, Task


class Sim2RealVectorEnv(gymnasium.vector.VectorEnv[Seen, NDArray[np.float32], NDArray[Any]]):
    """`num_envs` worlds of `task` in `domain`; `gymnasium.make_vec("sim2real/Hopper-v0", 64)`.

    `autoreset_mode` is Gymnasium's. "SameStep", the default: what ends is reset in the same step,
    and `info["final_obs"]` is its last observation. "NextStep", which Gymnasium's
    NormalizeObservation needs: it is reset in the next step, whose action does nothing. "Disabled":
    by `reset(options={"reset_mask": ended})`. In all three `info["final_info"]` has how an
    episode ended, `info["context"]` the draws of the present ones. `threads`, `actions`,
    `privileged` and `history` are those of Simulation; `max_episode_steps` replaces the task's time
    limit. Observations are (n, k) float64, of a task with images a dict (see `image_spaces`).
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
        privileged: Shows = False,
        actions: Actions = "own",
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        history: int = 1,
        **options: Any,
    ) -> None:
        modes = type(self).metadata["render_modes"]
        check_mode(render_mode, modes)
        self.autoreset_mode = _mode(autoreset_mode)
        limit = max_episode_steps
        more = {"privileged": privileged, "actions": actions, "history": history}
        self.simulation = make_simulation(
            task, domain, options, limit, num_envs=num_envs, threads=threads, **more
        )
        self._front_end = FrontEnd(self.simulation, render_mode, modes, (width, height))
        self.num_envs = num_envs
        self._spaces = ImageSpaces(self.simulation.observation_terms)
        self.single_observation_space = self._spaces.space
        self.single_action_space = self.simulation.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = render_mode
        self.metadata = {
            **type(self).metadata,
            "render_fps": round(1 / self.simulation.dt),
            "autoreset_mode": self.autoreset_mode,
        }
        self.width, self.height = width, height
        self._over = np.zeros(num_envs, dtype=bool)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        """Start the next episode of every world; with `seed`, the first ones of that seed.

        `options` may have "reset_mask", (n,) bool, for some worlds alone, and "episode", the
        number of the episode to start: one for the first world, which the others follow, or one for
        each. Raises UserError for other options, and for more than one seed.
        """
        asked = check_options(options, [EPISODE, MASK])
        mask, seed = mask_of(asked, self.num_envs), one_seed(seed)
        if mask is not None and seed is not None and not mask.all():
            raise UserError("a seed is that of all worlds; 'reset_mask' leaves some as they are")
        super().reset(seed=seed)
        if mask is None or mask.all():
            observation = self.simulation.restart(seed, episodes_of(asked, self.num_envs))
        else:
            ids = np.flatnonzero(mask)
            self.simulation.reset(ids, episodes_of(asked, len(ids)))
            observation = self.simulation.observation
        self._over[mask if mask is not None else slice(None)] = False
        return self._spaces.of(observation), self._context_info(mask)

    def step(
        self, actions: NDArray[np.float32]
    ) -> tuple[Seen, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One control step of every world: observation, reward, terminated, truncated, info."""
        if self.autoreset_mode is not AutoresetMode.SAME_STEP:
            return self._step_without_reset(actions)
        transition = self.simulation.step(actions)
        info = self._context_info() | {"unstable": transition.unstable}
        info |= self._final_obs(transition) | self._final_info(transition)
        return (
            self._spaces.of(transition.observation),
            transition.reward,
            transition.terminated,
            transition.truncated,
            info,
        )

    def _step_without_reset(
        self, actions: NDArray[np.float32]
    ) -> tuple[Seen, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """One control step of the worlds that go on; in "NextStep" a reset of those that ended."""
        over = self._over.copy()
        if over.any() and self.autoreset_mode is AutoresetMode.DISABLED:
            worlds = ", ".join(str(world) for world in np.flatnonzero(over))
            raise UserError(
                f"the episodes of the worlds {worlds} are over; call reset(options={{'reset_mask': "
                "ended}) before the next step"
            )
        transition = self.simulation.advance(actions, ~over if over.any() else None)
        observation = transition.observation
        reward, terminated, truncated, unstable = (
            np.where(over, False, values)
            for values in (
                transition.reward,
                transition.terminated,
                transition.truncated,
                transition.unstable,
            )
        )
        if over.any():
            observation = observation.copy()
            observation[over] = self.simulation.reset(np.flatnonzero(over))
        self._over = terminated | truncated
        info = self._context_info() | {"unstable": unstable} | self._final_info(transition)
        return self._spaces.of(observation), reward, terminated, truncated, info

    def _context_info(self, worlds: BoolArray | None = None) -> dict[str, Any]:
        """The draws of the present episodes, marked as valid for `worlds`, (n,), by default all."""
        names, columns = self.simulation.context_names, self.simulation.context.T.copy()
        valid = np.ones(self.num_envs, dtype=bool) if worlds is None else worlds.copy()
        return {"context": dict(zip(names, columns, strict=True)), "_context": valid}

    def _final_obs(self, transition: Transition) -> dict[str, Any]:
        """The last observations of the episodes that ended, where there are any."""
        if not len(transition.ended):
            return {}
        observations = np.full(self.num_envs, None, dtype=object)
        for row, world in enumerate(transition.ended):
            observations[world] = self._spaces.of(transition.final_observation[row])
        return {"final_obs": observations, "_final_obs": self._ended(transition)}

    def _final_info(self, transition: Transition) -> dict[str, Any]:
        """The results of the episodes that ended, if there are any."""
        if not len(transition.ended):
            return {}
        final: dict[str, Any] = {}
        for episode in transition.episodes:
            drawn = {"context": episode.context, "terms": episode.terms}
            final = self._add_info(final, episode.final_info() | drawn, episode.world)
        return {"final_info": final, "_final_info": self._ended(transition)}

    def _ended(self, transition: Transition) -> BoolArray:
        ended = np.zeros(self.num_envs, dtype=bool)
        ended[transition.ended] = True
        return ended

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """The value that `set_attr` set, else an attribute of the simulation, for each world."""
        return tuple(self._front_end.get(name, range(self.num_envs)))

    def set_attr(self, name: str, values: Any) -> None:
        """Keep values of the user's own: a list or tuple with one for each world, or one for all.

        Raises AttributeError for what the simulation has: its worlds share it.
        """
        several = values if isinstance(values, list | tuple) else [values] * self.num_envs
        if len(several) != self.num_envs:
            raise UserError(f"{name}: {len(several)} values for {self.num_envs} worlds")
        self._front_end.set(name, several, range(self.num_envs))

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of the simulation once, or read an attribute; one result for each world."""
        values = self.get_attr(name)
        if not callable(values[0]):
            return values
        return (values[0](*args, **kwargs),) * self.num_envs

    def render(self) -> tuple[NDArray[np.uint8], ...]:
        """An image (height, width, 3) of every world."""
        if self.render_mode is None:
            raise UserError("make the environment with render_mode='rgb_array' to render it")
        return tuple(self._front_end.images(range(self.num_envs)))

    def close_extras(self, **kwargs: Any) -> None:
        """End the simulation and its threads; give the OpenGL context back."""
        self._front_end.close()


def _mode(given: str | AutoresetMode) -> AutoresetMode:
    try:
        return AutoresetMode(given)
    except ValueError:
        raise unknown("autoreset_mode", given, [mode.value for mode in AutoresetMode]) from None
