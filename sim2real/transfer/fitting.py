"""The source of a transfer, made to observe and command what another task has.

    h = W x + b,  x = [shared, dropped]    ->    h = W_shared x_shared + 0 x_new + b

Inputs and outputs are matched by name (`sim2real.transfer.matching`) and the tensors copied by
column and row (`sim2real.transfer.columns`). New inputs have weights of zero, so the first action
is the source's. To a method the result is a source like any other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.domains.models.matching import actuator_names
from sim2real.errors import UserError
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.build import build_offline
from sim2real.policies.modifiers import add_structure_of, modifiers_of
from sim2real.runs.contract import describe_task, map_of, range_of, spaces_of, terms_of
from sim2real.runs.rescaling import ANSWERS, normalized
from sim2real.runs.run import Run
from sim2real.runs.state import describe_spaces
from sim2real.simulation import Simulation
from sim2real.simulation.actions import Choice
from sim2real.task import Task
from sim2real.transfer.columns import take_along
from sim2real.transfer.matching import Match, Matching, Side, match_spaces
from sim2real.transfer.method import Method

ADAPTED = "adapted"
"""In the state of a checkpoint: the names of the tensors that were made to fit another task."""


def fitted(source: Run, task: Task, domain: Domain, match: Match) -> tuple[Run, Matching]:
    """The source with a policy for what is observed and commanded in `task`, and what was matched.

    It observes as many control steps as before, and what is privileged if it did before. Raises
    UserError as `match_spaces`.
    """
    source = normalized(source)
    recipe = source.config.parsed_recipe()
    shown: Any = {"actions": "normalized", "threads": 1, **recipe.observed}
    with contextlib.closing(Simulation(task, domain, **shown)) as simulation:
        info = describe_task(simulation)
    sides = _side("source", source.task_info, source.task), _side("target", info, task)
    matching = match_spaces(*sides, match)
    algorithm = build_offline(recipe, *spaces_of(info), terms_of(info))
    policy = algorithm.policy
    with torch.random.fork_rng(devices=[]):
        add_structure_of(source.policy, policy)
    action_of = take_along(source.policy, policy, list(named_tensors(policy)), matching=matching)
    state = {name: value for name, value in source.checkpoint.state.items() if name != ANSWERS}
    state["spaces"] = describe_spaces(algorithm)
    state[ADAPTED] = [name for name, action in action_of.items() if action == "adapted"]
    modifiers = tuple(one.model_dump(mode="json") for one in modifiers_of(policy))
    here = {"modifiers": modifiers, "domain": domain.name, "target": None}
    saved = replace(source.checkpoint, policy=policy.state_dict(), state=state)
    run = replace(
        source,
        config=source.config.model_copy(update=here),
        task_info=info,
        domains={domain.name: domain},
        loading=replace(source.loading, task=task),
        checkpoint=saved,
    )
    return run, matching


def fitted_for(
    method: Method, source: Run, task: Task, domain: Domain
) -> tuple[Run, Matching | None]:
    """The source as a method gets it, and what was matched if it is to be.

    Raises UserError for a method that needs a source of the same task.
    """
    if method.match is None:
        return source, None
    if not method.fits_other_tasks:
        raise UserError(
            f"method {method.name!r} needs a source of the target's task; allowed: no `match`"
        )
    return fitted(source, task, domain, method.match)


def actions_in(task: Task, source: Run) -> Choice:
    """How actions are given in `task`: by the map of the source, if it has as many of them.

    If it has not, the contracts differ, and say so.
    """
    found = map_of(source.task_info)
    if found is None:
        return "own"
    return found if len(found.low) == task.compile().nu else "normalized"


def match_of(method: Mapping[str, Any] | None) -> Match | None:
    """The matching that the options of a run's method ask for."""
    given = (method or {}).get("match")
    return None if given is None else parse(Match, given, "match")


def _side(name: str, task_info: Mapping[str, Any], task: Task) -> Side:
    names = tuple(actuator_names(task.compile()))
    return Side(name, terms_of(task_info), names, range_of(task_info))
