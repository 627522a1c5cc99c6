"""Values as JSON and tensors: what a phase stores of its result. Nothing of it is code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sim2real.errors import UserError
from sim2real.identification.log import Log
from sim2real.identification.posterior import Misfit, Posterior
from sim2real.identification.problem import Fit
from sim2real.identification.residual import Residual
from sim2real.identification.result import Best
from sim2real.identification.score import Missing

RECORDS: dict[str, type[Any]] = {
    "log": Log,
    "fit": Fit,
    "posterior": Posterior,
    "misfit": Misfit,
    "missing": Missing,
    "best": Best,
    "residual": Residual,
}
"""Data classes that can be stored, by the name that they have in JSON."""
_NAMES = {kind: name for name, kind in RECORDS.items()}


def encode(value: Any, arrays: dict[str, Tensor], where: str) -> Any:
    """`value` as JSON, with its arrays and tensors moved to `arrays`.

    Raises UserError, which names `where`, for what cannot be stored.
    """
    if isinstance(value, Tensor):
        arrays[name := str(len(arrays))] = value.detach().clone()
        return {"tensor": name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[name := str(len(arrays))] = torch.from_numpy(value.copy())
        return {"array": name}
    if isinstance(value, np.generic):
        return encode(value.item(), arrays, where)
    if type(value) in _NAMES:
        return {_NAMES[type(value)]: encode(dict(vars(value)), arrays, where)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: encode(one, arrays, where) for key, one in value.items()}}
    if isinstance(value, list):
        return [encode(one, arrays, where) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [encode(one, arrays, where) for one in value]}
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"number": str(value)}
    raise UserError(
        f"{where} cannot store {type(value).__name__} {value!r:.60}; allowed: numbers, strings, "
        "None, arrays, tensors and logs, lists, tuples and dictionaries of them"
    )


def decode(value: Any, arrays: dict[str, Tensor]) -> Any:
    """The value that `encode` gave."""
    if isinstance(value, list):
        return [decode(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    ((kind, stored),) = value.items()
    if kind == "dict":
        return {key: decode(one, arrays) for key, one in stored.items()}
    if kind == "tuple":
        return tuple(decode(stored, arrays))
    if kind == "number":
        return float(stored)
    if kind == "tensor":
        return arrays[stored]
    return arrays[stored].numpy() if kind == "array" else RECORDS[kind](**decode(stored, arrays))
