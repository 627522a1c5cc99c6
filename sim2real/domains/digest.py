"""A digest of a compiled model, which does not depend on where its files lie."""

from __future__ import annotations

import functools
import hashlib

import mujoco
import numpy as np


def model_digest(model: mujoco.MjModel) -> str:
    """A digest of a compiled model with every mesh and texture, not of the place of its files."""
    digest = hashlib.sha256(model.names)
    for part in (model, model.opt, model.stat):
        for name in _fields(type(part)):  # type: ignore[arg-type]  # a class is hashable
            value = getattr(part, name)
            if isinstance(value, np.ndarray | int | float):
                digest.update(name.encode() + np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


@functools.cache
def _fields(kind: type) -> tuple[str, ...]:
    """The names, in order, of what may be a number or an array and does not tell of a place."""
    return tuple(
        name
        for name in sorted(dir(kind))
        if not name.startswith("_")
        and "path" not in name
        and name not in _OF_PLACE
        and not callable(getattr(kind, name))
    )


_OF_PLACE = ("nbuffer", "signature")
"""Fields that change with the length of the paths of the model's files."""
