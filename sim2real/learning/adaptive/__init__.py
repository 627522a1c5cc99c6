"""Adaptive randomization: distributions that follow the policy's returns, as SB3 callbacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sim2real.policies
from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.errors import UserError, unknown
from sim2real.files import read_yaml
from sim2real.learning import ADAPTIVE
from sim2real.learning.adaptive.adr import ADR
from sim2real.learning.adaptive.base import AdaptiveRandomization
from sim2real.learning.adaptive.curriculum import Curriculum
from sim2real.learning.adaptive.doraemon import DORAEMON
from sim2real.simulation import Simulation
from sim2real.task import Task

__all__ = [
    "ADR",
    "DORAEMON",
    "RANDOMIZATIONS",
    "AdaptiveRandomization",
    "Curriculum",
    "build_randomization",
    "checked_randomization",
    "load_randomization",
]

RANDOMIZATIONS: dict[str, type[AdaptiveRandomization]] = dict(
    zip(ADAPTIVE, (ADR, DORAEMON, Curriculum), strict=True)
)
UNIFORM = "uniform"
"""The domain as it is, from the first step to the last."""
NAMES = (UNIFORM, *RANDOMIZATIONS)


def load_randomization(
    asked: str | Mapping[str, Any] | None, task_name: str | None = None
) -> dict[str, Any] | None:
    """Every option of what is asked for: a name, or {"name": ..., option: value}; None for uniform.

    Options asked for replace those of the task in policies/recipes/randomization.yaml, and these
    replace the method's defaults. Raises UserError for an unknown name or option, and for a missing
    one.
    """
    given = {"name": asked} if isinstance(asked, str) else dict(asked or {"name": UNIFORM})
    name = given.pop("name", None)
    if name not in NAMES:
        raise unknown("randomization", name, NAMES)
    if name == UNIFORM:
        if given:
            raise UserError(f"the randomization 'uniform' has no options, got {', '.join(given)}")
        return None
    recipes = Path(sim2real.policies.__file__).parent / "recipes"
    tuned = read_yaml(recipes / "randomization.yaml").get(task_name, {}).get(name, {})
    options = parse(RANDOMIZATIONS[name].option_type, {**tuned, **given}, f"{name} options")
    return {"name": name, **options.model_dump(mode="json")}


def build_randomization(resolved: Mapping[str, Any] | None) -> AdaptiveRandomization | None:
    """The callback for what `load_randomization` gave, as in a run's config; None for uniform."""
    if resolved is None:
        return None
    given = dict(resolved)
    name = given.pop("name", None)
    if name not in RANDOMIZATIONS:
        raise unknown("randomization", name, RANDOMIZATIONS)
    return RANDOMIZATIONS[name](**given)


def checked_randomization(
    asked: str | Mapping[str, Any] | None, task: Task, domain: Domain
) -> dict[str, Any] | None:
    """As `load_randomization`; UserError also for a domain that it cannot adapt."""
    resolved = load_randomization(asked, task.name)
    adaptive = build_randomization(resolved)
    if adaptive is not None:
        adaptive.attach(Simulation(task, domain, threads=1))
    return resolved
