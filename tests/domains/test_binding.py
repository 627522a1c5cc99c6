"""A domain applied to a model: the rules of physically consistent randomization."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.domains import Domain, prepare
from sim2real.domains.model_fields.table import FIELDS
from sim2real.errors import UserError
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")


def dynamics(**parameter):
    return Domain(dynamics=[parameter])


def model_of(task, domain, seed=0):
    return Simulation(task, domain, seed=seed).world_model(0)


def arrays(model):
    """Every number of a model and of its options, by name."""
    fields = {
        name: np.asarray(getattr(model, name)).copy()
        for name in dir(model)
        if not name.startswith("_") and isinstance(getattr(model, name), np.ndarray)
    }
    options = {
        f"opt.{name}": np.asarray(getattr(model.opt, name)).copy()
        for name in dir(model.opt)
        if not name.startswith("_") and not callable(getattr(model.opt, name))
    }
    return fields | options


def changed(model, other):
    ours, theirs = arrays(model), arrays(other)
    return {name for name in ours if not np.array_equal(ours[name], theirs[name])}


PARTS = 4
"""Parts of the fields: of each task one is fast, in turn."""


def identities(task, part):
    """Some fields as parameters that change nothing: scaled by 1, or 0 added where it is 0."""
    for name, field in list(FIELDS.items())[part::PARTS]:
        component = next(iter(field.components), None)
        for parameter in ({"scale": 1.0}, {"add": 0.0, "component": component}):
            try:
                yield Simulation(task, dynamics(field=name, **parameter))
            except UserError:
                continue
            break


@pytest.mark.parametrize(
    ("task", "part"),
    [
        slow_unless(index % PARTS == part, task, part)
        for index, task in enumerate(task_names())
        for part in range(PARTS)
    ],
)
def test_identity_is_a_bitwise_no_op(task, part):
    plain = Simulation(task)
    action = np.full((1, plain.model.nu), 0.3, dtype=np.float32)
    steps = [plain.step(action) for _ in range(5)]
    count = 0
    for simulation in identities(task, part):
        count += 1
        domain = simulation.domain
        assert changed(simulation.world_model(0), prepare(load_task(task), domain)) == set()
        for theirs in steps:
            ours = simulation.step(action)
            np.testing.assert_array_equal(ours.observation, theirs.observation)
            np.testing.assert_array_equal(ours.reward, theirs.reward)
    assert count >= 5


def test_adding_zero_is_a_bitwise_no_op():
    for component in "xyz":
        domain = dynamics(field="body_ipos", component=component, add=0.0)
        assert changed(model_of("hopper", domain), load_task("hopper").compile()) == set()


def test_only_the_selected_entries_change():
    model = model_of("hopper", dynamics(field="dof_damping", of="leg_joint", add=2.0))
    nominal = load_task("hopper").compile()
    assert changed(model, nominal) == {"dof_damping"}
    difference = model.dof_damping - nominal.dof_damping
    assert difference.tolist() == [0, 0, 0, 0, 2.0, 0]


def test_one_component_of_friction_leaves_the_others():
    domain = dynamics(field="geom_friction", of="foot_geom", component="sliding", scale=0.5)
    model, nominal = model_of("hopper", domain), load_task("hopper").compile()
    foot = model.geom("foot_geom").id
    np.testing.assert_array_equal(
        model.geom_friction[foot], nominal.geom_friction[foot] * [0.5, 1.0, 1.0]
    )


def test_mass_moves_inertia_and_every_derived_constant():
    model = model_of("hopper", dynamics(field="body_mass", of="torso", scale=2.0))
    reference = load_task("hopper").compile()
    torso = reference.body("torso").id
    reference.body_mass[torso] *= 2
    reference.body_inertia[torso] *= 2
    mujoco.mj_setConst(reference, mujoco.MjData(reference))
    assert changed(model, reference) == set()
    nominal = load_task("hopper").compile()
    assert {"body_subtreemass", "dof_invweight0"} <= changed(model, nominal)


@pytest.mark.parametrize(("operation", "value"), [("set", 3.0), ("add", 1.0)])
def test_mass_set_or_added_scales_inertia_by_the_ratio(operation, value):
    # the slider weighs 2 kg, so both give 3 kg, 1.5 times its mass
    model = model_of(SLIDER, Domain(dynamics=[{"field": "body_mass", operation: value}]))
    nominal = load_task(SLIDER).compile()
    assert model.body_mass[1] == 3.0
    np.testing.assert_allclose(model.body_inertia[1], 1.5 * nominal.body_inertia[1], rtol=1e-15)


def test_values_come_from_the_nominal_model_after_many_resets():
    domain = dynamics(field="body_mass", scale={"uniform": [0.5, 2.0]})
    simulation = Simulation(SLIDER, domain, num_envs=10)
    draws = []
    for _ in range(100):
        simulation.reset()
        masses = simulation.expanded("body_mass")[:, 1]
        np.testing.assert_array_equal(masses, 2.0 * simulation.context[:, 0])
        draws.append(simulation.context[:, 0].copy())
    drawn = np.concatenate(draws)
    assert drawn.min() >= 0.5
    assert drawn.max() <= 2.0
    # mean and deviation of a uniform over [0.5, 2]: 1.25 and 1.5 / sqrt(12) = 0.433
    assert abs(drawn.mean() - 1.25) < 4 * 0.433 / np.sqrt(len(drawn))


def test_shared_is_one_draw_and_each_is_its_own():
    each = Simulation("hopper", dynamics(field="body_mass", scale={"uniform": [0.5, 2.0]}))
    assert each.context_names == tuple(
        f"body_mass:{body}" for body in ("torso", "thigh", "leg", "foot")
    )
    assert len(set(each.context[0].tolist())) == 4
    domain = dynamics(field="body_mass", scale={"uniform": [0.5, 2.0]}, shared=True, name="load")
    shared = Simulation("hopper", domain)
    assert shared.context_names == ("load",)
    ratio = shared.world_model(0).body_mass[1:] / load_task("hopper").compile().body_mass[1:]
    np.testing.assert_allclose(ratio, shared.context[0, 0])


def test_strength_moves_the_force_limit_and_the_gain():
    domain = Domain(actuation=[{"strength": 0.5}])
    model = model_of(SLIDER, domain)
    assert model.actuator_gainprm[0, 0] == 0.5
    simulation = Simulation(SLIDER, domain)
    simulation.step(np.ones((1, 1)))
    # 3 N x 0.5 on 2 kg for 0.02 s
    np.testing.assert_allclose(simulation.qvel[0, 0], 0.5 * 3.0 / 2.0 * 0.02, rtol=1e-12)


def test_another_timestep_keeps_the_control_step():
    simulation = Simulation(SLIDER, dynamics(field="opt.timestep", set=0.001))
    assert simulation.substeps == 20
    assert simulation.dt == pytest.approx(0.02)
    with pytest.raises(UserError, match=r"not a multiple of 0.003"):
        Simulation(SLIDER, dynamics(field="opt.timestep", set=0.003))


@pytest.mark.parametrize(
    ("task", "parameter", "message"),
    [
        ("hopper", {"field": "body_mass", "of": "troso", "scale": 2.0}, "did you mean 'torso'"),
        (SLIDER, {"field": "body_mass", "scale": {"normal": [1, 0.1]}}, "use truncated_normal"),
        (SLIDER, {"field": "body_mass", "scale": -1.0}, "reaches -2; body_mass must be greater"),
        (SLIDER, {"field": "body_mass", "set": 0.0}, "greater than 0"),
        (SLIDER, {"field": "dof_damping", "scale": 2.0}, "a scale has no effect; use add or set"),
        (SLIDER, {"field": "jnt_range", "component": "lower", "scale": 2.0}, "has no limits"),
        (SLIDER, {"field": "body_ipos", "add": 0.1}, "needs a component: x, y, z"),
        (SLIDER, {"field": "body_ipos", "component": "w", "add": 0.1}, "unknown component"),
        (SLIDER, {"field": "opt.gravity", "of": "mass", "scale": 2.0}, "the whole world"),
        (SLIDER, {"field": "opt.timestep", "set": {"uniform": [0.001, 0.002]}}, "constant"),
        (SLIDER, {"field": "opt.timestep", "set": -0.001}, "greater than 0"),
    ],
)
def test_impossible_parameters_are_refused(task, parameter, message):
    with pytest.raises(UserError, match=message):
        Simulation(task, Domain(dynamics=[parameter]))


def test_two_parameters_for_one_entry_are_refused():
    twice = [
        {"field": "body_mass", "of": "torso", "scale": 2.0},
        {"field": "body_mass", "of": "t*", "scale": 2.0, "name": "all"},
    ]
    with pytest.raises(UserError, match="changes the same entry of body_mass"):
        Simulation("hopper", Domain(dynamics=twice))
    with pytest.raises(UserError, match="drawn twice"):
        Simulation("hopper", Domain(dynamics=[twice[0], twice[0]]))


def test_a_delay_as_long_as_an_episode_is_refused():
    with pytest.raises(UserError, match="as long as an episode"):
        Simulation(SLIDER, Domain(actuation=[{"delay": 1.0}]))


def test_an_unknown_observation_term_is_refused():
    with pytest.raises(UserError, match="did you mean 'place'"):
        Simulation(SLIDER, Domain(sensing=[{"noise": 0.1, "of": "palce"}]))
