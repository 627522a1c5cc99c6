"""Models that are broken on purpose."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.evaluation.audit.checks import differing, impossible_values, stale_constants
from sim2real.evaluation.audit.judge import problems
from sim2real.evaluation.audit.worlds import make_reference, probe
from sim2real.registry import load_task, task_names


@pytest.mark.parametrize("task", task_names())
def test_the_shipped_models_are_sound(task: str) -> None:
    model = load_task(task).compile()
    assert stale_constants(model) == []
    assert impossible_values(model) == []


def test_a_mass_without_its_constants_is_stale() -> None:
    model = load_task("hopper").compile()
    model.body("torso").mass *= 2.0
    stale = stale_constants(model)
    assert {"body_subtreemass", "body_invweight0", "dof_invweight0"} <= set(stale)
    assert "body_mass" not in stale
    mujoco.mj_setConst(model, mujoco.MjData(model))
    assert stale_constants(model) == []


def test_a_stale_world_is_a_problem() -> None:
    task = load_task("hopper")
    reference = make_reference(task, Domain())
    heavy = Domain(dynamics=[{"field": "body_mass", "of": "torso", "scale": 2.0}])
    world = probe(task, heavy, reference)
    assert list(problems(reference.base, world)) == []
    stale = load_task("hopper").compile()
    stale.body("torso").mass *= 2.0
    (problem,) = problems(reference.base, dataclasses.replace(world, model=stale))
    assert problem.startswith("constants derived from the model are stale: actuator_acc0, ")


def test_impossible_values_are_named() -> None:
    model = load_task("hopper").compile()
    model.dof_damping[0] = np.nan
    model.body_mass[2] = -1.0
    model.body("foot").inertia[:] = [1.0, 1.0, 3.0]
    assert impossible_values(model) == [
        "dof_damping is not a number",
        "body_mass is negative (-1)",
        "the inertia of foot is impossible: its largest moment exceeds the sum of the others",
    ]


def test_differing_arrays_are_named() -> None:
    one, other = (load_task("hopper").compile() for _ in range(2))
    assert differing(one, other) == []
    other.geom_friction[0, 0] = 3.0
    other.opt.viscosity = 1.0
    assert differing(one, other) == ["geom_friction", "opt.viscosity"]
