"""The quantity that shows the effect of a parameter best."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np

from sim2real.domains.model_fields.elements import element_rows
from sim2real.domains.model_fields.table import STRENGTH
from sim2real.evaluation.audit.findings import Curve
from sim2real.evaluation.audit.foreign_worlds import Worlds
from sim2real.evaluation.audit.motions import COMMANDS, WORLDS, Motion
from sim2real.task import Array

_SHOWN = {"sensing": "observation", "actuation": "force"}
_CLEARNESS = np.array([1.0, 1.0, 1.0, 0.2])
"""Small commands change too often to be read in a figure."""


def best_curve(
    section: str, nominal: Motion, ends: Mapping[str, Motion], simulation: Worlds
) -> Curve | None:
    """The coordinate, force or observation that the ends move farthest from the nominal world.

    `nominal` and `ends` have the same control steps; None without ends. What is not sound is not
    drawn (NaN).
    """
    if not ends:
        return None
    field = _SHOWN.get(section, "qpos")
    if field == "force" and all(_same(getattr(one, field), nominal.force) for one in ends.values()):
        field = "qpos"
    values = {name: _sound(one, field) for name, one in ends.items()}
    base = _sound(nominal, field)
    scale = np.nanstd(base, axis=0) + 1e-3 * np.nanstd(base) + 1e-12
    moved = [np.nan_to_num(np.abs(one - base) / scale).mean(axis=0) for one in values.values()]
    total = np.sum(moved, axis=0) * _CLEARNESS[np.arange(base.shape[1]) % WORLDS, None]
    world, column = np.unravel_index(int(np.argmax(total)), total.shape)
    lines = {name: one[:, world, column].tolist() for name, one in values.items()}
    seconds = (np.arange(1, len(base) + 1) * simulation.dt).tolist()
    return Curve(
        _name(simulation, field, int(column)),
        COMMANDS[int(world) % WORLDS],
        seconds,
        {"nominal": base[:, world, column].tolist(), **lines},
    )


def _same(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one, other)


def _sound(motion: Motion, field: str) -> Array:
    values: Array = np.where(motion.sound[..., None], getattr(motion, field), np.nan)
    return values


def _name(simulation: Worlds, field: str, column: int) -> str:
    model = simulation.model
    if field == "observation":
        for term in simulation.observation_terms:
            if column < term.size:
                return (
                    f"observed {term.name} {column}" if term.size > 1 else f"observed {term.name}"
                )
            column -= term.size
    if field == "force":
        return f"force of {list(element_rows(model, STRENGTH, ()))[column]}"
    joint = int(np.searchsorted(model.jnt_qposadr, column, side="right")) - 1
    name = model.joint(joint).name or f"joint {joint}"
    offset = column - int(model.jnt_qposadr[joint])
    names = {mujoco.mjtJoint.mjJNT_FREE: "xyzwijk", mujoco.mjtJoint.mjJNT_BALL: "wijk"}
    parts = names.get(mujoco.mjtJoint(int(model.jnt_type[joint])))
    return f"{name} {parts[offset]}" if parts else name
