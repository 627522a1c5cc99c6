"""A module as ONNX and as TorchScript."""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sim2real.extras import needed
from sim2real.runs.session import EXTRA

WHAT = "an export"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 20


def require_packages() -> None:
    """UserError with the command that installs what is missing."""
    for name in PACKAGES:
        needed(name, WHAT, EXTRA)


def program(module: nn.Module, examples: Sequence[Tensor]) -> torch.export.ExportedProgram:
    """The graph of a module, for any number of rows; `examples` are its arguments, rows first."""
    rows = torch.export.Dim("rows")
    shapes: Any = tuple({0: rows} for _ in examples)
    several = "*inputs" in str(inspect.signature(module.forward))
    with _quiet():
        return torch.export.export(
            module, tuple(examples), dynamic_shapes=(shapes,) if several else shapes
        )


def to_onnx(
    graph: torch.export.ExportedProgram,
    inputs: Sequence[str],
    outputs: Sequence[str],
    metadata: Mapping[str, str],
) -> bytes:
    """The content of an ONNX file, checked by onnx, with `metadata` as its properties."""
    onnx = needed("onnx", WHAT, EXTRA)
    with _quiet():
        made = torch.onnx.export(
            graph,
            dynamo=True,
            external_data=False,
            input_names=inputs,
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert made is not None
    proto: Any = made.model_proto
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content


def to_torchscript(graph: torch.export.ExportedProgram, examples: Sequence[Tensor]) -> bytes:
    """The content of a TorchScript file."""
    content = io.BytesIO()
    with _quiet(), torch.no_grad():
        traced = torch.jit.trace(graph.module(), tuple(examples))  # type: ignore[no-untyped-call]
        torch.jit.save(traced, content)
    return content.getvalue()


def from_torchscript(content: bytes, arguments: Sequence[Tensor]) -> Tensor:
    """What the TorchScript gives."""
    with _quiet(), torch.no_grad():
        loaded = torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]
        given: Tensor = loaded(*arguments)
    return given


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without warnings about torch's own code: what was exported is compared with the policy."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
