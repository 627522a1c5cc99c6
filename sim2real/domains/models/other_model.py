"""A domain with a model of its own: a target that is another MJCF, or one of the Menagerie's."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import mujoco

from sim2real.domains.domain import Domain
from sim2real.domains.models.matching import (
    actuator_names,
    joint_names,
    label,
    misfits,
    names_in_file,
    other_commands,
    other_order,
    ranks,
)
from sim2real.domains.models.menagerie import is_menagerie, menagerie_file
from sim2real.domains.models.name_mapping import add_sensors, rename
from sim2real.domains.models.reordering import move_keyframes, reordered
from sim2real.errors import UserError
from sim2real.files import absent
from sim2real.task import Task
from sim2real.untrusted_model import check_model


def model_file(model: str) -> Path:
    """Where the model of a domain lies; UserError if it is not there."""
    file = menagerie_file(model) if is_menagerie(model) else Path(model)
    if not file.is_file():
        raise UserError(f"the model {absent(file)}")
    return file


def spec_of(task: Task, domain: Domain) -> mujoco.MjSpec:
    """The model that `domain` names in place of that of `task`, with the task's own edits.

    Its elements have the names of the domain's mapping, its joints and actuators stand in the
    order of the task's, and it gets the sensors of the task that it lacks. A warning names what was
    reordered, and actuators whose control means something else. Raises UserError where the file is
    missing, not valid or breaks the compiler, and where the task does not fit it: names and types
    of joints and actuators, and with them the sizes of state and control, must be those of the
    task's own model.
    """
    spec, notes = _read(task, domain)
    for note in notes:
        warnings.warn(
            f"{domain.model} beside the model of task {task.name!r}: {note}", stacklevel=2
        )
    return spec


def notes_of(task: Task, domain: Domain) -> list[str]:
    """The warnings of `spec_of`: reordered elements, actuators with another control."""
    return _read(task, domain)[1]


def _read(task: Task, domain: Domain) -> tuple[mujoco.MjSpec, list[str]]:
    assert domain.model is not None
    file = model_file(domain.model)
    check_model(file)
    own = task.spec()
    nominal = own.compile()
    with _reported(f"{file} is not valid"):
        spec = mujoco.MjSpec.from_file(str(file))
    ranks = _rename(spec, domain, own, nominal, file)
    with _reported(f"{file} does not compile"):
        before = spec.compile()
        moved = list(other_order(nominal, before))
        if moved:
            spec = reordered(file, *ranks)
            _rename(spec, domain, own, nominal, file)
            move_keyframes(spec, before, spec.compile())
    missing = add_sensors(spec, own)
    task.edit(spec)
    with _reported(f"{file} does not compile"):
        model = spec.compile()
    problems = [*misfits(nominal, model), *missing]
    if problems:
        raise UserError(f"{file} does not fit task {task.name!r}: {'; '.join(problems)}")
    return spec, [*moved, *other_commands(nominal, model)]


def _rename(
    spec: mujoco.MjSpec, domain: Domain, own: mujoco.MjSpec, nominal: mujoco.MjModel, file: Path
) -> tuple[dict[str, int], dict[str, int]]:
    """Call elements as the task does; return the place of each joint and actuator of the file."""
    joints, actuators = names_in_file(spec)
    rename(spec, domain.mapping, own, str(file))
    return (
        ranks(joints, [joint.name for joint in spec.joints], joint_names(nominal)),
        ranks(actuators, [label(one) for one in spec.actuators], actuator_names(nominal)),
    )


@contextlib.contextmanager
def _reported(what: str) -> Iterator[None]:
    """Raise UserError, on one line, for what MuJoCo refuses."""
    try:
        yield
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f"{what}: {' '.join(str(error).split())}") from None
