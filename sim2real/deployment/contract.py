"""The contract of an exported policy: all that a robot needs to know of it, as JSON.

Numbers have full precision. An observation term is shown oldest control step first; in the first
control step of an episode its whole history is the first reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sim2real.deployment.control import terms_of
from sim2real.deployment.graph import PACKAGES
from sim2real.deployment.names import FORMAT as FORMAT
from sim2real.deployment.probing import (
    TRIED,
    Command,
    Reading,
    command_kinds,
    command_of,
    joint_kinds,
    joint_readings,
    moved_joints,
    to_task,
)
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.entries.imperfection import Imperfection
from sim2real.domains.models.matching import actuator_names
from sim2real.evaluation.provenance import version_of
from sim2real.files import read_json, sha256
from sim2real.policies.normalizer import CLIP, EPSILON, normalizers
from sim2real.runs.checkpoint import POLICY
from sim2real.runs.run import Run, versions
from sim2real.simulation import Simulation
from sim2real.simulation.history import AGE, newest_of
from sim2real.task import ObservationTerm

Plain = dict[str, Any]


def contract_of_run(run: Run) -> Plain:
    """The contract of the policy of a run, without what is measured at the export."""
    domain = run.domain
    simulation = Simulation(
        run.task,
        domain,
        TRIED,
        threads=1,
        actions=run.policy.action_map or "own",  # type: ignore[arg-type]
        **run.config.parsed_recipe().observed,
    )
    terms = terms_of(run.policy, simulation)
    described = {
        "format": FORMAT,
        "task": _task(run),
        "training": _training(run),
        "control_dt": simulation.dt,
        "control_dt_range": _periods(domain.control_period, simulation.dt),
        "observation": _observation(simulation, terms),
        "action": _action(simulation),
        "normalizer": _normalizer(run),
        "domain": {"name": domain.name, **domain.plain()},
        "versions": {
            "training": _versions(run),
            "export": versions() | {name: version_of(name) for name in PACKAGES},
        },
        "hashes": _hashes(run),
    }
    simulation.close()
    return described


def _versions(run: Run) -> Plain | None:
    """Those of the training; None where nobody knows them, as of the zip of a model."""
    path = run.path / "versions.json"
    known = run.config.kind != "foreign" and path.is_file()
    found: Plain | None = read_json(path) if known else None
    return found


def _periods(drawn: Distribution | None, dt: float) -> list[float]:
    """The shortest and the longest control step of the training in s."""
    low, high = (dt, dt) if drawn is None else drawn.support
    return [float(low), float(high)]


def _task(run: Run) -> Plain:
    lines = (run.task.__doc__ or run.task.name).strip().splitlines()
    return {"name": run.task.name, "about": lines[0], "options": dict(run.task.options)}


def _training(run: Run) -> Plain:
    config = run.config
    known = {"kind": config.kind, "algorithm": config.algorithm, "domain": config.domain}
    method = (config.method or {}).get("name")
    return known | {"method": method, "steps": run.step, "seed": config.seed}


def _observation(simulation: Simulation, terms: Sequence[ObservationTerm]) -> Plain:
    described, first, joints = [], 0, joint_readings(simulation)
    for term in terms:
        readings = joints.get(term.name) or [None] * len(newest_of(term))
        described.append({"first": first, **_term(term, readings, simulation)})
        first += term.size
    return {
        "size": first,
        "initial_history": "first",
        "about": "Terms in this order. Each is shown oldest control step first; at the start of an "
        "episode its history is filled with the first reading.",
        "terms": described,
    }


def _term(term: ObservationTerm, readings: list[Reading | None], simulation: Simulation) -> Plain:
    newest = newest_of(term)
    sensing = [
        entry
        for entry in simulation.domain.sensing
        if entry.kind.name != "reward_delay" and _names(entry.of, term)
    ]
    return {
        "name": term.name,
        "size": term.size,
        "history": term.size // len(newest),
        "columns": [term.labels[index] for index in newest],
        "joints": [None if one is None else asdict(one) for one in readings],
        "unit": term.unit,
        "frame": simulation.task.frames.get(term.name, ""),
        "group": term.group,
        "commanded": term.commanded,
        "sensing": [_plain(entry) for entry in sensing],
        "shortest_delay_s": _shortest(sensing),
        "longest_delay_s": _longest(sensing),
    }


def _plain(entry: Imperfection) -> Plain:
    return entry.model_dump(exclude_defaults=True, mode="json")


def _longest(entries: Iterable[Imperfection]) -> float:
    """The longest delay in s, all of them in a row."""
    return float(sum(entry.longest for entry in entries))


def _shortest(entries: Iterable[Imperfection]) -> float:
    """The shortest delay in s, all of them in a row."""
    return float(sum(entry.shortest for entry in entries))


def _names(of: tuple[str, ...], term: ObservationTerm) -> bool:
    if term.group == "privileged":
        return False
    singles = {label.partition(AGE)[0].rstrip("]") + "]" for label in term.labels}
    named = term.name in of or not singles.isdisjoint(of)
    return named or (not term.commanded and any(fnmatchcase(term.name, one) for one in of or "*"))


def _action(simulation: Simulation) -> Plain:
    model, task_range, space = simulation.model, simulation.action_range, simulation.action_space
    command = command_of(simulation)
    action_map = simulation.action_map
    joints, kinds = moved_joints(model), command_kinds(model)
    return {
        "size": model.nu,
        "names": actuator_names(model),
        "joints": joints,
        "joint_kinds": [joint_kinds(model).get(name or "") for name in joints],
        "command_kinds": [kind for kind, _ in kinds],
        "command_units": [unit for _, unit in kinds],
        "low": space.low.tolist(),
        "high": space.high.tolist(),
        "task_low": task_range.low.tolist(),
        "task_high": task_range.high.tolist(),
        "map": None if action_map is None else action_map.plain(),
        "command": None if command is None else _command(command, simulation),
        "command_limits": model.actuator_ctrlrange.tolist(),
        "force_limits": [
            row.tolist() if limited else None
            for row, limited in zip(
                model.actuator_forcerange, model.actuator_forcelimited, strict=True
            )
        ],
        "stiffness": (0.0 - model.actuator_biasprm[:, 1]).tolist(),
        "damping": (0.0 - model.actuator_biasprm[:, 2]).tolist(),
        "joint_limits": [_joint_limits(simulation, name) for name in joints],
        "actuation": [_plain(entry) for entry in simulation.domain.actuation],
        "shortest_delay_s": _shortest(simulation.domain.actuation),
        "longest_delay_s": _longest(simulation.domain.actuation),
    }


def _command(found: Command, simulation: Simulation) -> Plain:
    """command = clip(base + scale action, low, high), of an action as the policy gives it."""
    half, middle = to_task(simulation)
    offset = found.offset + found.scale * middle
    limits = {"low": found.low.tolist(), "high": found.high.tolist()}
    scale = (found.scale * half).tolist()
    return {"offset": offset.tolist(), "scale": scale, **limits, "steps_from": found.term}


def _joint_limits(simulation: Simulation, name: str | None) -> list[float] | None:
    if name is None or not simulation.model.joint(name).limited[0]:
        return None
    limits: list[float] = simulation.model.joint(name).range.tolist()
    return limits


def _normalizer(run: Run) -> Plain | None:
    """Mean and variance of the features that the first layer reads; they are in the network."""
    for one in normalizers(run.policy)[:1]:
        return {
            "mean": one.running_mean.tolist(),
            "variance": one.running_var.tolist(),
            "epsilon": EPSILON,
            "clip": CLIP,
            "columns": [int(column) for column in one.columns],
        }
    return None


def _hashes(run: Run) -> Plain:
    found = {name: run.task_info.get(name) for name in ("model_sha256", "source_sha256")}
    weights = Path(run.checkpoint.path) / POLICY
    return found | {"weights_sha256": sha256(weights) if weights.is_file() else None}
