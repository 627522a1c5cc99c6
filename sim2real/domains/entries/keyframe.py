"""The key frame of the model that a domain starts its episodes from."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.errors import UserError, unknown
from sim2real.task import Array

_FIELDS = {"qpos": "key_qpos", "qvel": "key_qvel", "act": "key_act"}
_MOCAP = {"mocap_pos": "key_mpos", "mocap_quat": "key_mquat"}


@dataclass(frozen=True, eq=False)
class Keyframe:
    """A state: MjData field -> its values in one world."""

    name: str
    fields: dict[str, Array]


def bind_keyframe(name: str | None, model: mujoco.MjModel, domain: str) -> Keyframe | None:
    """The key frame `name` of the model; None for none.

    Raises UserError if the model has no such key frame, or its state is not finite.
    """
    if name is None:
        return None
    names = [model.key(index).name for index in range(model.nkey)]
    if name not in filter(None, names):
        raise unknown(f"key frame of the model in domain {domain!r}", name, filter(None, names))
    row = names.index(name)
    fields = {field: np.array(getattr(model, key)[row]) for field, key in _FIELDS.items()}
    if model.nmocap:
        fields |= {
            field: np.array(getattr(model, key)[row]).reshape(model.nmocap, -1)
            for field, key in _MOCAP.items()
        }
    for field, values in fields.items():
        if not np.isfinite(values).all():
            raise UserError(f"domain {domain!r}: key frame {name!r}: its {field} is not finite")
    return Keyframe(name, {field: values for field, values in fields.items() if values.size})
