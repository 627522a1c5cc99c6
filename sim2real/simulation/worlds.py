"""The worlds of a simulation: MuJoCo's fields, the worlds first, stepped on native threads."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError, unknown
from sim2real.simulation import forks
from sim2real.simulation.engines.engine import engine_batch
from sim2real.simulation.warnings import BAD_STATE, warnings_logged
from sim2real.task import Array, BoolArray, IntArray
from sim2real.world import Element

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


class Worlds:
    """n worlds of one model on a batch.

    MjData fields are attributes, (n, ...); state fields may be written; `joint(name)`,
    `body(name)`, ... are named views. `previous` holds copies of fields from before the control
    step, `memory` what the task stores, `last_action` (n, nu) the action given last, `steps` (n,)
    the control steps of the episode, `step_s` (n,) the seconds of the last one; `difficulty`, in
    [0, 1], is for the task's start states and commands. If it `sets_constants`, models are written,
    and what MuJoCo derives from them is computed anew. A `domain` may have another engine.
    """

    def __init__(
        self, model: mujoco.MjModel, num_envs: int, threads: int, domain: Domain | None = None
    ) -> None:
        self.model = model
        self.num_envs = num_envs
        self.previous: dict[str, NDArray[Any]] = {}
        self.memory: dict[str, Array] = {}
        self.last_action: Array = np.zeros((num_envs, model.nu))
        self.steps: IntArray = np.zeros(num_envs, dtype=np.int64)
        self.step_s: Array = np.zeros(num_envs)
        self.difficulty = 1.0
        self._batch: Any = engine_batch(
            model, num_envs, threads or default_threads(), domain, self._fill
        )
        forks.guard(self._batch, self)
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        self._defaults = self._batch.state[0].copy()
        self._all = np.arange(num_envs)
        self._views: dict[tuple[str, str], Element] = {}
        self._underived = np.zeros(num_envs, dtype=bool)
        self._starting: IntArray | None = None  # worlds whose state is being written
        self.lost: BoolArray = np.zeros(num_envs, dtype=bool)  # unstable in the next step
        self._limits = self._batch.limits()
        self.warning_counts: IntArray = np.zeros(self._batch.warning.shape[:2], dtype=np.int64)
        self.sets_constants = False
        self.before_substep: Callable[[Any], None] | None = None  # takes the worlds

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
        """A model field's live values in each world, (n, ...); None where all share it.

        They are read-only, and the next reset changes them.
        """
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

    def step_physics(self, substeps: int, lagged: bool, active: BoolArray | None) -> BoolArray:
        """Take `substeps` in the worlds that are `active` (None: all).

        Then derived fields that depend on positions and velocities belong to the new state, or if
        `lagged` to the one before the last substep; accelerations and forces are always those of
        the last substep.

        Returns which worlds became unstable, (n,), and are in the default state now: those in which
        MuJoCo warned of a bad state or bad controls in this step, raised in it or in the forward
        pass before it, or left a state beyond what it accepts. The warnings' text goes to the
        logger "sim2real.mujoco", not to the terminal.
        """
        with warnings_logged():
            self._take_warnings()
            self.catch_up()
            unstable = self.lost | self._take_warnings()[:, BAD_STATE].any(axis=1)
            if self.before_substep is None:
                self._step(active, substeps, self._stage_after_step(lagged), unstable)
            else:
                self._step_one_by_one(active, substeps, lagged, unstable)
        unstable |= self._take_warnings()[:, BAD_STATE].any(axis=1)
        unstable |= self.refused().any(axis=1)
        if active is not None:
            unstable &= active
        if unstable.any():
            self._give_up(unstable)
        return unstable

    def _step(
        self, active: BoolArray | None, substeps: int, stage: int, unstable: BoolArray
    ) -> None:
        """Take `substeps` and add the worlds that fail to the `unstable`, (n,)."""
        try:
            self._batch.step(active, substeps, stage)
        except mujoco.batch.SimulationError as error:
            unstable[error.ids] = True

    def _step_one_by_one(
        self, active: BoolArray | None, substeps: int, lagged: bool, unstable: BoolArray
    ) -> None:
        """As `_step`, with `before_substep` before each, in worlds that have not failed."""
        for left in range(substeps, 0, -1):
            self._before()
            stage = self._stage_after_step(lagged or left > 1)
            going = ~unstable if active is None else active & ~unstable
            self._step(going, 1, stage, unstable)

    def _before(self) -> None:
        if self.before_substep is not None:
            self.before_substep(self)

    def _take_warnings(self) -> IntArray:
        """How often MuJoCo warned in each world since the last call, (n, kinds).

        Taken away, as the engine's own reset sets a count to 1 whatever it was before.
        """
        warning = self._batch.warning
        counts: IntArray = warning[:, :, 1].copy()
        if counts.any():
            warning[...] = 0
            self.warning_counts += counts
        return counts

    def not_finite(self) -> BoolArray:
        """Which numbers of the state are not finite, (n, k)."""
        finite: BoolArray = np.isfinite(self._batch.state)
        return ~finite

    def refused(self) -> BoolArray:
        """Which numbers of the state MuJoCo does not accept, (n, k).

        Those that are not finite, and positions, velocities and activations beyond 1e10.
        """
        accepted: BoolArray = np.abs(self._batch.state) <= self._limits  # false for NaN
        return ~accepted

    def unsound(self) -> BoolArray:
        """Worlds, (n,), in which a derived field that was read is not finite."""
        unsound: BoolArray = self._batch.unsound()
        return unsound

    def state_number(self, world: int, column: int) -> tuple[str, int, float]:
        """The field, the place in it and the value of a number of the state."""
        return *self._batch.field_at(column), float(self._batch.state[world, column])

    def _give_up(self, unstable: BoolArray) -> None:
        """Put worlds that are `unstable` (n,) into the default state."""
        self.lost &= ~unstable
        ids = np.flatnonzero(unstable)
        self.reset_state(ids)
        self.derive(ids)

    def _stage_after_step(self, lagged: bool) -> int:
        """Forward stages to compute at the new state: none if `lagged` or the state suffices."""
        if lagged or not self.reads_derived_fields:
            return int(mujoco.mjtStage.mjSTAGE_NONE)
        return int(mujoco.mjtStage.mjSTAGE_VEL)

    def reset_state(self, ids: IntArray) -> None:
        """Put the worlds `ids` into the model's default state; nothing is computed from it yet.

        That is `Batch.reset` without the call: what it leaves is the same for every world.
        """
        self._batch.state[ids] = self._defaults
        self.lost[ids] = False

    def write_fields(self, ids: IntArray, fields: Mapping[str, Array]) -> None:
        """Write state fields of the worlds `ids`, each with the shape of one world."""
        for name, values in fields.items():
            getattr(self, name)[ids] = values

    def derive(self, ids: IntArray) -> None:
        """Compute what follows from the states of the worlds `ids`, and from their models.

        Where no field of it is read, that waits for the next step, when the threads are awake.
        """
        self._underived[ids] = True
        if self.reads_derived_fields:
            self.catch_up()

    def derive_for_reading(self, ids: IntArray) -> None:
        """As `derive`, and leave the state with its warm start as it is: more will be written."""
        state = self._batch.state[ids]
        self.derive(ids)
        self._batch.state[ids] = state  # a forward pass moves the warm start

    @contextlib.contextmanager
    def starting(self, ids: IntArray) -> Iterator[None]:
        """While states of the worlds `ids` are written, compute derived fields when they are read.

        Nothing is computed where nothing is read.
        """
        cached = self.__dict__.keys() & self._batch._bound.keys()
        fields = {name: self.__dict__.pop(name) for name in cached}
        self._starting = ids
        try:
            yield
        finally:
            self._starting = None
            self.__dict__.update(fields)

    def _current(self) -> None:
        if self._starting is not None and self.reads_derived_fields:
            self.derive_for_reading(self._starting)

    def catch_up(self) -> None:
        """Compute what `derive` has left; worlds in which MuJoCo raises are lost.

        They become unstable in the next step.
        """
        if not self._underived.any():
            return
        ids = np.flatnonzero(self._underived).astype(np.int32)
        self._underived[:] = False
        self._before()
        if self.sets_constants:
            self._lose_failing(self._batch.set_const, ids)
        self._lose_failing(self._batch.forward, ids)

    def _lose_failing(self, call: Callable[[IntArray], None], ids: IntArray) -> None:
        try:
            call(ids)
        except mujoco.batch.SimulationError as error:
            self.lost[error.ids] = True

    def update_constants(self, ids: IntArray) -> None:
        """Compute what MuJoCo derives from the models of the worlds `ids`; a step must follow."""
        if self.sets_constants:
            self._lose_failing(self._batch.set_const, np.asarray(ids, dtype=np.int32))

    def set_commanded(self, ids: IntArray, controls: NDArray[np.float64]) -> None:
        """Fill the engine's delay lines of the worlds `ids` with `controls`, (m, nu)."""
        if controls.any():
            self.set_past_commands(ids, controls[:, None], 1)

    def set_past_commands(
        self, ids: IntArray, controls: NDArray[np.float64], substeps: int
    ) -> None:
        """Fill the engine's delay lines of the worlds `ids`, at the start of their episodes.

        As if the k `controls`, (m, k, nu), had been given before, each for so many `substeps`, and
        the first of them ever since.
        """
        if self.model.nhistory:
            slots, columns, ages = self._delay_slots
            steps = np.maximum(controls.shape[1] - 1 - ages // substeps, 0)
            self.history[ids[:, None], slots] = controls[:, steps, columns]

    @functools.cached_property
    def _delay_slots(self) -> tuple[IntArray, IntArray, IntArray]:
        """Where `history` holds the values of which control, and how many substeps later others.

        Of each delayed actuator it holds a number of the user's, a cursor, the times, the values;
        at the start of an episode the earliest one is the first.
        """
        model = self.model
        found = [
            (address + 2 + count + sample, control, count - 1 - sample)
            for address, control, (count, _) in zip(
                model.actuator_historyadr.tolist(),
                model.actuator_ctrladr.tolist(),
                model.actuator_history.tolist(),
                strict=True,
            )
            for sample in range(count)
        ]
        slots, columns, ages = np.array(found, dtype=np.intp).T
        return slots, columns, ages

    def __getattr__(self, name: str) -> Any:
        if name in mujoco.batch.DATA_FIELDS:
            values = self._batch.bind(name)
            if self._starting is None or name not in self._batch._bound:
                self.__dict__[name] = values
            else:
                self._current()
            return values
        if name in _VIEWS:
            return functools.partial(self._view, name)
        raise AttributeError(f"a world has no {name!r}; its fields are those of MuJoCo's MjData")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in mujoco.batch.DATA_FIELDS:
            getattr(self, name)[...] = value
        else:
            object.__setattr__(self, name, value)

    def _fill(self, name: str) -> None:
        """Compute the derived field `name`, which is read for the first time, in all worlds.

        The state with its warm start, and the fields that were read before, stay as they are.
        """
        self.catch_up()
        state, fields = self._batch.state.copy(), self._batch.derived()
        del fields[name]
        self._lose_failing(self._batch.forward, self._all.astype(np.int32))
        self._batch.state[:] = state
        self._batch.set_derived(fields)

    def _view(self, kind: str, name: str) -> Element:
        self._current()
        if (kind, name) not in self._views:
            try:
                self._views[kind, name] = getattr(self._batch, kind)(name)
            except KeyError:
                count = getattr(self.model, _VIEWS[kind])
                names = [getattr(self.model, kind)(index).name for index in range(count)]
                raise unknown(f"{kind} of the model", name, filter(None, names)) from None
        return self._views[kind, name]
