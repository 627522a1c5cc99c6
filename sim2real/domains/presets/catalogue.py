"""All presets: "family:name", where a name may end in a level, such as "odrl:friction-0.5"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sim2real.config import parse
from sim2real.domains.domain import Domain
from sim2real.domains.presets import odrl, rwrl
from sim2real.errors import unknown
from sim2real.task import Task


@dataclass(frozen=True)
class Family:
    """Presets of one source.

    `names` lists those of a task, and `build` makes the plain data of one of them; it raises
    UserError, or KeyError for a name that the task does not have.
    """

    names: Callable[[Task], Sequence[str]]
    build: Callable[[Task, str], dict[str, Any]]


FAMILIES = {"rwrl": Family(rwrl.names, rwrl.build), "odrl": Family(odrl.names, odrl.build)}


def is_preset(name: str) -> bool:
    """Whether a domain's name is that of a preset, known or not."""
    return name.partition(":")[0] in FAMILIES and ":" in name


def preset_names(task: Task) -> list[str]:
    """The presets of a task. Those of "odrl" may end in any other number instead."""
    return [
        f"{family}:{name}" for family, presets in FAMILIES.items() for name in presets.names(task)
    ]


def load_preset(task: Task, name: str) -> Domain:
    """The domain of the preset `name`; UserError, with the nearest match, if there is none."""
    family, _, rest = name.partition(":")
    try:
        data = FAMILIES[family].build(task, rest)
    except KeyError:
        raise unknown(f"preset of task {task.name!r}", name, preset_names(task)) from None
    return parse(Domain, {**data, "name": name}, name)
