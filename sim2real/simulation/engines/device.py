"""Worlds of one model in the memory of a Warp device: their state in, physics steps, results out.

The kernels of a step are recorded as one graph, which is replayed: on the CPU, too, launches one by
one take ten times as long.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Collection
from typing import Any

import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import NDArray

from sim2real.domains.entries.engine import Warp
from sim2real.errors import UserError
from sim2real.extras import needed
from sim2real.world import World

Floats = NDArray[np.float32]
READABLE = World.__annotations__.keys() & mujoco.batch.DATA_FIELDS
"""The fields that a task may read, where Warp has them."""

_STATE = mujoco.mjtState
_GIVEN = int(_STATE.mjSTATE_INTEGRATION) & ~int(_STATE.mjSTATE_PLUGIN)
MOVED = (
    _STATE.mjSTATE_TIME,
    _STATE.mjSTATE_QPOS,
    _STATE.mjSTATE_QVEL,
    _STATE.mjSTATE_ACT,
    _STATE.mjSTATE_HISTORY,
    _STATE.mjSTATE_WARMSTART,
    _STATE.mjSTATE_PLASTIC,
)
"""The components of the state that a step changes, in their order."""
_OTHERWISE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "opt.impratio": ("opt.impratio_invsqrt", lambda values: 1.0 / np.sqrt(values)),
    "opt.tolerance": ("opt.tolerance", lambda values: np.maximum(values, 1e-6)),
}
"""Model fields that Warp has in another form: its name, and the values in that form."""
_SWITCHES = {
    "opt.density",
    "opt.viscosity",
    "opt.wind",
    "tendon_stiffness",
    "tendon_damping",
    "actuator_damping",
    "dof_frictionloss",
    "tendon_frictionloss",
}
"""Model fields without which, where they are 0, Warp leaves out a part of the physics."""
MOST_PER_WORLD = 8192
"""The most contacts and constraints of a world that there is ever made room for."""


def warp(module: str = "") -> Any:
    """MuJoCo Warp, or the `module` "warp"; UserError with the command that installs it."""
    return needed(module or "mujoco_warp", "the engine warp", "gpu")


def find_device(settings: Warp, where: str) -> Any:
    """The Warp device of the `settings`; a warning where none is named and there is no GPU.

    Raises UserError for a device that is not there.
    """
    wp = warp("warp")
    wp.config.log_level = wp.LOG_WARNING
    wp.init()
    cuda = [str(one) for one in wp.get_cuda_devices()]
    if settings.device == "auto":
        if not cuda:
            warnings.warn(
                f"{where}: the engine warp finds no CUDA device and runs on the CPU, where MuJoCo "
                "itself is faster; 'device: cpu' says that this is meant",
                stacklevel=7,
            )
        return wp.get_device(cuda[0] if cuda else "cpu")
    name = "cuda:0" if settings.device == "cuda" else settings.device
    if name not in ("cpu", *cuda):
        raise UserError(
            f"{where}: the engine warp has no device {settings.device}; found: "
            f"{', '.join(('cpu', *cuda))}"
        )
    return wp.get_device(name)


class Device:
    """`num_envs` worlds of a `model` on the device of the `settings`.

    Raises UserError for a model with parts that Warp does not have; `where` begins the message.
    """

    def __init__(self, model: mujoco.MjModel, num_envs: int, settings: Warp, where: str) -> None:
        self._mjw, self._wp = warp(), warp("warp")
        self._device = find_device(settings, where)
        self._host, self._num_envs, self._where = model, num_envs, where
        self._deterministic = settings.deterministic
        self._fields: dict[str, NDArray[Any]] = {}  # what was sent, by name
        self._contacts: int | None = None  # room in each world; None: Warp's own guess
        self._constraints = _first_room(model)
        self._graphs: dict[Any, Any] = {}
        self._model: Any = self._new_model()
        self._data: Any = None
        self._stale = True  # what was recorded does not have the fields and the room of now

    @property
    def name(self) -> str:
        """The device as its maker calls it."""
        return str(self._device.name)

    # -- model fields --------------------------------------------------------------------------

    def shares(self, name: str) -> bool:
        """Whether all worlds have one value of a model field that the physics depends on."""
        owner, field = self._field(name)
        if not hasattr(owner, field):  # it is no part of Warp's physics
            return name.startswith("opt.")
        return not self.takes(name)

    def takes(self, name: str) -> bool:
        """Whether each world may have its own values of a model field."""
        owner, field = self._field(name)
        found = type(owner).__dataclass_fields__.get(field)
        return found is not None and tuple(getattr(found.type, "shape", ()))[:1] == ("*",)

    def send(self, name: str, values: NDArray[Any]) -> None:
        """Give the worlds their own values of a model field, (n, ...), where they changed."""
        sent = self._fields.get(name)
        if sent is not None and np.array_equal(sent, values):
            return
        self._fields[name] = values.copy()
        if sent is None:
            self._stale = True
        elif not self._stale:
            self._place(name, values)

    def _field(self, name: str) -> tuple[Any, str]:
        """Warp's model or its options, and the name of a MuJoCo field there."""
        place = _OTHERWISE.get(name, (name,))[0]
        owner = self._model.opt if place.startswith("opt.") else self._model
        return owner, place.removeprefix("opt.")

    def _place(self, name: str, values: NDArray[Any]) -> None:
        """Write the values of a field into the model on the device."""
        owner, field = self._field(name)
        array = getattr(owner, field)
        inner = tuple(getattr(array.dtype, "_shape_", ()))
        converted = _OTHERWISE[name][1](values) if name in _OTHERWISE else values
        host = np.ascontiguousarray(converted.reshape(self._num_envs, *array.shape[1:], *inner))
        if array.shape[0] == self._num_envs:
            array.assign(host)
            return
        own = self._wp.array(host, dtype=array.dtype, device=self._device)
        own._is_batched = True
        setattr(owner, field, own)

    # -- physics -------------------------------------------------------------------------------

    def step(self, state: Floats, nstep: int, current: bool) -> Floats:
        """Take `nstep` physics steps from the rows of `state`; the components `MOVED` of the new.

        Derived fields are then those of the state before the last step; if `current`, those of
        positions and velocities belong to the new one.
        """

        def work() -> None:
            for _ in range(nstep):
                self._mjw.step(self._model, self._data)
            self._mjw.get_state(self._model, self._data, self._moved, sum(map(int, MOVED)))
            if current:
                self._update()

        self._run((nstep, current), state, work)
        moved: Floats = self._moved.numpy()
        return moved

    def forward(self, state: Floats) -> None:
        """Compute all derived fields of the rows of `state`."""
        self._run("forward", state, lambda: self._mjw.forward(self._model, self._data))

    def has(self, name: str) -> bool:
        """Whether Warp has a derived field."""
        return name in self._mjw.Data.__dataclass_fields__

    def read(self, name: str) -> NDArray[Any]:
        """A derived field as the last call left it, (n, ...)."""
        values: NDArray[Any] = getattr(self._data, name).numpy()
        return values

    def _update(self) -> None:
        """Compute what depends on positions and velocities; forces stay those of the last step."""
        mjw, arguments = self._mjw, (self._model, self._data)
        mjw.fwd_position(*arguments)
        mjw.sensor_pos(*arguments)
        mjw.fwd_velocity(*arguments)
        mjw.sensor_vel(*arguments)

    def _run(self, key: Any, state: Floats, work: Callable[[], None]) -> None:
        """Do the `work` at the rows of `state`, recorded under the `key`; again, if room lacks."""
        while True:
            if self._stale:
                self._build()
            with self._wp.ScopedDevice(self._device):
                self._given.assign(state)
                self._replay(key, work)
                if not self._lacks_room():
                    return

    def _replay(self, key: Any, work: Callable[[], None]) -> None:
        def all_of_it() -> None:
            self._data.overflow.zero_()
            self._mjw.set_state(self._model, self._data, self._given, _GIVEN)
            work()

        if key not in self._graphs:
            all_of_it()  # compiles what is not compiled yet
            with self._wp.ScopedCapture() as capture:
                all_of_it()
            self._graphs[key] = capture.graph
        self._wp.capture_launch(self._graphs[key])

    # -- room ----------------------------------------------------------------------------------

    def _new_model(self) -> Any:
        with self._wp.ScopedDevice(self._device):
            try:
                model = self._mjw.put_model(_switched_on(self._host, self._fields))
            except (NotImplementedError, ValueError) as error:
                raise UserError(
                    f"{self._where}: the engine warp cannot take this model: {error}; allowed: a "
                    "model without it, or engine: mujoco"
                ) from None
        model.opt.warn_overflow = 0
        if self._deterministic:
            model.opt.deterministic = int(self._mjw.DeterminismType.ALL)
        return model

    def _build(self) -> None:
        """Make model and data anew, with the fields that were sent and the present room."""
        self._graphs.clear()
        self._stale = False
        self._model = self._new_model()
        for name, values in self._fields.items():
            self._place(name, values)
        with self._wp.ScopedDevice(self._device):
            self._data = self._mjw.make_data(
                self._host, self._num_envs, nconmax=self._contacts, njmax=self._constraints
            )
            sizes = [mujoco.mj_stateSize(self._host, one) for one in (_GIVEN, sum(map(int, MOVED)))]
            self._given, self._moved = (
                self._wp.zeros((self._num_envs, size), dtype=float) for size in sizes
            )

    def _lacks_room(self) -> bool:
        """Whether contacts or constraints were left out in the last call.

        The next call has twice the room then; and also where more than half was taken, as within a
        step of Runge and Kutta's only the last stage is seen here.
        """
        kind, data = self._mjw.OverflowType, self._data
        lost = int(np.bitwise_or.reduce(data.overflow.numpy()))
        no_contacts = bool(lost & int(kind.BROADPHASE | kind.NARROWPHASE | kind.CCD))
        no_constraints = bool(lost & int(kind.NEFC | kind.NJMAX_NNZ))
        if no_contacts or 2 * int(data.nacon.numpy()[0]) > data.naconmax:
            self._contacts = self._doubled("contacts", data.naconmax // self._num_envs)
        if no_constraints or 2 * int(data.nefc.numpy().max(initial=0)) > data.njmax:
            self._constraints = self._doubled("constraints", data.njmax)
        return no_contacts or no_constraints

    def _doubled(self, what: str, room: int) -> int:
        self._stale = True
        if 2 * room > MOST_PER_WORLD:
            raise UserError(
                f"{self._where}: there are more than {MOST_PER_WORLD:,} {what} in a world; "
                "allowed: a model with fewer, or engine: mujoco"
            )
        return 2 * room


def _first_room(model: mujoco.MjModel) -> int:
    """Constraints of a world that there is room for at first, a multiple of 64.

    Limits, dry friction, equality constraints, and two contacts of four rows for each geom.
    """
    fields = ("jnt_limited", "tendon_limited", "dof_frictionloss", "tendon_frictionloss")
    rows = sum(int(np.count_nonzero(getattr(model, name))) for name in fields)
    colliding = int(np.count_nonzero(model.geom_contype | model.geom_conaffinity))
    return 64 * math.ceil(max(1, rows + 6 * int(model.neq) + 8 * colliding) / 64)


def _switched_on(model: mujoco.MjModel, fields: Collection[str]) -> mujoco.MjModel:
    """The model with 1 where a field that differs between worlds is 0 and would switch a part off.

    The worlds' own values take their place.
    """
    copied = copy.copy(model)
    for name in _SWITCHES & set(fields):
        if name.startswith("opt."):
            setattr(copied.opt, name[4:], _without_0(getattr(copied.opt, name[4:])))
        else:
            getattr(copied, name)[:] = _without_0(getattr(copied, name))
    return copied


def _without_0(values: Any) -> Any:
    return np.where(np.asarray(values) == 0, 1.0, values)
