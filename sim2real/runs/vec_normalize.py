"""Observation statistics of stable-baselines3's VecNormalize, read without unpickling.

`VecNormalize.save` writes a pickle, which runs whatever code was put into it when it is loaded.
Here its instructions are read by `pickletools`, which executes nothing; what they would have called
is kept as a name with arguments, and the arrays are taken from there. Statistics may also be given
as an .npz file with `mean` and `var`, and optionally `count`, `epsilon` and `clip_obs`.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim2real.errors import UserError
from sim2real.files import absent, user_path
from sim2real.policies.normalizer import CLIP, EPSILON
from sim2real.task import Array

MOST_BYTES = 64_000_000
COUNT = 1e6
"""The number of observations behind the statistics of a file that does not give it."""
_DTYPES = ("f4", "f8", "i4", "i8")


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of observations, (k,), and the number of observations.

    A normalized observation is (observation - mean) / sqrt(variance + 1e-8), clipped to +-10.
    """

    mean: Array
    variance: Array
    count: float


def read_statistics(path: Path | str, size: int) -> Statistics:
    """The statistics of `size` numbers in a VecNormalize's file or an .npz; nothing is executed.

    Raises UserError for a file that is missing, too large or neither, and for other sizes.
    """
    file = user_path(path)
    if not file.is_file():
        raise absent(file)
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{file} is larger than {MOST_BYTES:,} bytes; it holds no statistics")
    try:
        found = _from_npz(file) if zipfile.is_zipfile(file) else _from_pickle(file.read_bytes())
        return _checked(found, size)
    except UserError as error:
        raise UserError(f"{file}: {error}") from None
    except Exception as error:  # it may be damaged in any way
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(f"{file} holds no statistics of VecNormalize: {reason}") from None


def _checked(found: Mapping[str, Any], size: int) -> Statistics:
    mean, var = (np.array(found[name], dtype=np.float64) for name in ("mean", "var"))
    for name, values in (("mean", mean), ("var", var)):
        if values.shape != (size,):
            raise UserError(f"{name} has the shape {values.shape}, the observation ({size},)")
    epsilon, clip = float(found.get("epsilon", EPSILON)), float(found.get("clip_obs", CLIP))
    count = float(found.get("count", COUNT))
    if clip != CLIP:
        raise UserError(f"clip_obs is {clip:g}; allowed: {CLIP:g}")
    variance = var + (epsilon - EPSILON)
    if not (np.isfinite([mean, variance]).all() and (variance >= 0).all() and count > 0):
        raise UserError("mean, var and count must be finite, and var not negative")
    return Statistics(mean, variance, count)


def _from_npz(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > MOST_BYTES:
            raise UserError(f"it unpacks to more than {MOST_BYTES:,} bytes")
    with np.load(file) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _from_pickle(data: bytes) -> dict[str, Any]:
    saved = _Reader().read(data)
    state = saved.state if isinstance(saved, _Made) else None
    if not isinstance(state, dict) or "norm_obs" not in state:
        raise UserError("it is no VecNormalize")
    if state["norm_obs"] is not True or not isinstance(state.get("obs_rms"), _Made):
        raise UserError("it normalizes no observations (or a dictionary of them); leave it out")
    values = {name: _value(value) for name, value in state["obs_rms"].state.items()}
    return values | {name: _value(state[name]) for name in ("epsilon", "clip_obs")}


@dataclass(eq=False)
class _Made:
    """An object that is not made: the name of what would be called, its arguments, its state."""

    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = field(default=None)


def _value(made: Any) -> Any:
    """A number or an array of NumPy, from the call that would have made it."""
    if not isinstance(made, _Made):
        return made
    name = made.name.rpartition(" ")[2]
    if name == "_reconstruct":
        _, shape, dtype, fortran, data = made.state
        order: Literal["C", "F"] = "F" if fortran else "C"
        return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(shape, order=order)
    if name == "_frombuffer":
        data, dtype, shape, order = made.arguments
        return np.frombuffer(data, _dtype(dtype)).reshape(shape, order=order)
    if name == "scalar":
        dtype, data = made.arguments
        return np.frombuffer(_bytes(data), _dtype(dtype))[0]
    raise UserError(f"{made.name} is no number")


def _bytes(made: Any) -> bytes:
    """Bytes, which old protocols write as text to be encoded."""
    if isinstance(made, _Made) and made.name == "_codecs encode":
        return str(made.arguments[0]).encode("latin1")
    return bytes(made) if isinstance(made, bytes | bytearray) else b""


def _dtype(made: Any) -> np.dtype[Any]:
    code = made.arguments[0] if isinstance(made, _Made) and made.arguments else None
    if code not in _DTYPES:
        raise UserError(f"numbers of the type {code!r}; allowed: {', '.join(_DTYPES)}")
    order = made.state[1] if isinstance(made.state, tuple) else "<"
    return np.dtype(f"{order}{code}")


class _Reader:
    """The stack machine of pickles, in which nothing is imported or called."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def read(self, data: bytes) -> Any:
        """The result of the instructions."""
        for operation, argument, _ in pickletools.genops(data):
            if operation.name == "STOP":
                return self.stack.pop()
            self._do(operation.name, argument)
        raise UserError("it has no end")

    def _do(self, name: str, argument: Any) -> None:
        if name in _PUSHED:
            self.stack.append(_PUSHED[name](argument))
        elif name in _VALUES:
            self.stack.append(argument)
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            raise UserError(f"it has the instruction {name}, which no VecNormalize has")

    def _since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def _mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _tuple(self, count: int) -> None:
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.stack.append(items)

    def _append(self, items: list[Any]) -> None:
        self.stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _name(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.stack.append(_Made(f"{module} {name}"))

    def _call(self, _: Any) -> None:
        arguments, called = self.stack.pop(), self.stack.pop()
        self.stack.append(_Made(called.name, tuple(arguments)))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], _Made):
            self.stack[-1].state = state

    def _keep(self, place: int | None) -> None:
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]


_VALUES = {
    "INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2", "FLOAT", "BINFLOAT",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_PUSHED: dict[str, Callable[[Any], Any]] = {
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_LIST": lambda _: [],
    "EMPTY_DICT": lambda _: {},
    "GLOBAL": lambda name: _Made(str(name)),
}
_STEPS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": _Reader._mark,
    "TUPLE": lambda self, _: _push(self, tuple(self._since_mark())),
    "TUPLE1": lambda self, _: self._tuple(1),
    "TUPLE2": lambda self, _: self._tuple(2),
    "TUPLE3": lambda self, _: self._tuple(3),
    "APPEND": lambda self, _: self._append([self.stack.pop()]),
    "APPENDS": lambda self, _: self._append(self._since_mark()),
    "SETITEM": lambda self, _: self._set([self.stack.pop(), self.stack.pop()][::-1]),
    "SETITEMS": lambda self, _: self._set(self._since_mark()),
    "STACK_GLOBAL": _Reader._name,
    "REDUCE": _Reader._call,
    "NEWOBJ": _Reader._call,
    "BUILD": _Reader._build,
    "MEMOIZE": _Reader._keep,
    "BINPUT": _Reader._keep,
    "LONG_BINPUT": _Reader._keep,
    "BINGET": lambda self, place: _push(self, self.memo[place]),
    "LONG_BINGET": lambda self, place: _push(self, self.memo[place]),
    "POP": lambda self, _: self.stack.pop() and None,
}


def _push(reader: _Reader, value: Any) -> None:
    reader.stack.append(value)
