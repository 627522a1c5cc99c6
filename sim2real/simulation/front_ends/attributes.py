"""Attributes of worlds as other libraries ask for them: by name, one value for each world."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class Attributes:
    """Those of a `simulation`, which its worlds share, and a user's own, one for each world.

    `fixed` are further ones that all worlds share and nobody may set.
    """

    def __init__(self, simulation: Any, **fixed: Any) -> None:
        self._simulation, self._fixed = simulation, fixed
        self._own: dict[str, list[Any]] = {}

    def get(self, name: str, worlds: Iterable[int]) -> list[Any]:
        """The values of `worlds`. Raises AttributeError for a name that is not there."""
        if name in self._own:
            return [self._own[name][world] for world in worlds]
        shared = self._fixed.get(name) if name in self._fixed else getattr(self._simulation, name)
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
