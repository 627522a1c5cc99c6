"""The tensors and the readable text in a stable-baselines3 zip; nothing in it is executed.

SB3's `load` methods unpickle the zip's `data`, which runs whatever code was put there (SB3
issue 2281). Here only the weights are read, by Torch's loader for plain tensors. Sizes are checked
in the tables of contents before anything is unpacked, and in the tensors before a network is built.
"""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.save_util import load_from_zip_file
from torch import Tensor

from sim2real.errors import UserError
from sim2real.files import absent, user_path

MOST_BYTES = 256_000_000
"""Size up to which weights, or the text beside them, are unpacked."""
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WEIGHTS, VARIABLES, TEXT = "policy.pth", "pytorch_variables.pth", "data"


@dataclass(frozen=True)
class Zip:
    """The used parts of a zip: the policy's tensors, those beside it, and the readable values."""

    path: Path
    weights: dict[str, Tensor]
    variables: dict[str, Tensor]
    values: dict[str, Any]


def read_zip(path: Path | str) -> Zip:
    """Read a stable-baselines3 zip.

    Raises UserError for a file that is missing, truncated, too large or not such a zip, and for
    weights that are not finite.
    """
    path = user_path(path)
    if not path.is_file():
        raise absent(path)
    try:
        parts = _unpack(path)
        weights, variables = _tensors(parts, "policy"), _tensors(parts, "pytorch_variables")
        _check_tensors({**weights, **{f"variables.{k}": v for k, v in variables.items()}})
    except UserError as error:
        raise UserError(f"{path} {error}") from None
    except Exception as error:  # an untrusted file may be damaged in any way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} is not a whole stable-baselines3 zip: {reason}") from None
    if not weights:
        # A zip that was cut off may still open as one of the zips within it
        reason = "it holds no weights of a policy"
        raise UserError(f"{path} is not a whole stable-baselines3 zip: {reason}")
    return Zip(path, weights, variables, _values(parts.get(TEXT, b"")))


def _unpack(path: Path) -> dict[str, bytes]:
    """The parts that are used, unpacked."""
    with zipfile.ZipFile(path) as archive:
        present = [name for name in (WEIGHTS, VARIABLES, TEXT) if name in archive.namelist()]
        for name in present:
            _check_size(name, archive.getinfo(name).file_size)
        return {name: archive.read(name) for name in present}


def _check_size(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise UserError(f"is not used: its {name} unpacks to {size:,} bytes, over {MOST_BYTES:,}")


def _tensors(parts: Mapping[str, bytes], name: str) -> dict[str, Tensor]:
    """The tensors of a part, by Torch's loader for plain tensors."""
    data = parts.get(f"{name}.pth")
    if data is None:
        return {}
    _check_size(f"{name}.pth", _unpacked_size(f"{name}.pth", data))
    alone = io.BytesIO()
    with zipfile.ZipFile(alone, "w") as archive:
        archive.writestr("policy.pth", data)
    alone.seek(0)
    with warnings.catch_warnings(action="ignore"):  # of an old or odd file
        _, parameters, _ = load_from_zip_file(alone, load_data=False, device="cpu")
    found: Any = parameters.get("policy")
    if name == "pytorch_variables" and found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(one, Tensor) for one in found.values()):
        raise ValueError(f"{name}.pth holds other things than tensors")
    return {str(key): tensor.detach() for key, tensor in found.items()}


def _unpacked_size(name: str, data: bytes) -> int:
    """Bytes of a part, which is a zip itself: any other format of Torch is older than SB3."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as inner:
            return sum(entry.file_size for entry in inner.infolist())
    except zipfile.BadZipFile:
        raise ValueError(f"its {name} is damaged") from None


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    """UserError for tensors that are no plain floats, larger than what is stored, not finite."""
    for name, tensor in tensors.items():
        if tensor.dtype not in FLOATS or tensor.layout != torch.strided:
            kind = f"{tensor.dtype}, {tensor.layout}"
            raise UserError(f"is not used: its {name} is {kind}; allowed: plain tensors of floats")
        if tensor.device.type != "cpu":
            raise UserError(f"is not used: its {name} has no values")
        needed, stored = tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes()
        if needed > stored:
            raise UserError(
                f"is not used: its {name} {tuple(tensor.shape)} needs {needed:,} bytes, "
                f"of which {stored:,} are stored"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(f"is not used: its {name} has numbers that are not finite")


def _values(text: bytes) -> dict[str, Any]:
    """The readable values of `data`; none of a text that is no JSON."""
    try:
        found = json.loads(text.decode(errors="replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
