"""Writes what an episode drew into the one model of a foreign environment."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Plan
from sim2real.domains.model_fields.inertials import ARRAYS
from sim2real.errors import UserError
from sim2real.task import Array


@dataclass
class _Tracked:
    """One array of the model, its entries in one row.

    `found` is its value when the model was wrapped, `base` its value without a draw (the same, or
    what `mj_setConst` computes), `free` are the entries that may be written, `changed` those that
    some episode so far has changed.
    """

    name: str
    found: NDArray[Any]
    base: NDArray[Any]
    free: NDArray[np.bool_]
    changed: NDArray[np.bool_]


class ModelWriter:
    """Gives `model` the values of a plan's draws, always from the model as it was found.

    Values, and the constants that follow from them, are computed in a copy; then only the entries
    that the domain changes are taken over, so that neither the environment's data nor the rest of
    its model is touched. An environment may keep part of its task in the model (where the nail is),
    and may have written what `mj_setConst` would compute anew: Fetch's `eq_data` is the pose
    of the gripper on its mocap body, and `mj_setConst` would replace it.

    Raises UserError for `body_gravcomp` in a model without any: MuJoCo then skips it.
    """

    def __init__(self, model: mujoco.MjModel, plan: Plan) -> None:
        self._model, self._plan = model, plan
        self._copy = copy.copy(model)
        self._scratch = mujoco.MjData(self._copy)
        names = {write.array for write in (*plan.writes, *plan.afterwards)}
        names |= set(ARRAYS if plan.inertials else ())
        if "body_gravcomp" in names and not model.ngravcomp:
            raise UserError(
                "body_gravcomp: no body of the environment's model has a gravcomp, so that MuJoCo "
                "skips it; give one in the MJCF"
            )
        if plan.sets_constants:
            mujoco.mj_setConst(self._copy, self._scratch)
            names |= set(mujoco.MjModel._setconst_outputs) | {"stat.meaninertia"}
        self._arrays = [self._tracked(name) for name in sorted(names)]

    def write(self, draws: Array) -> None:
        """Write the model for the draws (context,)."""
        self._plan.apply_model(self._copy, self._scratch, draws)
        for array in self._arrays:
            values = _get(self._copy, array.name)
            differs = (values != array.base) & array.free
            array.changed |= differs
            self._put(array, np.where(differs, values, array.found))

    def restore(self) -> None:
        """Give the model back as it was found."""
        for array in self._arrays:
            self._put(array, array.found)

    def _put(self, array: _Tracked, values: NDArray[Any]) -> None:
        if array.changed.any():
            _set(self._model, array.name, array.changed, values)

    def _tracked(self, name: str) -> _Tracked:
        """The array `name`, no episode having changed it."""
        found, base = _get(self._model, name), _get(self._copy, name)
        free = np.ones(found.size, dtype=bool)
        if name == "eq_data":  # welds that the environment has set itself
            width = self._model.eq_data.shape[1]
            free = np.repeat((found == base).reshape(-1, width).all(axis=1), width)
        return _Tracked(name, found, base, free, np.zeros(found.size, dtype=bool))


def _owner(model: mujoco.MjModel, name: str) -> tuple[Any, str]:
    part, _, attribute = name.rpartition(".")
    return (getattr(model, part), attribute) if part else (model, attribute)


def _get(model: mujoco.MjModel, name: str) -> NDArray[Any]:
    """A copy of the entries of an array ("body_mass") or of an option ("opt.gravity")."""
    return np.array(getattr(*_owner(model, name))).reshape(-1)


def _set(model: mujoco.MjModel, name: str, places: NDArray[np.bool_], values: NDArray[Any]) -> None:
    """Write the entries at `places` of an array or an option."""
    owner, attribute = _owner(model, name)
    present = getattr(owner, attribute)
    if isinstance(present, np.ndarray):
        present.reshape(-1)[places] = values[places]
    else:
        setattr(owner, attribute, values[0].item())
