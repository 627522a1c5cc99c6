"""An MJCF of unknown origin, compiled in a child process before it is compiled in ours.

MuJoCo's compiler does not survive every file (a height field of 100,000 by 100,000 points ends the
process), and it lets numbers pass that no simulation does: a time step that is not a number, a
friction below zero.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from sim2real.errors import UserError

TIMEOUT_S = 60
MEMORY = 4 * 2**30
"""Bytes that the compilation may take, where the system can limit it."""
PLAIN = 2**16
"""Bytes of a file that is compiled without a child process if nothing in it can grow."""
MOST = 10**6
"""Largest count in a model: replicas, key frames, rows, ..."""
MOST_ELEMENTS = 100_000
"""Elements of a model, with what its replicas and grids multiply to."""

CHILD = [sys.executable, "-P", str(Path(__file__).with_name("model_check.py")), str(MEMORY)]

_GROWS = re.compile(
    rb"<\s*(include|replicate|composite|flex|hfield|mesh|texture|skin|plugin|extension|attach)"
    rb"|<!(?!--)|\bmemory\s*=|(?<![.\d])\d{5}|\d[eE][+]?\d"
)
"""Text that may make a model larger than its file: such elements, and large numbers."""
_COUNT = re.compile(
    rb"""\b(count|nkey|nuserdata|nuser_\w+|nstack|nrow|ncol|nconmax|njmax|nsample)"""
    rb"""\s*=\s*["']\s*(\d+)"""
)
_MEMORY = re.compile(rb"""\bmemory\s*=\s*["']\s*(\d+)\s*([a-zA-Z]?)""")
_UNITS = {unit.encode(): 2 ** (10 * power) for power, unit in enumerate("kmgtpe", 1)}
_MULTIPLIES = ("replicate", "composite", "flexcomp")

_passed: dict[Path, dict[str, str]] = {}
"""Files that have passed in this process, with the digest of each file that they depend on."""
_passed_alone: set[str] = set()
"""Digests of those that depend on no other file, wherever they are."""


def check_own_model(file: Path) -> None:
    """`check_model`, unless the file is small and nothing in it can grow.

    For the model of a user's own task, whose code runs here anyway.
    """
    if file.stat().st_size > PLAIN or _GROWS.search(file.read_bytes()):
        check_model(file)


def check_model(file: Path) -> None:
    """Compile the MJCF `file` in a child process, once for a content; nothing of it runs here.

    A file that the compiler refuses passes: compiling it in this process reports the error. Raises
    UserError if the compiler crashes or does not end, and for a model that no simulation can use.
    """
    file = file.resolve()
    if _digest(str(file)) in _passed_alone:
        return
    if file in _passed and all(_digest(name) == seen for name, seen in _passed[file].items()):
        return
    _check_counts(file)
    try:
        child = subprocess.run(
            [*CHILD, str(file)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread would reserve memory
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{file} is not used: compiling it took over {TIMEOUT_S} s") from None
    if child.returncode:
        lines = child.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"exit code {child.returncode}"
        raise UserError(f"{file} is not used: MuJoCo's compiler does not survive it ({reason})")
    found = json.loads(child.stdout.splitlines()[-1])
    if found["problems"]:
        raise UserError(f"{file} is not used: {'; '.join(found['problems'])}")
    if not found["compiles"]:
        return
    _passed[file] = {name: _digest(name) for name in found["files"]}
    if len(_passed[file]) == 1:
        _passed_alone.update(_passed[file].values())


def _check_counts(file: Path) -> None:
    """UserError for a count that no model has, before anything is made of it."""
    read: dict[Path, bytes] = {}
    try:
        elements = _elements(_tree(file, file.parent, read))
    except (ET.ParseError, RecursionError, OSError, ValueError):  # the compiler reports it
        elements = 0
    text = b"\n".join(read.values())
    for name, value in _COUNT.findall(text):
        if _number(value) > MOST:
            raise UserError(f"{file} is not used: {name.decode()} is over {MOST:,}")
    for value, unit in _MEMORY.findall(text):
        if _number(value) * _UNITS.get(unit.lower(), 1) > MEMORY:
            raise UserError(f"{file} is not used: memory is over {MEMORY / 2**30:g}G")
    if elements > MOST_ELEMENTS:
        raise UserError(
            f"{file} is not used: with its replicas it has {_rounded(elements)} elements, "
            f"over {MOST_ELEMENTS:,}"
        )


def _tree(file: Path, folder: Path, read: dict[Path, bytes]) -> ET.Element:
    """The XML of a file, with each file that it includes from `folder` in its place, once."""
    read[file] = file.read_bytes()
    root = ET.fromstring(read[file])
    for include in list(root.iter("include")):
        part = folder / include.get("file", "")
        if part.is_file() and part not in read:
            include.append(_tree(part, folder, read))
    return root


def _number(digits: bytes) -> int:
    """A whole number; beyond twenty digits some number that is too large for anything."""
    return int(digits[:20])


def _elements(element: ET.Element) -> int:
    """How many elements an element becomes: `replicate` and grids multiply what is in them."""
    inside = 1 + sum(map(_elements, element))
    counts = element.get("count", "1").split() if element.tag in _MULTIPLIES else []
    return inside * math.prod(int(count) for count in counts if count.isascii() and count.isdigit())


def _rounded(count: int) -> str:
    return f"{count:,}" if count < 10**15 else "over 10^15"


def _digest(file: str) -> str:
    """The SHA-256 of a file; nothing of one that is not there. UserError if it cannot be read."""
    path = Path(file)
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    except OSError as error:  # /proc/self/mem is a file, and cannot be read
        raise UserError(f"{file} cannot be read: {error.strerror}") from None
