"""The subject of a binding, besides a model: a task or a foreign environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import mujoco

from sim2real.task import ObservationTerm


@dataclass(frozen=True)
class Subject:
    """A task or a foreign environment, to which a domain is bound besides the model.

    Times are in s; `terms` are the blocks of its observation. `spec` gives the MJCF that its
    model was compiled from, which parameters of the geometry need.
    """

    name: str
    terms: tuple[ObservationTerm, ...]
    control_dt: float
    episode_s: float
    commands: Mapping[str, tuple[float, float]] | None = None
    """Names and limits of the numbers of an action that are not the controls of the actuators."""
    spec: Callable[[], mujoco.MjSpec] | None = None
    quaternions: tuple[int, ...] = ()
    """The first columns of the unit quaternions in the observation."""
