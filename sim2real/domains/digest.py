"""A digest of a compiled model, which does not depend on where its files lie."""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np


def model_digest(model: mujoco.MjModel) -> str:
    """A digest of a compiled model with every mesh and texture, not of the place of its files."""
    digest = hashlib.sha256(model.names)
    for part in (model, model.opt, model.stat):
        for name in sorted(dir(part)):
            value = None if name.startswith("_") or "path" in name else getattr(part, name)
            if isinstance(value, np.ndarray | int | float) and name not in _OF_PLACE:
                digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


_OF_PLACE = ("nbuffer", "signature")
"""Fields that change with the length of the paths of the model's files."""
