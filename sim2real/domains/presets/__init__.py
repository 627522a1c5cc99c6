"""Published benchmarks as domains, built for a task: `load_domain("hopper", "rwrl:easy")`.

A preset is called "family:name", where a name may end in a level, such as "odrl:friction-0.5". Each
family is a module: `names(task)` lists its presets for a task, `build(task, name)` makes the plain
data of one; it raises UserError, or KeyError for a name that the task does not have.
"""

from __future__ import annotations

from typing import Any

from sim2real.domains.presets import odrl, rwrl
from sim2real.errors import unknown
from sim2real.task import Task

FAMILIES = {"rwrl": rwrl, "odrl": odrl}


def is_preset(name: str) -> bool:
    """Whether a domain's name is that of a preset, known or not."""
    return name.partition(":")[0] in FAMILIES and ":" in name


def preset_names(task: Task) -> list[str]:
    """The presets of a task. Those of "odrl" may end in any other number instead."""
    return [
        f"{family}:{name}" for family, presets in FAMILIES.items() for name in presets.names(task)
    ]


def preset_data(task: Task, name: str) -> dict[str, Any]:
    """The plain data of the preset `name`; UserError, with the nearest match, if there is none."""
    family, _, rest = name.partition(":")
    try:
        data: dict[str, Any] = FAMILIES[family].build(task, rest)
    except KeyError:
        raise unknown(f"preset of task {task.name!r}", name, preset_names(task)) from None
    return {**data, "name": name}
