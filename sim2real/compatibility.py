"""Fixes for faults of other libraries, each with the version that has the fault."""

from __future__ import annotations

import sys
import types


def fix_gymnasium_robotics() -> None:
    """Let the Fetch and Shadow hand environments of gymnasium-robotics 1.4.2 run on MuJoCo 4.

    They assert `model.jnt_type[i] in (mjJNT_HINGE, mjJNT_SLIDE)`, which asks the enum whether it
    equals a NumPy integer; MuJoCo 4's enums differ from it, and making the environment ends in a
    bare AssertionError. That module gets the joint types as plain integers instead.
    Nothing is done where gymnasium-robotics was not imported, or where the comparison holds.
    """
    module = sys.modules.get("gymnasium_robotics.utils.mujoco_utils")
    if module is None:
        return
    import mujoco
    import numpy as np

    joint = mujoco.mjtJoint
    if joint.mjJNT_HINGE == np.int32(joint.mjJNT_HINGE) or module.mujoco is not mujoco:
        return
    plain = types.SimpleNamespace(**vars(mujoco))
    plain.mjtJoint = types.SimpleNamespace(
        **{name: int(value) for name, value in joint.__members__.items()}
    )
    module.mujoco = plain  # type: ignore[attr-defined]
