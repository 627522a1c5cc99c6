"""Foreign environments: Gymnasium environments that are not tasks of this library.

A reference to one is a Gymnasium id ("FetchReach-v4"; "module:Id" imports the module first), an
EnvSpec (which carries keyword arguments), a function that makes it, or "module:function".
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from numpy.typing import NDArray

from sim2real.compatibility import fix_gymnasium_robotics
from sim2real.config import parse
from sim2real.domains import Domain, Subject, load_domain
from sim2real.domains.domain import domain_in_file
from sim2real.domains.entries.disturbance import DisturbanceKind
from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.table import STRENGTH
from sim2real.errors import UserError
from sim2real.registry import load_task, refuse_policy, task_names
from sim2real.task import Array, ObservationTerm, Task

_PLUGINS = ("gymnasium_robotics",)  # registers its ids when it is imported

AnyEnv = gymnasium.Env[Any, Any]


@dataclass(frozen=True)
class ForeignEnv:
    """How to make a foreign environment, in this process or another; exactly one way is given."""

    name: str
    spec: EnvSpec | None = None
    function: Callable[[], AnyEnv] | None = None

    def rendering(self, mode: str | None) -> ForeignEnv:
        """The same, made with a render mode; UserError for one that a function makes."""
        if mode is None:
            return self
        if self.spec is None:
            raise UserError(f"{self.name} makes the environment: it must give it the render_mode")
        kwargs = {**self.spec.kwargs, "render_mode": mode}
        return dataclasses.replace(self, spec=dataclasses.replace(self.spec, kwargs=kwargs))

    def make(self) -> AnyEnv:
        """The environment; whatever its own code raises comes through."""
        for plugin in _PLUGINS:
            if self.spec is not None and str(self.spec.entry_point).startswith(f"{plugin}."):
                importlib.import_module(plugin)
        fix_gymnasium_robotics()
        if self.function is not None:
            return self.function()
        assert self.spec is not None
        try:
            return gymnasium.make(self.spec)
        except (ImportError, gymnasium.error.DependencyNotInstalled) as error:  # an old id
            reason = " ".join(str(error).split())
            raise UserError(f"{self.name} cannot be made: {reason}") from None

    @functools.cached_property
    def subject(self) -> tuple[mujoco.MjModel, Subject]:
        """The model of one environment, and the subject of a domain; made at the first use."""
        with warnings.catch_warnings(action="ignore"):
            env = self.make()
            found = env.unwrapped.model, subject_of(env)  # type: ignore[attr-defined]
            env.close()
        return found


def find_foreign(reference: Any) -> ForeignEnv | None:
    """The foreign environment that `reference` means; None if it can only mean a task of ours.

    Raises UserError for a module that cannot be imported, and for a name that is nearly an id.
    """
    if isinstance(reference, Task) or (isinstance(reference, type) and issubclass(reference, Task)):
        return None
    if isinstance(reference, EnvSpec):
        return ForeignEnv(reference.id, spec=reference)
    if callable(reference):
        return _of_function(reference)
    refuse_policy(reference)
    name = str(reference)
    if name in task_names() or name.endswith(".py"):
        return None
    module, _, attribute = name.rpartition(":")
    found = _in_module(module, attribute) if module else None
    if isinstance(found, type) and issubclass(found, Task):
        return None
    if callable(found):
        return ForeignEnv(name, function=cast(Callable[[], AnyEnv], found))
    return _registered(attribute)


def foreign_domain(domain: Domain | Mapping[str, Any] | str | None) -> Domain:
    """The domain that `domain` means where there is no task: an object, data, "file.yaml:name".

    None is the model as it is. Raises UserError if it is not there or not valid.
    """
    if isinstance(domain, Domain):
        return domain
    if domain is None:
        return Domain(name="nominal", about="The model as it is.")
    if isinstance(domain, Mapping):
        return parse(Domain, domain, "the domain")
    if ".yaml:" not in domain:
        raise UserError(
            f"a foreign environment has no domains of its own, such as {domain!r}; allowed: "
            "'my_domains.yaml:windy', or a Domain in Python"
        )
    return domain_in_file(domain)


def task_or_foreign(reference: Any) -> Task | ForeignEnv:
    """The foreign environment that `reference` means, else the task."""
    return find_foreign(reference) or load_task(reference)


def domain_for(subject: Task | ForeignEnv, domain: str | Domain) -> Domain:
    """The domain that `domain` means for a task or a foreign environment."""
    return load_domain(subject, domain) if isinstance(subject, Task) else foreign_domain(domain)


def check_foreign(domain: Domain) -> None:
    """Raise UserError, by name, for what cannot be done to a model that is compiled already."""
    if domain.model is not None:
        raise _refused(domain, "model", "it is the environment that has one")
    if domain.engine is not None:
        raise _refused(domain, "engine", "its engine is the environment's own")
    if domain.keyframe is not None:
        raise _refused(domain, "keyframe", "its start states are the environment's own")
    if domain.control_period is not None:
        raise _refused(domain, "control_period", "its control step is the environment's own")
    for parameter in domain.dynamics:
        if parameter.field == "opt.timestep":
            raise _refused(domain, parameter.field, "its time step is the environment's own")
    for one in domain.parameters:
        if one.course is not None:
            raise UserError(
                f"domain {domain.name!r}: {one.label}: a foreign environment cannot have a course: "
                "it steps its physics by itself"
            )
        if one.when != "reset":
            raise UserError(
                f"domain {domain.name!r}: {one.label}: a foreign environment draws at each reset; "
                "drop 'when'"
            )
    for entry in domain.disturbances:
        if issubclass(entry.kind, DisturbanceKind) and entry.kind.needs_spec:
            raise _refused(domain, entry.kind.name, entry.kind.needs_spec)


def _refused(domain: Domain, what: str, why: str) -> UserError:
    return UserError(
        f"domain {domain.name!r}: a foreign environment cannot have {what}, because its model is "
        f"compiled already: {why}"
    )


def subject_of(env: AnyEnv) -> Subject:
    """The subject of a domain: the terms, control step and time limit of a foreign environment.

    A Box is one term, "observation"; a Dict has a term for each key.
    Raises UserError if it has no MuJoCo model, or no control step is found.
    """
    unwrapped = env.unwrapped
    name = env.spec.id if env.spec is not None else type(unwrapped).__name__
    model, data = (getattr(unwrapped, part, None) for part in ("model", "data"))
    if not isinstance(model, mujoco.MjModel) or not isinstance(data, mujoco.MjData):
        raise UserError(
            f"{name} is no MuJoCo environment: it needs the attributes model (MjModel) and data "
            f"(MjData), as Gymnasium's MujocoEnv has them"
        )
    if type(unwrapped).__module__.startswith("sim2real."):
        raise UserError(f"{name} is a task already: gymnasium.make(id, domain=...) gives it one")
    control_dt = _control_dt(unwrapped, model)
    if control_dt is None:
        raise UserError(
            f"{name} has no control step: it needs an attribute dt, in s, or frame_skip"
        )
    limited = env.has_wrapper_attr("_max_episode_steps")  # TimeLimit's
    episode_s = float("inf")
    if limited:
        episode_s = env.get_wrapper_attr("_max_episode_steps") * control_dt
    return Subject(
        name,
        Terms(env.observation_space).terms,
        control_dt,
        episode_s,
        commands=_commands(env.action_space, model),
    )


def _control_dt(unwrapped: Any, model: mujoco.MjModel) -> float | None:
    """The control step in s: `dt`, else that of `frame_skip`, else that of an inner environment.

    The mazes and the kitchen of gymnasium-robotics keep the robot in an inner environment
    with the same model. None where neither attribute is found.
    """
    if getattr(unwrapped, "dt", None) is not None:
        return float(unwrapped.dt)
    if getattr(unwrapped, "frame_skip", None) is not None:
        return float(unwrapped.frame_skip * model.opt.timestep)
    for part in vars(unwrapped).values():
        if isinstance(part, gymnasium.Env) and getattr(part.unwrapped, "model", None) is model:
            return _control_dt(part.unwrapped, model)
    return None


class Terms:
    """The terms of an observation: one, "observation", of a Box; of a Dict one for each key.

    What is no Box of floats is no term.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self._named = isinstance(space, spaces.Dict)
        parts = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
        self._shapes = {
            name: part.shape
            for name, part in parts.items()
            if isinstance(part, spaces.Box) and np.issubdtype(part.dtype, np.floating)
        }
        self.terms = tuple(
            ObservationTerm(name, int(np.prod(shape))) for name, shape in self._shapes.items()
        )

    def numbers(self, observation: Any) -> Array:
        """The numbers of all terms in one row, (k,); a copy."""
        parts = [observation[name] if self._named else observation for name in self._shapes]
        rows = [np.asarray(part, dtype=np.float64).reshape(-1) for part in parts]
        return np.concatenate([*rows, np.zeros(0)])

    def with_numbers(self, observation: Any, numbers: Array) -> Any:
        """The `observation` with the `numbers` (k,) in its terms."""
        ends = np.cumsum([term.size for term in self.terms])
        parts = dict(zip(self._shapes, np.split(numbers, ends[:-1]), strict=True))
        if not self._named:
            return self._shaped("observation", parts["observation"], observation)
        changed = {name: self._shaped(name, parts[name], observation[name]) for name in parts}
        return {**observation, **changed}

    def _shaped(self, name: str, part: Array, like: NDArray[Any]) -> NDArray[Any]:
        return part.reshape(self._shapes[name]).astype(like.dtype)


def _commands(space: spaces.Space[Any], model: mujoco.MjModel) -> dict[str, tuple[float, float]]:
    """Names and limits of the numbers of an action; those of the actuators if there are as many."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 1:
        return {}
    names = list(element_rows(model, STRENGTH, ()))
    if len(names) != space.shape[0]:
        names = [f"action[{place}]" for place in range(space.shape[0])]
    ends = zip(space.low.tolist(), space.high.tolist(), strict=True)
    return dict(zip(names, ends, strict=True))


def _of_function(function: Callable[[], AnyEnv]) -> ForeignEnv:
    name = getattr(function, "__qualname__", "")
    if not name or "<" in name:
        raise UserError(
            "a worker can only be given a function of a module, by its name; not a lambda, "
            f"a local function or an object that is called: {function!r}"
        )
    return ForeignEnv(f"{function.__module__}:{name}", function=function)


def _in_module(module: str, attribute: str) -> Any:
    try:
        return getattr(importlib.import_module(module), attribute, None)
    except ImportError as error:
        raise UserError(f"{module}:{attribute}: {error}") from None


def _registered(name: str) -> ForeignEnv | None:
    if not re.search(r"-v\d+$", name):
        return None
    for plugin in _PLUGINS:
        if name not in gymnasium.registry and importlib.util.find_spec(plugin) is not None:
            importlib.import_module(plugin)
    if name in gymnasium.registry:
        return ForeignEnv(name, spec=gymnasium.spec(name))
    close = difflib.get_close_matches(name, [*task_names(), *gymnasium.registry], n=1)
    if close and close[0] in gymnasium.registry:
        raise UserError(f"unknown task or Gymnasium id {name!r}; did you mean {close[0]!r}?")
    return None
