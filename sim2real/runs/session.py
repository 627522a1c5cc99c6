"""An ONNX file in onnxruntime; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, brief
from sim2real.extras import needed

EXTRA = "export"
ONNX = "policy.onnx"
KEY = "sim2real"
"""The property of an ONNX file that holds the contract."""
OBSERVED, ACTIONS = "obs", "actions"
"""Names of the input and the output of the file of a policy."""
Arrays = Mapping[str, NDArray[np.float32]]


class Session:
    """An ONNX file in onnxruntime, on one thread."""

    def __init__(self, content: bytes) -> None:
        runtime = needed("onnxruntime", "an ONNX file", EXTRA)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [one.name for one in self._session.get_outputs()]

    @property
    def metadata(self) -> dict[str, str]:
        """The properties of the file."""
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        """The outputs by name."""
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))


def read_session(path: Path) -> Session:
    """The ONNX file at `path`; UserError if it is missing or damaged."""
    try:
        return Session(path.read_bytes())
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(f"{path} is missing; export again") from None
    except Exception as error:  # onnxruntime has no class of its own for a damaged file
        raise UserError(f"{path} is no ONNX file: {brief(str(error))}; export again") from None
