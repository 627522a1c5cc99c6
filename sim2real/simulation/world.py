"""The world as a task sees it: MuJoCo's fields, the worlds first."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, unknown
from sim2real.simulation import forks
from sim2real.simulation.warnings import BAD_STATE, warnings_logged
from sim2real.task import Array, BoolArray, IntArray

_VIEWS = {  # kind of element -> how many the model has
    "actuator": "nu",
    "body": "nbody",
    "geom": "ngeom",
    "joint": "njnt",
    "sensor": "nsensor",
    "site": "nsite",
    "tendon": "ntendon",
}


def default_threads() -> int:
    """Native threads where none are asked for: $SIM2REAL_THREADS, or 0 for all processors."""
    given = os.environ.get("SIM2REAL_THREADS", "0")
    if not given.isdecimal():
        raise UserError(f"SIM2REAL_THREADS must be a whole number, 0 for all, got {given!r}")
    return int(given)


class World:
    """n worlds of one model on a batch.

    MjData fields are attributes, (n, ...); state fields may be written; `joint(name)` and its like
    are named views. `previous` holds copies of fields from before the control step, `memory` what
    the task keeps, `last_action` (n, nu) the action given last, `steps` (n,) the control steps of
    the episode; `difficulty`, in [0, 1], is for the task's start states and commands. If it
    `sets_constants`, models are written, and what MuJoCo derives from them is computed anew.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, threads: int) -> None:
        self.model = model
        self.num_envs = num_envs
        self.previous: dict[str, NDArray[Any]] = {}
        self.memory: dict[str, Array] = {}
        self.last_action: Array = np.zeros((num_envs, model.nu))
        self.steps: IntArray = np.zeros(num_envs, dtype=np.int64)
        self.difficulty = 1.0
        self._batch: Any = mujoco.batch.Batch(model, num_envs, threads or default_threads())
        forks.guard(self._batch, self)
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._defaults = self._batch.state[0].copy()
        self._all = np.arange(num_envs)
        self._views: dict[tuple[str, str], Any] = {}
        self._underived = np.zeros(num_envs, dtype=bool)
        self.sets_constants = False

    def close(self) -> None:
        """End the threads and give the memory back; afterwards the world cannot be used.

        The threads stay while the caller holds an array of a field, such as `qpos`.
        """
        for name in mujoco.batch.DATA_FIELDS & self.__dict__.keys():
            del self.__dict__[name]
        self._views.clear()
        self.end("the simulation is closed")

    def end(self, why: str) -> None:
        """Raise UserError with the reason `why` whenever the batch is needed from now on."""
        self._batch = forks.Ended(why)

    def expanded(self, field: str) -> NDArray[Any] | None:
        """A model field's values in each world, (n, ...), read-only; None where all share it."""
        self.catch_up()
        values: NDArray[Any] | None = self._batch.expanded(field)
        return values

    def world_model(self, world: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """A copy, in `model` or a new MjModel, of the model that one world runs on."""
        self.catch_up()
        return self._batch.get_model(world, model)

    def world_data(self, world: int, data: mujoco.MjData | None = None) -> mujoco.MjData:
        """One world's state, in `data` or a new MjData; run `mj_forward` for derived fields."""
        self.catch_up()
        return self._batch.get_data(world, data)

    @property
    def reads_derived_fields(self) -> bool:
        """Whether any field was asked for that is not part of the state."""
        return bool(self._batch._bound)

    def step_physics(self, substeps: int, stage: int, active: BoolArray | None) -> BoolArray:
        """Take `substeps` in the worlds that are `active` (None: all); compute up to `stage`.

        Returns which worlds became unstable, (n,): those in which MuJoCo warned of a bad state or
        raised. The warnings themselves go to the logger "sim2real.mujoco", not to the terminal.
        """
        before = self._batch.warning[:, BAD_STATE, 1].sum(axis=1)
        failing: IntArray = self._all[:0]
        with warnings_logged():
            self.catch_up()
            try:
                self._batch.step(active, substeps, stage)
            except mujoco.batch.SimulationError as error:
                failing = error.ids
        unstable: BoolArray = self._batch.warning[:, BAD_STATE, 1].sum(axis=1) != before
        unstable[failing] = True
        return unstable

    def stage_after_step(self, lagged: bool) -> int:
        """Forward stages to compute at the new state: none if `lagged` or the state suffices."""
        if lagged or not self.reads_derived_fields:
            return int(mujoco.mjtStage.mjSTAGE_NONE)
        return int(mujoco.mjtStage.mjSTAGE_VEL)

    def reset_state(self, ids: IntArray) -> None:
        """Put the worlds `ids` into the model's default state; nothing is computed from it yet.

        That is `Batch.reset` without the call: what it leaves is the same for every world.
        """
        self._batch.state[ids] = self._defaults

    def write_fields(self, ids: IntArray, fields: Mapping[str, Array]) -> None:
        """Write state fields of the worlds `ids`, each with the shape of one world."""
        for name, values in fields.items():
            getattr(self, name)[ids] = values

    def derive(self, ids: IntArray) -> None:
        """Compute what follows from the states of the worlds `ids`, and from their models.

        Where nobody reads it, that waits for the next step: the threads are awake then.
        """
        self._underived[ids] = True
        if self.reads_derived_fields:
            self.catch_up()

    def catch_up(self) -> None:
        """Compute what `derive` has left."""
        if not self._underived.any():
            return
        ids = np.flatnonzero(self._underived).astype(np.int32)
        self._underived[:] = False
        if self.sets_constants:
            self._batch.set_const(ids)
        self._batch.forward(ids)

    def let_have_told(self, ids: IntArray, controls: NDArray[np.float64]) -> None:
        """Fill the engine's delay lines of the worlds `ids` with `controls`, (m, nu)."""
        if self.model.nhistory and controls.any():
            slots, columns = self._delay_slots
            self.history[ids[:, None], slots] = controls[:, columns]

    @functools.cached_property
    def _delay_slots(self) -> tuple[IntArray, IntArray]:
        """Where `history` holds the values of which control.

        Of each delayed actuator it holds a number of the user's, a cursor, the times, the values.
        """
        model = self.model
        pairs = [
            (model.actuator_historyadr[one] + 2 + count + sample, model.actuator_ctrladr[one])
            for one, (count, _) in enumerate(model.actuator_history.tolist())
            for sample in range(count)
        ]
        slots, columns = np.array(pairs, dtype=np.intp).T
        return slots, columns

    def __getattr__(self, name: str) -> Any:
        if name in mujoco.batch.DATA_FIELDS:
            self.__dict__[name] = self._bound(name)
            return self.__dict__[name]
        if name in _VIEWS:
            return functools.partial(self._view, name)
        raise AttributeError(f"a world has no {name!r}; its fields are those of MuJoCo's MjData")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in mujoco.batch.DATA_FIELDS:
            getattr(self, name)[...] = value
        else:
            object.__setattr__(self, name, value)

    def _bound(self, name: str) -> NDArray[Any]:
        """A field of the batch; one that the batch has not yet filled is computed first."""
        bound = len(self._batch._bound)
        values: NDArray[Any] = self._batch.bind(name)
        if len(self._batch._bound) > bound:
            self.catch_up()
            state = self._batch.state.copy()
            self._batch.forward()
            self._batch.state[:] = state  # the forward pass moves the warm start
        return values

    def _view(self, kind: str, name: str) -> Any:
        if (kind, name) not in self._views:
            try:
                self._views[kind, name] = getattr(self._batch, kind)(name)
            except KeyError:
                count = getattr(self.model, _VIEWS[kind])
                names = [getattr(self.model, kind)(index).name for index in range(count)]
                raise unknown(f"{kind} of the model", name, filter(None, names)) from None
        return self._views[kind, name]
