"""The common parts of the front ends: making a simulation, its attributes, images and end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError, unknown
from sim2real.registry import load_task
from sim2real.simulation.front_ends.screen import require_screen
from sim2real.simulation.rendering import Renderer
from sim2real.simulation.simulation import Simulation
from sim2real.task import Task


def make_simulation(
    task: str | Task,
    domain: str | Domain | None,
    options: dict[str, Any],
    max_episode_steps: int | None,
    **arguments: Any,
) -> Simulation:
    """A simulation of `task`, made with `options`; `max_episode_steps` replaces its time limit."""
    simulation = Simulation(load_task(task, **options), domain, **arguments)
    if max_episode_steps is not None:
        simulation.episode_steps = _checked_steps(max_episode_steps)
    return simulation


def _checked_steps(steps: Any) -> int:
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise UserError(f"max_episode_steps is {steps!r}; allowed: a whole number from 1")
    return int(steps)


class FrontEnd:
    """A `simulation` seen through another library, in one of its render `modes`.

    Attributes by name are those of the simulation, which its worlds share, the render mode, and a
    user's own, one for each world.
    """

    def __init__(
        self,
        simulation: Simulation,
        mode: str | None,
        modes: Sequence[str],
        size: tuple[int, int] = (320, 240),
    ) -> None:
        check_mode(mode, modes)
        self._simulation, self._size = simulation, size
        self._fixed = {"render_mode": mode}
        self._own: dict[str, list[Any]] = {}
        self._renderer: Renderer | None = None

    def images(self, worlds: Iterable[int]) -> list[NDArray[np.uint8]]:
        """An image (height, width, 3) of each of the `worlds`."""
        if self._renderer is None:
            self._renderer = Renderer(self._simulation, *self._size)
        return [self._renderer.frame(world) for world in worlds]

    def close(self) -> None:
        """End the simulation and its threads; give the OpenGL context back."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None
        self._simulation.close()

    def get(self, name: str, worlds: Iterable[int]) -> list[Any]:
        """The values of `worlds`. Raises AttributeError for a name that is not there."""
        if name in self._own:
            return [self._own[name][world] for world in worlds]
        shared = self._fixed[name] if name in self._fixed else getattr(self._simulation, name)
        return [shared for _ in worlds]

    def set(self, name: str, values: Iterable[Any], worlds: Iterable[int]) -> None:
        """Store one of a user's own `values` for each of `worlds`; the others have None at first.

        Raises AttributeError for what the worlds share.
        """
        if name in self._fixed or hasattr(self._simulation, name):
            raise AttributeError(f"{name} belongs to all worlds; set it on the env's simulation")
        own = self._own.setdefault(name, [None] * self._simulation.num_envs)
        for world, value in zip(worlds, values, strict=True):
            own[world] = value


def check_mode(mode: str | None, modes: Sequence[str]) -> None:
    """UserError for a render mode that is not among `modes`, or needs a screen where is none."""
    if mode not in (None, *modes):
        raise unknown("render_mode", mode, modes)
    require_screen(mode)
