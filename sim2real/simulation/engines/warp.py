"""A batch whose physics MuJoCo Warp computes, on a GPU or on the CPU; its state is on the host.

The rows of the state are those of every batch. A step sends them to the device, takes all physics
steps there and copies back what moved and what is read of the derived fields. So resets, snapshots
and all that acts outside of the physics are as with MuJoCo. MuJoCo computes the constants of drawn
models on the host; model fields are sent where they changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.domains.entries.engine import Warp
from sim2real.domains.writes import as_slice
from sim2real.errors import UserError
from sim2real.simulation.batches import Batch
from sim2real.simulation.engines.device import MOVED, READABLE, Device, Floats
from sim2real.task import Array, IntArray

_NO_STAGE = int(mujoco.mjtStage.mjSTAGE_NONE)


class WarpBatch(Batch):
    """A batch of `nsim` worlds that MuJoCo Warp moves; `nthread` threads compute constants."""

    def __init__(
        self,
        model: mujoco.MjModel,
        nsim: int,
        nthread: int,
        domain: Domain,
        fill: Callable[[str], None],
    ) -> None:
        super().__init__(model, nsim, nthread, fill)
        assert isinstance(domain.engine, Warp)
        self._where = f"domain {domain.name!r}"
        self.device = Device(model, nsim, domain.engine, self._where)
        columns = [np.arange(first, first + k) for first, k in map(self._component, MOVED)]
        self._moved = as_slice(np.concatenate(columns))
        self._times = columns[MOVED.index(mujoco.mjtState.mjSTATE_HISTORY)][_times(model)]
        self._constants: list[str] = []  # fields that MuJoCo computes of drawn models

    def expand(self, name: str) -> NDArray[Any]:
        """A model field's values in each world; UserError where Warp has one for all of them."""
        if self.device.shares(name):
            raise UserError(f"{self._where}: {one_for_all(name)}")
        values: NDArray[Any] = super().expand(name)
        return values

    def set_const(self, ids: Any = None) -> None:
        """Compute the constants of the models of the worlds `ids`."""
        super().set_const(ids)
        if not self._constants:
            self._constants = [
                name
                for name in sorted(mujoco.batch.MODEL_FIELDS - self._expanded.keys())
                if self.device.takes(name) and self.expanded(name) is not None
            ]
        for name in self._constants:
            self.device.send(name, self._own(name))

    def step(self, ids: Any = None, nstep: int = 1, stage: int = _NO_STAGE) -> None:
        """Advance worlds by `nstep` physics steps, then compute `stage` at the new state.

        Nothing is raised: a world that diverges has numbers that are not finite.
        """
        start = self.state[:, 0].copy()
        moved = self.device.step(self._given(start), nstep, stage != _NO_STAGE).astype(np.float64)
        moved[:, self._times] += start[:, None]
        time = start
        for _ in range(nstep):
            time = time + self.model.opt.timestep
        moved[:, 0] = time
        worlds = self._worlds(ids)
        self.state[worlds, self._moved] = moved[worlds]
        self._take(worlds)

    def forward(self, ids: Any = None, stage: int = 0) -> None:
        """Compute all derived fields that are read, in the worlds `ids`, whatever the `stage`."""
        if self._bound:
            self.device.forward(self._given(self.state[:, 0]))
            self._take(self._worlds(ids))

    def _output(self, name: str) -> NDArray[Any]:
        """An array for a derived field; UserError for one that Warp does not have."""
        if name not in READABLE or not self.device.has(name):
            raise UserError(
                f"{self._where}: {name} cannot be read: the engine warp does not have it"
            )
        template = np.asarray(getattr(self._data, name))
        values: NDArray[Any] = np.zeros((self.nsim, *template.shape), template.dtype)
        values.flags.writeable = False
        self._bound[name] = values
        return values

    def _worlds(self, ids: Any) -> Any:
        """The rows of the worlds `ids`: a slice where they are all."""
        if ids is None:
            return slice(None)
        rows = np.asarray(ids)
        return np.flatnonzero(rows) if rows.dtype == bool else rows

    def _own(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self.expanded(name)
        return values

    def _given(self, start: Array) -> Floats:
        """The rows of the state in single precision, with times as from the time `start`, (n,).

        Times of some seconds would be too coarse for delays of whole physics steps.
        """
        for name, values in self._expanded.items():
            if self.device.takes(name):
                self.device.send(name, values)
        state = self.state.copy()
        state[:, self._times] -= start[:, None]
        state[:, 0] = 0.0
        given: Floats = state.astype(np.float32)
        return given

    def _take(self, worlds: Any) -> None:
        """Copy the derived fields that are read, in some worlds, from the device."""
        for name, out in self._bound.items():
            values = self.device.read(name).reshape(out.shape)
            out.flags.writeable = True
            out[worlds] = values[worlds]
            out.flags.writeable = False


def one_for_all(field: str) -> str:
    """What is wrong with a domain that changes a `field` which Warp has for all worlds together."""
    return (
        f"the engine warp has one {field} for all worlds; allowed: a domain that leaves it as it "
        "is, or engine: mujoco"
    )


def _times(model: mujoco.MjModel) -> IntArray:
    """Where the history of delayed signals holds times, (k,).

    Of each signal it holds a number, a cursor, the times and the values; the number of a sensor
    that samples at intervals is the time of the last sample.
    """
    found: list[int] = []
    for address, (count, _) in zip(model.actuator_historyadr, model.actuator_history, strict=True):
        found += range(address + 2, address + 2 + count)
    for sensor, (count, _) in enumerate(model.sensor_history):
        address = model.sensor_historyadr[sensor]
        found += range(address + 2, address + 2 + count)
        found += [address] if count and model.sensor_interval[sensor, 0] > 0 else []
    return np.array(found, dtype=np.intp)


def warp_batch(
    model: mujoco.MjModel,
    num_envs: int,
    threads: int,
    domain: Domain,
    fill: Callable[[str], None],
) -> WarpBatch:
    """The worlds of a `domain` in MuJoCo Warp.

    Raises UserError for what of the model Warp does not have, for fields that it has in common for
    all worlds, for a device that is not there, and where it is not installed.
    """
    batch = WarpBatch(model, num_envs, threads, domain, fill)
    for one in domain.dynamics:
        if one.field.startswith("opt.") and batch.device.shares(one.field):
            raise UserError(f"domain {domain.name!r}: {one.label}: {one_for_all(one.field)}")
    return batch
