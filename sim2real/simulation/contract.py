"""The contract of a task, checked once when a simulation of it is made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium.spaces
import mujoco
import mujoco.batch
import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim2real.domains import Domain
from sim2real.domains.digest import model_digest
from sim2real.errors import UserError, brief, unknown
from sim2real.simulation.soundness import NotFiniteError
from sim2real.simulation.worlds import Worlds
from sim2real.task import ObservationTerm, Task

FIELD = "field."
"""The prefix of the names of derived fields in a snapshot."""


def action_space(task: Task, model: mujoco.MjModel) -> gymnasium.spaces.Box:
    """The task's action limits, else the control ranges; UserError if an actuator has none."""
    limited = np.asarray(model.actuator_ctrllimited).astype(bool)
    unlimited = [model.actuator(i).name or f"#{i}" for i in np.flatnonzero(~limited)]
    if model.nu == 0 or unlimited:
        which = ", ".join(unlimited) or "there is none"
        raise UserError(f"task {task.name!r}: every actuator needs a ctrlrange ({which})")
    low, high = model.actuator_ctrlrange.astype(np.float32).T
    if task.action_limits is not None:
        least, most = task.action_limits
        if not (np.isfinite([least, most]).all() and least < most):
            raise UserError(
                f"task {task.name!r}: action_limits are {task.action_limits}; allowed: two finite "
                "numbers, the lower first"
            )
        low, high = np.full_like(low, least), np.full_like(high, most)
    return gymnasium.spaces.Box(low, high, dtype=np.float32)


def observation_space(size: int) -> gymnasium.spaces.Box:
    """Any finite observation: what is not finite ends the episode as unstable."""
    largest = float(np.finfo(np.float32).max)
    return gymnasium.spaces.Box(-largest, largest, (size,), np.float64)


def world_digest(domain: Domain, model: mujoco.MjModel) -> NDArray[np.uint8]:
    """SHA-256, (32,), of what a `domain` without its name draws, and of its nominal `model`."""
    plain = {name: data for name, data in domain.plain().items() if name not in ("about", "model")}
    digest = hashlib.sha256(json.dumps(domain.digested(plain), sort_keys=True).encode())
    digest.update(model_digest(model).encode())
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def check_snapshot(snapshot: Mapping[str, NDArray[Any]], own: Mapping[str, NDArray[Any]]) -> None:
    """UserError unless a `snapshot` has arrays of the shapes of one's `own`, and its digest."""
    if not np.array_equal(snapshot.get("digest", own["digest"]), own["digest"]):
        raise UserError(
            "snapshot: it was taken in another domain, or with another model; allowed: a "
            "simulation with the same arguments"
        )
    for name, values in own.items():
        if name == "distributions" and name in snapshot:
            continue  # of any length
        if name.startswith(FIELD) and name not in snapshot:
            continue  # read since then
        if name not in snapshot or snapshot[name].shape != values.shape:
            got = snapshot[name].shape if name in snapshot else "nothing"
            raise UserError(f"snapshot: {name} must be {values.shape}, got {got}")
    for name in derived_in(snapshot):
        if name not in mujoco.batch.DATA_FIELDS:
            raise unknown("snapshot: field", name, mujoco.batch.DATA_FIELDS)


def derived_in(snapshot: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The derived fields of a snapshot, by name."""
    names = [name for name in snapshot if name.startswith(FIELD)]
    return {name.removeprefix(FIELD): snapshot[name] for name in names}


def broadcast(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """`values` in a `shape`; UserError where numpy cannot broadcast them."""
    try:
        return np.broadcast_to(values, shape)
    except ValueError:
        got = np.shape(values)
        raise UserError(f"{name} must have the shape {shape}, got {got}") from None


def checked_action(action: ArrayLike, shape: tuple[int, int]) -> NDArray[Any]:
    """An action of the `shape` (n, nu); UserError for another shape and for what is not finite."""
    given = np.asarray(action)
    if given.dtype.kind not in "biuf":
        raise UserError(f"the action must be real numbers, got {given.dtype}")
    if given.shape != shape:
        raise UserError(f"the action must have the shape {shape}, got {given.shape}")
    finite = np.isfinite(given)
    if not finite.all():
        world, index = np.argwhere(~finite)[0]
        raise NotFiniteError(
            f"action {index} of world {world} is {given[world, index]}; it must be finite",
            int(world),
        )
    return given


@contextlib.contextmanager
def _located_errors(task: Task) -> Iterator[None]:
    """Turn an exception in a task's own code, such as an unknown index, into a UserError of one
    line with its file; the traceback is kept as its cause."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"task {task.name!r}: {what[:300]} ({where})") from error


def try_task(task: Task, world: Worlds) -> tuple[tuple[ObservationTerm, ...], tuple[str, ...]]:
    """Call every method that a control step calls; return the terms of observation and reward.

    All fields that the task reads are bound by that. Raises UserError for a broken promise.
    """
    world.previous = {name: getattr(world, name).copy() for name in task.remembers}
    action = np.zeros((world.num_envs, world.model.nu), dtype=np.float32)
    with _located_errors(task):
        observation = task.observe(world)
        control = np.shape(task.control(world, action))
        rewards, failed = task.reward(world, action), task.failed(world)
        success = task.succeeded(world)
    if control != action.shape:
        raise UserError(f"task {task.name!r}: control must be {action.shape}, got {control}")
    _check_terms(task, "observe", observation, world.num_envs, 2)
    _check_terms(task, "reward", rewards, world.num_envs, 1)
    _check_boolean(task, "failed", failed, world.num_envs)
    if success is not None:
        _check_boolean(task, "succeeded", success, world.num_envs)
    if type(task).privileged is Task.privileged:
        _check_units(task, observation)
    _check_commanded(task, observation)
    terms = tuple(
        ObservationTerm(
            name, values.shape[1], task.units.get(name, ""), commanded=name in task.commanded
        )
        for name, values in observation.items()
    )
    return terms, tuple(rewards)


def _check_commanded(task: Task, terms: Collection[str]) -> None:
    """UserError unless all that the task calls commanded is observed."""
    if isinstance(task.commanded, str):
        raise UserError(
            f"task {task.name!r}: commanded is {task.commanded!r}; allowed: a tuple of names"
        )
    for name in task.commanded:
        if name not in terms:
            raise unknown(f"commanded term of task {task.name!r}", name, terms)


def privileged_terms(
    task: Task, world: Worlds, policy_terms: Sequence[ObservationTerm], reserved: Sequence[str]
) -> tuple[ObservationTerm, ...]:
    """Call `task.privileged`; return its terms. Raises UserError for a broken promise.

    No term may have the name of one of the policy's or a `reserved` one.
    """
    found = task.privileged(world)
    taken = [term.name for term in policy_terms]
    for name in [name for name in taken if name in reserved] or found:
        if name in (*taken, *reserved):
            raise UserError(
                f"task {task.name!r}: privileged: no term may have the name {name!r}; "
                f"taken are {', '.join(dict.fromkeys([*taken, *reserved]))}"
            )
    if found:
        _check_terms(task, "privileged", found, world.num_envs, 2)
    _check_units(task, [*taken, *found])
    return tuple(
        ObservationTerm(name, values.shape[1], task.units.get(name, ""), "privileged")
        for name, values in found.items()
    )


def _check_units(task: Task, terms: Collection[str]) -> None:
    for what, given in (("unit", task.units), ("frame", task.frames)):
        for name in given:
            if name not in terms:
                raise unknown(f"{what} of task {task.name!r}", name, terms)


def _check_terms(
    task: Task, method: str, terms: Mapping[str, Any], num_envs: int, ndim: int
) -> None:
    if not isinstance(terms, Mapping) or not all(isinstance(name, str) for name in terms):
        raise UserError(
            f"task {task.name!r}: {method} must return a dictionary of named terms, got "
            f"{brief(type(terms).__name__)}"
        )
    for name, values in terms.items():
        if (dtype := np.asarray(values).dtype).kind not in "biuf":
            raise UserError(
                f"task {task.name!r}: {method}: {name} must be real numbers, got {dtype}"
            )
        shape = np.shape(values)
        if len(shape) != ndim or shape[0] != num_envs:
            expected = "(n,)" if ndim == 1 else "(n, k)"
            raise UserError(
                f"task {task.name!r}: {method}: {name} must be {expected} with n = {num_envs} "
                f"worlds, got {shape}"
            )
    if not terms:
        raise UserError(f"task {task.name!r}: {method} returned no terms")


def _check_boolean(task: Task, method: str, values: Any, num_envs: int) -> None:
    """UserError unless `values` are (n,) of bool."""
    _check_terms(task, method, {method: values}, num_envs, 1)
    if (dtype := np.asarray(values).dtype) != np.bool_:
        raise UserError(f"task {task.name!r}: {method} must be boolean, got {dtype}")
