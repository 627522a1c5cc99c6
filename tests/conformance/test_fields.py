"""One suite for every field of the table on every task that it applies to."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import mujoco
import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.domains import Domain, prepared_spec
from sim2real.domains.model_fields.table import FIELDS
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

_spec = importlib.util.spec_from_file_location(
    "field_reference", Path(__file__).with_name("field_reference.py")
)
assert _spec is not None
assert _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)
FAST = {reference.SERVO, "hopper", "quadrotor"}
"""Motors, servos and every field; contacts in a plane; a body without joints."""
SERVO, TASKS, with_mass = reference.SERVO, reference.TASKS, reference.with_mass

# what cannot move a trajectory, and why: field.component -> tasks and traits of models
STILL = {
    # no task has contacts that resist turning on the spot or rolling
    "geom_friction.torsional geom_friction.rolling": "*",
    # within 25 steps nothing touches, and no limit is reached
    "geom_friction.sliding geom_sol* geom_margin": "contactless pusher",
    "geom_solimp.width geom_solimp.midpoint geom_solimp.power": "hopper furuta",  # dmin equals dmax
    "jnt_range.*": "arm_* hopper humanoid pusher quadruped reacher swimmer walker2d",
    "jnt_sol*": "arm_* inverted_pendulum quadruped reacher swimmer servo",
    "actuator_forcerange.* torque_limit": "arm_push",  # a servo is never at its limit there
    # what is only drawn: its bodies have inertias of their own, and the feet alone touch
    "geom_size.y geom_size.half_length geom_pos.x geom_pos.y": "quadruped",
    "jnt_actfrcrange.* tendon_lengthspring.*": "humanoid servo",
    "qpos_spring": "*",  # where there is no spring
    "opt.wind.*": "*",  # where there is no air
    "geom_size.z": "*",  # the thickness of a plane is drawn only
    "site_pos.* site_tilt.*": "*",  # what nothing is attached to
    # nothing touches, and the inertia is given
    "geom_size.* geom_pos.*": "furuta quadrotor",
    # the world looks the same from there
    "body_pos.* body_tilt.*": "quadrotor",  # which flies
    "body_pos.x": "cartpole inverted_pendulum",
    "body_pos.y": "level servo pusher reacher",
    "body_pos.z": "flat ant furuta cartpole inverted_pendulum pusher",
    "jnt_tilt.z": "cartpole hinged reacher",
    "jnt_tilt.y": "hinged",
    "qpos0": "reacher",  # where only the target slides have one that is not 0
    # a joint that does not exist would be needed
    "body_ipos.y geom_pos.y jnt_pos.y opt.gravity.y": "level",
    "body_pseudo_inertia.d2 body_pseudo_inertia.s23 body_pseudo_inertia.t2": "level",
    "geom_pos.y": "reacher",
    "body_gravcomp body_ipos.z geom_pos.z jnt_pos.z opt.gravity.z": "flat pusher",
    "body_pseudo_inertia.?3": "flat pusher",
    # the solver is as good without
    "opt.iterations opt.tolerance opt.impratio": "*",
    "dcmotor.thermal_*": "servo",  # it takes minutes to warm
    # a motor that does not warm up, without cogging and bristles
    "dcmotor.*temperature* dcmotor.cogging* dcmotor.coulomb dcmotor.st*": "furuta",
}


@functools.cache
def traits(task: str) -> set[str]:
    """The name of the task, and what its model is: level, hinged, flat, contactless.

    In a level model nothing moves along y, in a flat one nothing along z; a hinged one is level and
    has hinges only.
    """
    model = load_task(task).compile()
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    found = {Path(task).stem}
    for name, normal in (("level", 1), ("flat", 2)):
        along = np.abs(data.xaxis[:, normal])
        turns = (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & np.isclose(along, 1.0)
        slides = (model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE) & np.isclose(along, 0.0)
        found |= {name} if (turns | slides).all() else set()
        found |= {"hinged"} if name == "level" and turns.all() else set()
    without = model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_CONTACT
    if without or not (model.geom_contype.any() and model.geom_conaffinity.any()):
        found.add("contactless")
    return found


def may_be_still(task: str, parameter: dict[str, object]) -> bool:
    """Whether there is a reason for the parameter to do nothing."""
    name = ".".join(str(parameter[key]) for key in ("field", "component") if parameter[key])
    return any(
        any(fnmatchcase(name, pattern) for pattern in patterns.split())
        and any(fnmatchcase(trait, known) for known in tasks.split() for trait in traits(task))
        for patterns, tasks in STILL.items()
    )


def trajectory(simulation: Simulation, steps: int = 25) -> np.ndarray:
    """Positions and velocities of some control steps from one push on every joint."""
    rng = np.random.default_rng(0)
    push = rng.uniform(-0.5, 0.5, simulation.qvel.shape)
    simulation.write_state(simulation.qpos.copy(), simulation.qvel + push)
    space = simulation.action_space
    states = []
    for _ in range(steps):
        simulation.advance(rng.uniform(space.low, space.high, (2, *space.shape)))
        states.append(np.concatenate([simulation.qpos, simulation.qvel], axis=1))
    return np.stack(states)


@pytest.mark.parametrize("task", [slow_unless(task in FAST, task) for task in TASKS])
def test_every_field_acts_and_equals_a_model_compiled_with_it(task: str) -> None:
    nominal = trajectory(Simulation(task, num_envs=2, seed=1, threads=1))
    loaded, seen, still = load_task(task), set(), []
    for parameter, simulation in reference.parameters(task):
        authored = reference.compiled(parameter, prepared_spec(loaded, simulation.domain))
        assert reference.differences(simulation.world_model(0), authored) == {}, parameter
        if not may_be_still(task, parameter):
            moved = np.abs(trajectory(simulation) - nominal).max()
            still += [parameter] if moved < 1e-7 else []
        seen.add(parameter["field"])
    assert not still, f"these do nothing; if they must, name {task} in STILL: {still}"
    assert len(seen) >= (25 if task == "quadrotor" else 30)  # it has neither joints nor gears
    if task == SERVO:
        assert seen == set(FIELDS) - {"opt.timestep", "link_length"}


def everything(task: str) -> Domain:
    """A domain of as many fields as go together, each drawn within 10 %, or within 0.01."""
    drawn: list[dict[str, object]] = []
    for field in sorted(FIELDS.values(), key=lambda field: field.geometry):  # those take longest
        component = next(iter(field.components), None)
        for change in ({"scale": {"uniform": [0.9, 1.1]}}, {"add": {"uniform": [0.0, 0.01]}}):
            parameter = {"field": field.name, "component": component, **change}
            try:
                Simulation(task, Domain(dynamics=[*drawn, parameter]), threads=1)
            except UserError:
                continue
            drawn.append(parameter)
            break
    return Domain(dynamics=drawn)


@pytest.mark.parametrize("task", [slow_unless(False, "hopper"), SERVO])
def test_a_thousand_draws_stay_in_range_and_are_read_back(task: str) -> None:
    domain = everything(task)
    assert len(domain.dynamics) >= 25
    simulation = Simulation(task, domain, num_envs=50, threads=1)
    nominal = load_task(task).compile()
    low, high = np.transpose([one.support for one in simulation.plan.distributions])
    damped = [name for name in simulation.context_names if name.startswith("dof_damping:")]
    assert len(damped) >= 3
    for _ in range(20):
        simulation.reset()
        assert (simulation.context >= low).all()
        assert (simulation.context <= high).all()
        drawn = dict(zip(simulation.context_names, simulation.context.T, strict=True))
        for name in damped:
            dof = int(nominal.joint(name.partition(":")[2]).dofadr[0])
            expected = nominal.dof_damping[dof] * drawn[name]
            np.testing.assert_array_equal(simulation.expanded("dof_damping")[:, dof], expected)
        expected = nominal.opt.gravity[2] * np.ones(50)
        np.testing.assert_array_equal(simulation.expanded("opt.gravity")[:, 2], expected)
    assert np.ptp(simulation.context, axis=0).all()


def identities() -> Iterator[dict[str, object]]:
    """Every field and component with a change of nothing."""
    for field in FIELDS.values():
        for component in dict.fromkeys(field.components) or (None,):
            for change in ({"scale": 1.0}, {"add": 0.0}):
                yield {"field": field.name, "component": component, **change}


@pytest.mark.parametrize("task", ["hopper", slow_unless(False, "pusher"), SERVO])
def test_a_change_of_nothing_is_bitwise_no_change(task: str) -> None:
    nominal = trajectory(Simulation(task, num_envs=2, seed=1, threads=1), 5)
    unlocked = prepared_spec(load_task(task), Domain(dynamics=[{"field": "payload", "add": 1.0}]))
    models = {False: load_task(task).compile(), True: unlocked.compile()}
    tried = set()
    for parameter in identities():
        try:
            domain = Domain(dynamics=with_mass(parameter)[-1:])
            simulation = Simulation(task, domain, num_envs=2, seed=1, threads=1)
        except UserError:
            continue
        field = FIELDS[str(parameter["field"])]
        tried.add(field.name)
        own, base = simulation.world_model(0), models[field.unlocks or field.geometry]
        for name in sorted(mujoco.batch.MODEL_FIELDS):
            owner, _, attribute = name.rpartition(".")
            ours, theirs = (
                np.asarray(getattr(model.opt if owner else model, attribute))
                for model in (own, base)
            )
            assert ours.tobytes() == theirs.tobytes(), f"{parameter} {name}"
        if task == "hopper":
            np.testing.assert_array_equal(trajectory(simulation, 5), nominal)
    assert len(tried) >= 30
