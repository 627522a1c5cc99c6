"""The contract of everything in `envs/`: what is to be done, knowing nothing of randomization."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium.envs.mujoco
import mujoco
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.errors import UserError, brief
from sim2real.image import Image
from sim2real.mirror import Mirror
from sim2real.model_check import problems
from sim2real.untrusted_model import check_own_model
from sim2real.world import Array, BoolArray, IntArray, Rng, World

__all__ = [
    "Array",
    "BoolArray",
    "Image",
    "IntArray",
    "Mirror",
    "ObservationTerm",
    "Rng",
    "Task",
    "World",
    "gymnasium_asset",
    "labels",
    "whole_steps",
    "within",
]


@dataclass(frozen=True)
class ObservationTerm:
    """One named block of the observation: its size and, where it has one, its unit.

    A robot's policy sees the group "policy"; what is "privileged" only a simulator knows, and
    follows after it. `columns` names the numbers of a term, where they have names. What is
    `commanded` comes from the controller and not from a sensor; terms that differ in that alone are
    equal, as they mean the same to a policy. An image has a `shape` (channels, height, width), of
    which its numbers, 0 to 255, are the flat array, and the `period` in s between two images.
    """

    name: str
    size: int
    unit: str = ""
    group: Literal["policy", "privileged"] = "policy"
    columns: tuple[str, ...] = ()
    commanded: bool = field(default=False, compare=False)
    shape: tuple[int, ...] = ()
    period: float = 0.0

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each of its numbers: "position[0]", or "context[body_mass]"."""
        names = self.columns or tuple(str(index) for index in range(self.size))
        return tuple(f"{self.name}[{name}]" for name in names)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ObservationTerm:
        """A term from plain data, as `dataclasses.asdict` and JSON give it."""
        tuples = {name: tuple(data.get(name, ())) for name in ("columns", "shape")}
        return cls(**{**data, **tuples})


@functools.lru_cache(maxsize=64)
def _file_of(task: type) -> Path:
    """The Python file that defines a class; asked in each step, so found once."""
    return Path(inspect.getfile(task)).resolve()


def labels(terms: Iterable[ObservationTerm]) -> list[str]:
    """The name of each number of several terms, in their order."""
    return [label for term in terms for label in term.labels]


def units_of(terms: Iterable[ObservationTerm]) -> list[str]:
    """The unit of each number of several terms; "" in a term of several, such as "m, rad"."""
    return [unit for t in terms for unit in ["" if "," in t.unit else t.unit] * t.size]


class Task:
    """A task, for n worlds at once.

    A subclass names its model and control step, and defines observation, reward, failure and start
    states. All methods are batched: `world` is a `sim2real.task.World`, whose fields are live
    arrays with the worlds first, named as in MuJoCo's MjData (`world.qpos` is (n, nq)).
    """

    model: ClassVar[str] = ""
    """MJCF file; relative to the module; by default the module's name with `.xml`."""
    control_dt: ClassVar[float]
    """Control step in s, a multiple of the model's time step."""
    episode_s: ClassVar[float]
    """Time limit in s, a multiple of the control step."""
    units: ClassVar[dict[str, str]] = {}
    """Unit of each observation or privileged term that has one."""
    frames: ClassVar[dict[str, str]] = {}
    """Frame of each observation or privileged term that has one: "body", "world"."""
    remembers: ClassVar[tuple[str, ...]] = ()
    """MjData fields whose values before the control step the reward needs."""
    commanded: ClassVar[tuple[str, ...]] = ()
    """Observation terms that no sensor gives: a command, the last action, the phase of a clock.
    Imperfections of sensors leave them out unless a domain names them."""
    action_limits: ClassVar[tuple[float, float] | None] = None
    """Range of every action that `control` takes; None: the control ranges of the actuators."""
    memory: ClassVar[dict[str, int]] = {}
    """Sizes of the arrays that the task stores for each world: `world.memory["command"]` is (n, 3).
    Zero at the start of an episode; written by `start`, `redraw`, `control`, `reward`, never by
    `observe`."""
    redraw_s: ClassVar[float | None] = None
    """How often `redraw` is called in an episode, in s, a multiple of the control step."""
    history: ClassVar[dict[str, int]] = {}
    """Observation terms of which more than the last value is shown, and how many: side by side,
    oldest first, as the sensors gave them; at the start all are the first."""
    derived_fields: ClassVar[Literal["current", "lagged"]] = "current"
    """Whether positions of bodies, sensors and the like belong to the new state ("current") or are
    left one physics step behind, as by `mj_step` and as Gymnasium's environments read them."""
    mirror: ClassVar[Mirror | None] = None
    """The mirror image of the robot, if it has a plane of symmetry."""
    images: ClassVar[dict[str, Image]] = {}
    """Images that the policy observes, by the name of the term; they follow those of `observe`."""
    camera: ClassVar[dict[str, Any]] = {}
    """Free-camera settings for films: distance, azimuth, elevation, lookat, trackbodyid."""

    reference: str
    """How to find the task again: its name, its file, or "module:Class"."""

    def __init__(self, **options: Any) -> None:
        if options and type(self).__init__ is Task.__init__:
            raise UserError(f"task {self.name!r} takes no options, got {', '.join(options)}")
        self.options: dict[str, Any] = options
        module = type(self).__module__
        own = f"{module}:{type(self).__qualname__}"
        self.reference = self.name if self._is_shipped else own

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={brief(value)}" for name, value in self.options.items())
        return f"{type(self).__name__}({options})"

    def observe(self, world: World) -> dict[str, Array]:
        """Named terms, each (n, k); the observation is their concatenation in this order."""
        raise NotImplementedError("def observe(self, world) -> dict[str, (n, k) array]")

    def counted(self, values: Array, step: float) -> Array:
        """What an encoder with counts of size `step` shows of `values`, of any shape.

        For use in `observe`. Identification replays a log with exact values instead: rounded
        readings have no slopes by masses or frictions.
        """
        return np.rint(values / step) * step

    def privileged(self, world: World) -> dict[str, Array]:
        """Named terms, each (n, k), that a critic or a teacher may see besides. By default none.

        They follow the observation where privileged observations are asked for, before the
        observation without imperfections and the context, which are there for every task.
        """
        return {}

    def control(self, world: World, action: NDArray[Any]) -> NDArray[Any]:
        """The actuator controls, (n, nu), of an `action` (n, nu). By default the action.

        A default pose and a scale, for example. A domain's imperfections act on what it returns.
        """
        return action

    def reward(self, world: World, action: NDArray[Any]) -> dict[str, Array]:
        """Named terms, each (n,); the reward is their sum, left to right; each is logged.

        `action` is (n, nu), exactly as it was given to `step`.
        """
        raise NotImplementedError("def reward(self, world, action) -> dict[str, (n,) array]")

    def failed(self, world: World) -> BoolArray:
        """(n,) bool: which worlds end here as terminated. By default none."""
        return np.zeros(world.num_envs, dtype=bool)

    def start(self, world: World, ids: IntArray, rng: Rng) -> None:
        """Write the start states of the worlds `ids`, which stand at the model's defaults."""

    def redraw(self, world: World, ids: IntArray, rng: Rng) -> None:
        """Write new commands or goals of the worlds `ids` into `world.memory`. By default none.

        Called after `start`, and then every `redraw_s` seconds of an episode, if that is given:
        once the reward of a step is known, before the observation that follows it.
        """

    def succeeded(self, world: World) -> BoolArray | None:
        """(n,) bool: which worlds meet the task's goal at present. By default None: not defined.

        An episode is a success if this holds at its last step and it did not fail there.
        """
        return None

    def slip(self, world: World) -> Array | None:
        """(n,) m/s: mean speed over the floor of the feet that touch it, 0 where none does.

        By default None: the robot has no feet.
        """
        return None

    def edit(self, spec: mujoco.MjSpec) -> None:
        """Change the model before it is compiled. By default nothing."""

    @property
    def name(self) -> str:
        """The task's name: the stem of its file."""
        return self.file.stem

    @property
    def file(self) -> Path:
        """The Python file that defines the task."""
        return _file_of(type(self))  # type: ignore[arg-type]  # a class is hashable

    @property
    def model_file(self) -> Path:
        """The MJCF file of the task."""
        return self.file.parent / (self.model or f"{self.name}.xml")

    def spec(self, file: Path | None = None) -> mujoco.MjSpec:
        """The editable model with the task's own edits, or another one from `file`.

        Raises UserError if the file is missing or not valid.
        """
        path = file or self.model_file
        if not path.is_file():
            raise UserError(f"task {self.name!r}: the model {path} does not exist")
        if not self._is_shipped:
            check_own_model(path)
        try:
            spec = mujoco.MjSpec.from_file(str(path))
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"task {self.name!r}: {path} is not valid: {reason}") from None
        self.edit(spec)
        return spec

    def compile(self) -> mujoco.MjModel:
        """The nominal model; UserError if it does not compile, or cannot be simulated."""
        return self.compiled(self.spec())

    def compiled(self, spec: mujoco.MjSpec) -> mujoco.MjModel:
        """A model made from `spec`; UserError if it does not compile, or cannot be simulated."""
        try:
            model = spec.compile()
        except (ValueError, mujoco.FatalError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"task {self.name!r}: the model does not compile: {reason}") from None
        found = [] if self._is_shipped else problems(model)
        if found:
            raise UserError(f"task {self.name!r}: the model cannot be used: {'; '.join(found)}")
        return model

    @property
    def _is_shipped(self) -> bool:
        return type(self).__module__.startswith("sim2real.envs.")


def whole_steps(duration: float, step: float, what: str) -> int:
    """How many `step`s (s) make `duration` (s); UserError unless it is a whole number of them."""
    for seconds in (duration, step):
        if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number):
            raise UserError(f"{what} is {brief(seconds)}; allowed: a number of seconds")
    whole = step > 0 and np.isfinite(ratio := float(duration) / float(step))
    count = round(ratio) if whole else 0
    if count < 1 or abs(count * step - duration) > 1e-9 * max(duration, 1.0):
        raise UserError(f"{what} of {duration} s is not a multiple of {step} s")
    return count


def within(name: str, given: Any, low: ArrayLike, high: ArrayLike) -> Array:
    """An option of a task with one number for each of `low`, (k,), none beyond `low` and `high`.

    Raises UserError otherwise. For an option that is a command or a goal.
    """
    least, most = np.atleast_1d(low).astype(float), np.atleast_1d(high).astype(float)
    try:
        values = np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        values = np.full(0, np.nan)
    if values.shape != least.shape or not ((values >= least) & (values <= most)).all():
        allowed = ", ".join(f"{a:g} to {b:g}" for a, b in zip(least, most, strict=True))
        count = "one number" if len(least) == 1 else f"{len(least)} numbers"
        raise UserError(f"{name} is {given!r}; allowed: {count}, {allowed}")
    return values


def gymnasium_asset(name: str) -> str:
    """The path of an MJCF file that the installed gymnasium ships."""
    return str(Path(gymnasium.envs.mujoco.__file__).parent / "assets" / name)
