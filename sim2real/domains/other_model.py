"""A domain with a model of its own: a target that is another MJCF, or one of the Menagerie's."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import mujoco

from sim2real.domains.domain import Domain
from sim2real.domains.mapping import add_sensors, rename
from sim2real.domains.menagerie import is_menagerie, menagerie_file
from sim2real.domains.stranger import check_stranger
from sim2real.errors import UserError
from sim2real.task import Task

_LAWS = (
    ("actuator_dyntype", mujoco.mjtDyn),
    ("actuator_gaintype", mujoco.mjtGain),
    ("actuator_biastype", mujoco.mjtBias),
)
_KINDS = (("joint", "njnt"), ("actuator", "nu"))


def model_file(model: str) -> Path:
    """Where the model of a domain lies; UserError if it is not there."""
    file = menagerie_file(model) if is_menagerie(model) else Path(model)
    if not file.is_file():
        raise UserError(f"the model {file} does not exist")
    return file


def spec_of(task: Task, domain: Domain) -> mujoco.MjSpec:
    """The model that `domain` names in place of that of `task`, with the task's own edits.

    Its elements are called as the domain's mapping says, and it gets the sensors of the task that
    it lacks. Raises UserError where it is not there, not valid or breaks the compiler, and where
    the task does not fit it: names and types of joints and actuators, and with them the sizes of
    state and control, must be those of the task's own model.
    """
    assert domain.model is not None
    file = model_file(domain.model)
    check_stranger(file)
    own = task.spec()
    with _told(f"{file} is not valid"):
        spec = mujoco.MjSpec.from_file(str(file))
    rename(spec, domain.mapping, own, str(file))
    missing = add_sensors(spec, own)
    task.edit(spec)
    with _told(f"{file} does not compile"):
        model = spec.compile()
    nominal = own.compile()
    problems = [*_differences(nominal, model), *missing]
    if problems:
        raise UserError(f"{file} does not fit task {task.name!r}: {'; '.join(problems)}")
    for difference in _unlike(nominal, model):
        warnings.warn(f"{file} beside the model of task {task.name!r}: {difference}", stacklevel=2)
    return spec


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Tell what MuJoCo refuses as the user's error, on one line."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{what}: {' '.join(str(error).split())}") from None


def _differences(nominal: mujoco.MjModel, model: mujoco.MjModel) -> list[str]:
    """What a task that was made for `nominal` does not find in `model`, by name."""
    problems = []
    for kind, count in _KINDS:
        own, other = (
            [_named(one, kind, i) for i in range(getattr(one, count))] for one in (nominal, model)
        )
        missing = [name for name in own if name not in other]
        more = [name for name in other if name not in own]
        if missing or more:
            problems.append(
                f"its {kind}s lack {', '.join(missing) or 'none'}, "
                f"and have besides {', '.join(more) or 'none'}"
            )
        elif own != other:
            problems.append(f"it has the {kind}s in another order: {', '.join(other)}")
    if problems:
        return problems
    return [
        f"its {size} is {getattr(model, size)}, not {getattr(nominal, size)}"
        for size in ("nq", "nv", "nu", "na")
        if getattr(model, size) != getattr(nominal, size)
    ]


def _unlike(nominal: mujoco.MjModel, model: mujoco.MjModel) -> Iterator[str]:
    """How actuators of the same name differ in what a control means: its range, and its law."""
    for index in range(nominal.nu):
        name = _named(nominal, "actuator", index)
        own, other = (one.actuator_ctrlrange[index].tolist() for one in (nominal, model))
        if own != other:
            yield f"actuator {name} has the control range {other}, not {own}"
        for field, kind in _LAWS:
            own, other = (kind(int(getattr(one, field)[index])).name for one in (nominal, model))
            if own != other:
                yield f"actuator {name} has the {field[9:]} {other}, not {own}"


def _named(model: mujoco.MjModel, kind: str, index: int) -> str:
    """An element's name, or its place where it has none; of a joint also the type."""
    name = getattr(model, kind)(index).name or f"#{index}"
    if kind == "actuator":
        return name
    return f"{name} ({mujoco.mjtJoint(int(model.jnt_type[index])).name[6:].lower()})"
