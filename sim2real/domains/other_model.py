"""A domain with an MJCF file of its own: a target that is another model."""

from __future__ import annotations

from pathlib import Path

import mujoco

from sim2real.errors import UserError
from sim2real.task import Task

_KINDS = (("joint", "njnt"), ("actuator", "nu"))


def spec_of(task: Task, file: str) -> mujoco.MjSpec:
    """The MJCF `file` in place of that of `task`, with the task's own edits.

    Raises UserError where it is not there or not valid, and where the task does not fit it: names
    and types of joints and actuators, and with them the sizes of state and control, must be those
    of the task's own model.
    """
    spec = task.spec(Path(file))
    try:
        model = spec.compile()
    except ValueError as error:
        raise UserError(f"{file} does not compile: {' '.join(str(error).split())}") from None
    nominal = task.compile()
    for kind, count in _KINDS:
        own, other = (
            [_named(one, kind, i) for i in range(getattr(one, count))] for one in (nominal, model)
        )
        missing = [name for name in own if name not in other]
        more = [name for name in other if name not in own]
        if missing or more:
            raise UserError(
                f"{file} does not fit task {task.name!r}: its {kind}s lack "
                f"{', '.join(missing) or 'none'}, and have besides {', '.join(more) or 'none'}"
            )
        if own != other:
            raise UserError(f"{file} has the {kind}s in another order: {', '.join(other)}")
    for size in ("nq", "nv", "nu", "na"):
        if getattr(model, size) != getattr(nominal, size):
            raise UserError(
                f"{file} does not fit task {task.name!r}: its {size} is {getattr(model, size)}, "
                f"not {getattr(nominal, size)}"
            )
    return spec


def _named(model: mujoco.MjModel, kind: str, index: int) -> str:
    """An element's name, or its place where it has none; of a joint also the type."""
    name = getattr(model, kind)(index).name or f"#{index}"
    if kind == "actuator":
        return name
    return f"{name} ({mujoco.mjtJoint(int(model.jnt_type[index])).name[6:].lower()})"
