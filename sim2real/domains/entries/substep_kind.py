"""The base of kinds of actuation that change the model before every physics step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import mujoco
import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.entries.entry import Entry
from sim2real.domains.entries.stage import Kind
from sim2real.task import IntArray

_JOINTS = (int(mujoco.mjtTrn.mjTRN_JOINT), int(mujoco.mjtTrn.mjTRN_JOINTINPARENT))
_TURNS_OR_SLIDES = (int(mujoco.mjtJoint.mjJNT_HINGE), int(mujoco.mjtJoint.mjJNT_SLIDE))


class SubstepKind(Kind):
    """A property of a drive that depends on a `quantity` of its joint in every physics step.

    What `bind` returns acts by a partner in `simulation/signals`.
    """

    quantity: ClassVar[str] = ""

    @classmethod
    def bind(cls, builder: Builder, entry: Entry, rows: IntArray, sources: IntArray) -> object:
        """Bind an entry to the actuators `rows`, (k,), whose draws are the context's `sources`."""
        raise NotImplementedError("def bind(cls, builder, entry, rows, sources)")

    @classmethod
    def bound(cls, builder: Builder, entry: Entry, elements: Mapping[str, IntArray]) -> object:
        """Bind an entry to the actuators `elements`, rows by name.

        Raises UserError for an actuator that moves no hinge or slide.
        """
        rows = np.concatenate(list(elements.values())).astype(np.intp)
        for row in rows.tolist():
            if not _moves_one_dof(builder.model, row):
                name = builder.model.actuator(row).name
                problem = f"{name} moves no hinge or slide, so it has no {cls.quantity}"
                raise builder.error(entry.label, problem)
        drawn = builder.draws(entry.label, list(elements), entry.distribution, entry.is_shared)
        sizes = [len(found) for found in elements.values()]
        return cls.bind(builder, entry, rows, np.repeat(np.array(drawn, dtype=np.intp), sizes))


def _moves_one_dof(model: mujoco.MjModel, row: int) -> bool:
    if model.actuator_trntype[row] not in _JOINTS:
        return False
    return model.jnt_type[model.actuator_trnid[row, 0]] in _TURNS_OR_SLIDES
