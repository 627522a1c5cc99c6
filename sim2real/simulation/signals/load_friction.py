"""Dry friction that grows with the load of a gearing, in every physics step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim2real.domains.entries.load_friction import LoadedJoint
from sim2real.domains.plan import Models
from sim2real.task import Array, IntArray


class LoadFrictions:
    """The `frictions` of a plan in n worlds, written into the dry frictions of their `models`.

    Those of a physics step follow from the forces of the step before.
    """

    def __init__(self, frictions: Sequence[LoadedJoint], models: Models, num_envs: int) -> None:
        each, self._sources, self._ratios, self._powers = (
            np.concatenate([getattr(one, name) for one in frictions])
            for name in ("dofs", "sources", "ratios", "powers")
        )
        self._dofs, self._joint = np.unique(each, return_inverse=True)
        self._sum = np.eye(len(self._dofs))[self._joint]  # (entries, joints)
        self._models = models
        self._base = np.zeros((num_envs, len(self._dofs)))
        self._factor = np.zeros((num_envs, len(each)))

    def reset(self, ids: IntArray) -> None:
        """Put the nominal dry frictions of the worlds `ids` back."""
        self._write(ids, self._models.batch.model.dof_frictionloss[self._dofs])

    def draw(self, ids: IntArray, context: Array) -> None:
        """Take the frictions of the worlds `ids` without load, and their draws, (m, entries)."""
        self._base[ids] = self._models["dof_frictionloss"][ids[:, None], self._dofs]
        self._factor[ids] = context[:, self._sources]

    def write(self, world: Any) -> None:
        """Write the frictions under the present load; `world` has the fields of MjData."""
        motor, bias = (
            values[:, self._dofs][:, self._joint]
            for values in (world.qfrc_actuator, world.qfrc_bias)
        )
        load = np.abs(motor + self._ratios * bias)
        if (self._powers != 1.0).any():
            load **= self._powers
        self._write(np.arange(len(motor)), self._base + (self._factor * load) @ self._sum)

    def _write(self, ids: IntArray, values: Array) -> None:
        self._models["dof_frictionloss"][ids[:, None], self._dofs] = values
