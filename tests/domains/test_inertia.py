"""Pseudo-inertias against closed forms, and parameters that change whole bodies."""

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.model_fields import inertia as rigid
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

RNG = np.random.default_rng(0)
THETA = RNG.normal(0.0, 0.5, (20, 10))


def model_of(*dynamics, task="hopper"):
    return Simulation(task, Domain(dynamics=dynamics), threads=1).world_model(0)


def pseudo_of(model, body):
    i = model.body(body).id
    parts = (model.body_mass, model.body_inertia, model.body_ipos, model.body_iquat)
    return rigid.pseudo_inertia(*(part[i] for part in parts))


def test_a_solid_sphere():
    # second moments of a ball of mass m and radius r: m r^2 / 5 each
    pseudo = rigid.pseudo_inertia(
        np.array(2.0), np.full(3, 0.4 * 2.0 * 0.3**2), np.zeros(3), np.array([1.0, 0, 0, 0])
    )
    np.testing.assert_allclose(pseudo, np.diag([2 * 0.09 / 5] * 3 + [2.0]), atol=1e-15)
    theta = rigid.log_cholesky(pseudo)
    # J = U U' with U = sqrt(m) diag(r / sqrt 5, .., 1)
    expected = [0.5 * np.log(2.0), *[np.log(0.3 / np.sqrt(5))] * 3, *[0.0] * 6]
    np.testing.assert_allclose(theta, expected, atol=1e-15)


def test_parameters_survive_a_round_trip():
    np.testing.assert_allclose(
        rigid.log_cholesky(rigid.from_log_cholesky(THETA)), THETA, atol=1e-12
    )


def test_bodies_survive_a_round_trip():
    pseudo = rigid.from_log_cholesky(THETA)
    again = rigid.pseudo_inertia(*rigid.body_inertia(pseudo))
    np.testing.assert_allclose(again, pseudo, rtol=1e-9, atol=1e-12)
    mass, _, ipos, iquat = rigid.body_inertia(pseudo)
    np.testing.assert_allclose(mass, np.exp(2 * THETA[:, 0]))
    np.testing.assert_allclose(ipos, THETA[:, 7:])
    np.testing.assert_allclose(np.linalg.norm(iquat, axis=-1), 1.0)


def test_every_parameter_is_a_physical_body():
    _, inertia, _, _ = rigid.body_inertia(rigid.from_log_cholesky(3 * THETA))
    assert (inertia > 0).all()
    # the triangle inequality of moments of inertia
    assert (inertia.sum(axis=-1) - 2 * inertia.max(axis=-1) > 0).all()


def test_rotations_survive_a_round_trip():
    quat = RNG.normal(size=(50, 4))
    quat /= np.linalg.norm(quat, axis=-1, keepdims=True) * np.sign(quat[:, :1])
    np.testing.assert_allclose(rigid.quaternions(rigid.matrices(quat)), quat, atol=1e-12)
    half_turns = np.eye(4)
    again = rigid.matrices(rigid.quaternions(rigid.matrices(half_turns)))
    np.testing.assert_allclose(again, rigid.matrices(half_turns), atol=1e-12)
    reference = np.zeros(9)
    mujoco.mju_quat2Mat(reference, quat[0])
    np.testing.assert_allclose(rigid.matrices(quat[0]).reshape(-1), reference, atol=1e-12)


def test_a_point_mass_moves_the_centre_and_adds_its_arm():
    # 1 kg at 0.5 m on a body of 3 kg: centre at 0.125 m, inertia + 1 * 3 / 4 * 0.5^2 across
    one = rigid.pseudo_inertia(
        np.array(3.0), np.array([0.2, 0.3, 0.4]), np.zeros(3), np.array([1.0, 0, 0, 0])
    )
    both = rigid.with_point_mass(one, np.array(1.0), np.array([0.5, 0, 0]))
    mass, inertia, ipos, _ = rigid.body_inertia(both)
    assert mass == pytest.approx(4.0)
    np.testing.assert_allclose(ipos, [0.125, 0, 0])
    extra = 3 / 4 * 0.25
    np.testing.assert_allclose(sorted(inertia), sorted([0.2, 0.3 + extra, 0.4 + extra]))


def test_log_cholesky_components_are_read_back():
    nominal = rigid.log_cholesky(pseudo_of(load_task("hopper").compile(), "leg"))
    model = model_of(
        {"field": "body_pseudo_inertia", "of": "leg", "component": "t1", "add": 0.02},
        {"field": "body_pseudo_inertia", "of": "leg", "component": "alpha", "add": 0.1},
        {"field": "body_pseudo_inertia", "of": "leg", "component": "s13", "set": 0.05},
    )
    difference = rigid.log_cholesky(pseudo_of(model, "leg")) - nominal
    np.testing.assert_allclose(difference[[0, 6, 7]], [0.1, 0.05, 0.02], atol=1e-9)
    np.testing.assert_allclose(np.delete(difference, [0, 6, 7]), 0.0, atol=1e-9)
    assert model.body("leg").mass[0] == pytest.approx(
        load_task("hopper").compile().body("leg").mass[0] * np.exp(0.2)
    )


def test_a_payload_comes_on_top_of_a_scaled_mass():
    model = model_of(
        {"field": "body_mass", "of": "torso", "scale": 2.0},
        {"field": "payload", "of": "torso", "set": 1.5},
        {"field": "payload", "of": "torso", "component": "z", "set": 0.2},
    )
    nominal = load_task("hopper").compile()
    heavier = rigid.pseudo_inertia(
        2 * nominal.body_mass[1],
        2 * nominal.body_inertia[1],
        nominal.body_ipos[1],
        nominal.body_iquat[1],
    )
    expected = rigid.with_point_mass(heavier, np.array(1.5), np.array([0, 0, 0.2]))
    np.testing.assert_allclose(pseudo_of(model, "torso"), expected, rtol=1e-9, atol=1e-12)


def test_a_payload_is_never_left_from_an_earlier_episode():
    domain = Domain(dynamics=[{"field": "payload", "of": "torso", "set": {"uniform": [0, 2]}}])
    simulation = Simulation("hopper", domain, num_envs=4, threads=1)
    nominal = simulation.model.body_mass[1]
    for _ in range(5):
        simulation.reset()
        masses = simulation.expanded("body_mass")[:, 1]
        np.testing.assert_allclose(masses, nominal + simulation.context[:, 0], rtol=1e-12)


def test_a_payload_on_a_body_of_any_length():
    domain = Domain(
        dynamics=[
            {"field": "link_length", "of": "torso", "scale": {"uniform": [0.8, 1.2]}},
            {"field": "payload", "of": "torso", "set": {"uniform": [0, 2]}},
        ]
    )
    simulation = Simulation("hopper", domain, num_envs=4, threads=1)
    for length, extra, mass in zip(
        *simulation.context.T, simulation.expanded("body_mass")[:, 1], strict=True
    ):
        # the torso is a capsule of radius 0.05 m, half length 0.2 m and 1000 kg/m³
        own = 1000 * np.pi * 0.05**2 * (0.4 * length + 4 / 3 * 0.05)
        assert mass == pytest.approx(own + extra, rel=5e-2)


@pytest.mark.parametrize(
    ("dynamics", "message"),
    [
        ([{"field": "body_pseudo_inertia", "add": 0.1}], "needs a component: alpha, d1"),
        (
            [{"field": "body_pseudo_inertia", "component": "t1", "scale": 2.0}],
            "takes add or set, not scale",
        ),
        (
            [
                {"field": "body_mass", "scale": 2.0},
                {"field": "body_pseudo_inertia", "component": "t1", "add": 0.1},
            ],
            "changes the same entry of body_mass as 'body_mass'",
        ),
        ([{"field": "payload", "of": "torso", "component": "x", "set": 0.1}], "no mass"),
        ([{"field": "payload", "set": {"uniform": [-1, 1]}}], "must be at least 0"),
        ([{"field": "payload", "scale": 2.0}], "takes add or set"),
    ],
)
def test_impossible_bodies_are_refused(dynamics, message):
    with pytest.raises(UserError, match=message):
        model_of(*dynamics)


def test_a_body_without_finite_inertia_is_refused():
    heavy = {"field": "body_pseudo_inertia", "component": "alpha", "of": "torso", "set": 1e16}
    with pytest.raises(UserError, match="a body's inertia is not finite"):
        Simulation("hopper", Domain(dynamics=[heavy]))
