"""The Gymnasium Env: one world, with the conventions of Gymnasium's MujocoEnv."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import mujoco
import numpy as np
from gymnasium.envs.registration import EnvSpec
from numpy.typing import ArrayLike, NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.simulation import Transition
from sim2real.simulation.actions import Actions
from sim2real.simulation.front_ends.front_end import FrontEnd, check_mode, make_simulation
from sim2real.simulation.front_ends.image_spaces import ImageSpaces, Seen
from sim2real.simulation.front_ends.reset_options import (
    EPISODE,
    check_options,
    episodes_of,
    one_seed,
)
from sim2real.simulation.observations import Shows
from sim2real.simulation.rendering import lit_model
from sim2real.task import Task


class Sim2RealEnv(gymnasium.Env[Seen, NDArray[np.float32]]):
    """One world of `task` in `domain`; `gymnasium.make("sim2real/Hopper-v0", domain="hard")`.

    `reset(seed=s)` starts the first episode of seed s, every further `reset()` the next one,
    `reset(options={"episode": k})` the k-th. `max_episode_steps` replaces the task's time limit;
    through `gymnasium.make` it can only shorten it.
    `info["context"]` has the draws of the episode; `info["terms"]` the reward's terms; at its end
    `info["is_success"]` is whether it was a success, if the task defines it.
    Observation: (k,) float64, of a task with images a dict (see `image_spaces`); action: (nu,)
    float32, in the task's own range, or with `actions="normalized"` in [-1, 1]. `privileged` and
    `history` are those of Simulation.
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        task: str | Task,
        domain: str | Domain | None = None,
        render_mode: str | None = None,
        width: int = 480,
        height: int = 480,
        privileged: Shows = False,
        actions: Actions = "own",
        max_episode_steps: int | None = None,
        history: int = 1,
        **options: Any,
    ) -> None:
        modes = type(self).metadata["render_modes"]
        check_mode(render_mode, modes)
        limit = max_episode_steps
        more = {"privileged": privileged, "actions": actions, "history": history}
        self.simulation = make_simulation(task, domain, options, limit, threads=1, **more)
        self._front_end = FrontEnd(self.simulation, render_mode, modes, (width, height))
        self._spaces = ImageSpaces(self.simulation.observation_terms)
        self.observation_space = self._spaces.space  # type: ignore[assignment]
        self.action_space = self.simulation.action_space  # type: ignore[assignment]
        self.render_mode = render_mode
        self.metadata = {**type(self).metadata, "render_fps": round(1 / self.dt)}
        self.width, self.height = width, height
        self._window: Any = None
        self._data: mujoco.MjData | None = None
        self._spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """Gymnasium's description, with the time limit in control steps."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        limit = self.simulation.episode_steps
        self._spec = None if spec is None else dataclasses.replace(spec, max_episode_steps=limit)

    @property
    def dt(self) -> float:
        """The control step in s."""
        return self.simulation.dt

    @property
    def model(self) -> mujoco.MjModel:
        """A copy of the model of the present episode."""
        return self.simulation.world_model(0)

    @property
    def data(self) -> mujoco.MjData:
        """A copy of the present state, every derived field computed; `set_state` writes."""
        model = self.model
        self._data = self.simulation.world_data(0, self._data)
        mujoco.mj_forward(model, self._data)
        return self._data

    def set_state(self, qpos: ArrayLike, qvel: ArrayLike) -> None:
        """Put the world into the state `qpos` (nq,), `qvel` (nv,) and run the forward pass."""
        for name, value, size in (
            ("qpos", qpos, self.simulation.model.nq),
            ("qvel", qvel, self.simulation.model.nv),
        ):
            if np.shape(value) != (size,):
                raise UserError(f"{name} must have the shape ({size},), got {np.shape(value)}")
        self.simulation.write_state(np.asarray(qpos)[None], np.asarray(qvel)[None])

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Seen, dict[str, Any]]:
        """Start the next episode; with `seed`, its first; with options["episode"], that one."""
        asked = check_options(options, [EPISODE])
        seed = one_seed(seed)
        super().reset(seed=seed)
        observation = self.simulation.restart(seed, episodes_of(asked, 1))[0]
        if self.render_mode == "human":
            self.render()
        return self._spaces.of(observation), {"context": dict(self.simulation.contexts()[0])}

    def step(self, action: NDArray[np.float32]) -> tuple[Seen, float, bool, bool, dict[str, Any]]:
        """One control step. Raises UserError for an action of the wrong shape or with NaN."""
        given = np.asarray(action)
        if given.shape != self.action_space.shape:
            raise UserError(
                f"the action must have the shape {self.action_space.shape}, got {given.shape}"
            )
        transition = self.simulation.advance(given[None])
        if self.render_mode == "human":
            self.render()
        return (
            self._spaces.of(transition.observation[0]),
            float(transition.reward[0]),
            bool(transition.terminated[0]),
            bool(transition.truncated[0]),
            self._info(transition),
        )

    def _info(self, transition: Transition) -> dict[str, Any]:
        success = transition.episodes[0].success_info() if transition.episodes else {}
        return success | {
            "context": dict(self.simulation.contexts()[0]),
            "terms": {name: float(values[0]) for name, values in transition.terms.items()},
            "unstable": bool(transition.unstable[0]),
        }

    def render(self) -> Any:
        """An image (height, width, 3) in the mode "rgb_array"; a window in the mode "human"."""
        if self.render_mode is None:
            raise UserError("make the environment with render_mode='rgb_array' to render it")
        if self.render_mode == "human":
            return self._show()
        return self._front_end.images([0])[0]

    def _show(self) -> None:
        """Show the state in Gymnasium's own viewer window."""
        from gymnasium.envs.mujoco.mujoco_rendering import MujocoRenderer

        if self._window is None:
            model, camera = lit_model(self.simulation), dict(self.simulation.task.camera)
            self._window = MujocoRenderer(model, self.data, camera, self.width, self.height)
        self._window.data = self.data
        self._window.render("human")

    def close(self) -> None:
        """End the simulation; close the window or give the OpenGL context back."""
        if self._window is not None:
            self._window.close()
            self._window = None
        self._front_end.close()
