"""A stranger's MJCF, compiled in a child process before it is compiled in ours, and looked over.

MuJoCo's compiler does not survive every file (a height field of 100,000 by 100,000 points ends the
process), and it lets numbers pass that no simulation does: a time step that is not a number, a
friction below zero.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

from sim2real.errors import UserError

TIMEOUT_S = 120
MEMORY = 4 * 2**30
"""Bytes that the compilation may take, where the system can limit it."""

CHILD = f"""
import json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MEMORY}, {MEMORY}))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
import mujoco
import numpy as np
file = sys.argv[1]
found = {{"files": [file], "problems": []}}
try:
    model = mujoco.MjSpec.from_file(file).compile()
    found["files"] = [file, *mujoco.mju_getXMLDependencies(file)]
except ValueError:
    model = None  # told by the process that asked
def values(owner, prefix=""):
    for name in dir(owner):
        value = None if name.startswith("_") else getattr(owner, name, None)
        if isinstance(value, float) or isinstance(value, np.ndarray) and value.dtype.kind == "f":
            yield prefix + name, np.asarray(value)
if model is not None:
    say = found["problems"].append
    for name, value in [*values(model), *values(model.opt, "opt.")]:
        if np.isnan(value).any():
            say(name + " is not a number")
    if not model.opt.timestep > 0:
        say("opt.timestep is not greater than 0 s")
    for name in ("geom_friction", "pair_friction", "dof_frictionloss", "dof_armature"):
        if (getattr(model, name) < 0).any():
            say(name + " is below 0")
print(json.dumps(found))
"""

_passed: dict[Path, dict[str, str]] = {}
"""Files that have passed in this process, with the digest of each file that they depend on."""


def check_stranger(file: Path) -> None:
    """Compile the MJCF `file` in a child process, once for a content; nothing of it runs here.

    A file that is not valid in a way that the compiler tells passes: compiling it here tells it.
    Raises UserError if the compiler dies of it or does not end, and for what no simulation can use.
    """
    file = file.resolve()
    if file in _passed and all(_digest(name) == seen for name, seen in _passed[file].items()):
        return
    command = [sys.executable, "-c", CHILD, str(file)]
    try:
        child = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread would reserve memory
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{file} is not used: compiling it took over {TIMEOUT_S} s") from None
    if child.returncode:
        said = child.stderr.strip().splitlines()
        reason = said[-1] if said else f"exit code {child.returncode}"
        raise UserError(f"{file} is not used: MuJoCo's compiler does not survive it ({reason})")
    found = json.loads(child.stdout.splitlines()[-1])
    if found["problems"]:
        raise UserError(f"{file} is not used: {'; '.join(found['problems'])}")
    _passed[file] = {name: _digest(name) for name in found["files"]}


def _digest(file: str) -> str:
    """The SHA-256 of a file; nothing of one that is not there."""
    path = Path(file)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
