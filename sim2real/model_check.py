"""Faults that make a compiled model unusable; as a script, the child process of `untrusted_model`.

`python model_check.py BYTES FILE` compiles FILE with a limit on its memory and prints, as JSON,
whether it compiles, the files that it depends on and the problems found. It imports nothing of this
package.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import mujoco
import numpy as np

NOT_NEGATIVE = ("geom_friction", "pair_friction", "dof_frictionloss", "dof_armature")


def problems(model: mujoco.MjModel) -> list[str]:
    """Faults that the compiler accepts and no simulation can use: NaN, wrong signs."""
    found = [
        f"{name} is not a number"
        for name, value in [*_values(model), *_values(model.opt, "opt.")]
        if np.isnan(value).any()
    ]
    if not model.opt.timestep > 0:
        found.append("opt.timestep is not greater than 0 s")
    found += [f"{name} is below 0" for name in NOT_NEGATIVE if (getattr(model, name) < 0).any()]
    return found


def _values(owner: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """The numbers and arrays of numbers of a model, by name."""
    for name in dir(owner):
        value = None if name.startswith("_") else getattr(owner, name, None)
        if isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
            yield prefix + name, np.asarray(value)


def _limit_memory(size: int) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check(file: str) -> dict[str, Any]:
    try:
        model = mujoco.MjSpec.from_file(file).compile()
    except ValueError:  # reported by the calling process, which compiles it again
        return {"compiles": False, "files": [file], "problems": []}
    mujoco.MjData(model)  # allocates the memory that the file asks for
    dependencies = mujoco.mju_getXMLDependencies(file)
    found = problems(model)
    return {"compiles": True, "files": sorted({file, *dependencies}), "problems": found}


if __name__ == "__main__":
    _limit_memory(int(sys.argv[1]))
    print(json.dumps(_check(sys.argv[2])))
