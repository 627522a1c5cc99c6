"""The engine's batch, with derived fields that are current when they are first read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError

_STATE_FIELDS = mujoco.batch._STATE_FIELDS
"""The fields of the integration state, and their components; all other fields are derived."""

_SENSOR = mujoco.mjtSensor
_FORCES = [_SENSOR.mjSENS_FORCE, _SENSOR.mjSENS_TORQUE, _SENSOR.mjSENS_ACCELEROMETER,
           _SENSOR.mjSENS_FRAMELINACC, _SENSOR.mjSENS_FRAMEANGACC]  # fmt: skip
_MOMENTA = [_SENSOR.mjSENS_SUBTREELINVEL, _SENSOR.mjSENS_SUBTREEANGMOM]

_ON_REQUEST: dict[str, tuple[list[Any], int, str]] = {
    # field -> sensors of which one makes the engine compute it, a flag that does, what to add
    "cacc": (_FORCES, 0, "a <force>, <torque> or <accelerometer> sensor"),
    "cfrc_int": (_FORCES, 0, "a <force>, <torque> or <accelerometer> sensor"),
    "cfrc_ext": (_FORCES, 0, "a <force>, <torque> or <accelerometer> sensor"),
    "subtree_linvel": (_MOMENTA, 0, "a <subtreelinvel> sensor"),
    "subtree_angmom": (_MOMENTA, 0, "a <subtreeangmom> sensor"),
    "energy": ([], mujoco.mjtEnableBit.mjENBL_ENERGY, '<option><flag energy="enable"/></option>'),
}
"""Fields that MuJoCo computes only where something asks for them (`mj_rnePostConstraint`,
`mj_subtreeVel`, `mj_energyPos` and `mj_energyVel`); else they are zero, or in a batch those of
another world."""

_NEVER = {
    "qfrc_inverse": "only mj_inverse computes it",
    "solver_fwdinv": "only mj_compareFwdInv computes it",
    "solver_nnz": "MuJoCo leaves it as it was where no constraint is active",
    **dict.fromkeys(
        ("qDeriv", "qH", "qHDiagInv", "qLU"), "it is work space of MuJoCo's integrators"
    ),
    **dict.fromkeys(("bvh_active", "bvh_aabb_dyn"), "it is work space of MuJoCo's collisions"),
}
"""Fields that no forward pass computes for every model, and why."""


class Batch(mujoco.batch.Batch):  # type: ignore[misc]
    """A `mujoco.batch.Batch` that calls `fill` when a derived field is read for the first time.

    Such a field is not filled before the batch's next call. Fields that MuJoCo does not compute
    for this model are refused with UserError.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        nsim: int,
        nthread: int,
        fill: Callable[[str], None],
        persistent: bool = False,
    ) -> None:
        super().__init__(model, nsim, nthread, persistent)
        self._fill = fill

    def bind(self, name: str) -> NDArray[Any]:
        """The live values of a field in all worlds, (nsim, ...)."""
        if name in _STATE_FIELDS or name in self._bound:
            values: NDArray[Any] = super().bind(name)
            return values
        _check_computed(self.model, name)
        values = self._output(name)
        self._fill(name)
        return values

    def _output(self, name: str) -> NDArray[Any]:
        """The array that each call fills with a derived field from now on."""
        values: NDArray[Any] = super().bind(name)
        return values

    def derived(self) -> dict[str, NDArray[Any]]:
        """Copies of the derived fields that were read, by name."""
        return {name: values.copy() for name, values in self._bound.items()}

    def set_derived(self, fields: Mapping[str, NDArray[Any]]) -> None:
        """Put back derived fields that were read; the next call computes them anew."""
        for name, values in fields.items():
            out = self.bind(name)
            out.flags.writeable = True
            out[...] = values
            out.flags.writeable = False

    def unsound(self) -> NDArray[np.bool_]:
        """Worlds, (nsim,), in which a derived field that was read is not finite."""
        found = np.zeros(self.nsim, dtype=bool)
        for values in self._bound.values():
            found |= ~np.isfinite(values.reshape(self.nsim, -1)).all(axis=1)
        return found

    def limits(self) -> NDArray[np.float64]:
        """The largest size of each number of the state, (k,), that MuJoCo accepts."""
        limits = np.full(self.nstate, np.finfo(np.float64).max)
        for name in ("qpos", "qvel", "act"):
            first, size = self._component(_STATE_FIELDS[name])
            limits[first : first + size] = mujoco.mjMAXVAL
        return limits

    def field_at(self, column: int) -> tuple[str, int]:
        """The field that a `column` of the state belongs to, and the place in it."""
        for name, component in _STATE_FIELDS.items():
            first, size = self._component(component)
            if first <= column < first + size:
                return name, int(column - first)
        raise IndexError(column)


def _check_computed(model: mujoco.MjModel, name: str) -> None:
    if name in _NEVER:
        raise UserError(f"{name} cannot be read: {_NEVER[name]}")
    if name not in _ON_REQUEST:
        return
    sensors, flag, needed = _ON_REQUEST[name]
    asked = np.isin(model.sensor_type, [int(one) for one in sensors]).any()
    if not (asked or int(model.opt.enableflags) & int(flag)):
        raise UserError(
            f"{name} cannot be read: MuJoCo computes it only on request; give the model {needed}"
        )
