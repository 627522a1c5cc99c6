"""Domains whose ranges are a factor as wide."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.domains.distributions.distribution import parse_distribution
from sim2real.domains.width import scaled, widened
from sim2real.errors import UserError
from sim2real.simulation import Simulation

U = np.linspace(0.0, 1.0, 101)[:-1]
FORMS: list[Any] = [
    {"uniform": [0.8, 1.4]},
    {"normal": [1.1, 0.2]},
    {"truncated_normal": [1.1, 0.2, 0.7, 1.2]},
    {"beta": [2.0, 3.0, 0.5, 1.5]},
    {"choice": [0.5, 1.0, 3.0]},
    {"within": [{"uniform": [0.8, 1.4]}, {"beta": [2.0, 3.0, 0.2, 0.9]}]},
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("centre", [1.0, 0.0, None])
def test_each_draw_is_a_factor_as_far_from_the_centre(
    form: Any, factor: float, centre: float | None
) -> None:
    distribution = parse_distribution(form)
    drawn, median = distribution.quantile(U), float(distribution.quantile(np.array(0.5)))
    about = median if centre is None else centre
    found = scaled(distribution, centre, factor).quantile(U)
    np.testing.assert_allclose(found, about + factor * (drawn - about), rtol=0, atol=1e-12)


def test_a_log_uniform_is_scaled_by_powers_and_a_constant_stays() -> None:
    distribution = parse_distribution({"log_uniform": [0.5, 8.0]})
    drawn = distribution.quantile(U)
    for factor, centre, about in ((0.5, 1.0, 1.0), (2.0, None, 2.0), (0.0, None, 2.0)):
        found = scaled(distribution, centre, factor).quantile(U)
        np.testing.assert_allclose(found, about * (drawn / about) ** factor, rtol=1e-12)
    np.testing.assert_allclose(scaled(distribution, 0.0, 0.5).quantile(U), 0.5 * drawn, rtol=1e-12)
    assert scaled(parse_distribution(1.4), 1.0, 0.0) == parse_distribution(1.4)


def test_an_episode_draws_the_same_numbers_at_every_width() -> None:
    whole = load_domain("hopper", "randomized")
    assert widened(whole, 1.0) is whole
    full, half = (Simulation("hopper", one, 5, threads=1) for one in (whole, widened(whole, 0.5)))
    assert full.context_names == half.context_names
    for drawn, narrow in zip(full.contexts(), half.contexts(), strict=True):
        for name, value in drawn.items():
            nominal = 0.0 if name == "delay" else 1.0
            expected = nominal + 0.5 * (value - nominal)
            if name == "geom_friction.sliding":  # log-uniform
                expected = value**0.5
            assert narrow[name] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_width_of_0_is_the_nominal_world() -> None:
    none = widened(load_domain("hopper", "randomized"), 0.0)
    assert none.is_constant
    ours, nominal = (Simulation("hopper", one, 3, threads=1) for one in (none, None))
    for action in np.random.default_rng(0).uniform(-1, 1, (30, 3, 3)):
        np.testing.assert_array_equal(
            ours.step(action).observation, nominal.step(action).observation
        )


def test_constants_stay_and_what_has_no_identity_moves_from_its_median() -> None:
    domain = Domain(
        control_period={"uniform": [0.008, 0.016]},
        dynamics=[
            {"field": "body_mass", "of": "foot", "scale": 1.4},
            {
                "field": "dof_damping",
                "set": {"uniform": [1.0, 3.0]},
                "course": {"every": 0.1},
                "when": "reset",
            },
        ],
        actuation=[{"delay": {"uniform": [0, 0.02]}, "jitter": {"uniform": [0, 0.01]}}],
        sensing=[{"noise": {"normal": [0, 0.2]}}, {"rate": {"uniform": [40, 60]}}],
        disturbances=[{"push": {"uniform": [2, 4]}, "of": "torso", "every": {"uniform": [1, 2]}}],
    )
    assert widened(domain, 0.5).describe() == [
        "a control step of 0.01 to 0.014 s",
        "body_mass of foot × 1.4",
        "dof_damping = 1.5 to 2.5 drawn anew every 0.1 s",
        "actuator delay 0 to 0.01 s with a jitter of 0 to 0.005 s, one draw for all",
        "sensor noise + 0 ± 0.1",
        "sensor rate 45 to 55 Hz",
        "horizontal push of torso 1 to 2 N s every 1 to 2 s",
    ]
    assert widened(domain, 0.0).describe() == [
        "a control step of 0.012 s",
        "body_mass of foot × 1.4",
        "dof_damping = 2",
        "actuator delay 0 s with a jitter of 0 s, one draw for all",
        "sensor noise + 0",
        "sensor rate 50 Hz",
        "horizontal push of torso 0 N s every 1 to 2 s",
    ]


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(UserError, match="domain 'hard' draws nothing from a range"):
        widened(load_domain("hopper", "hard"), 0.5)
    strong = Domain(name="strong", actuation=[{"strength": {"uniform": [0.5, 1.5]}}])
    with pytest.raises(UserError, match=r"'strong' at width 3: .*strength must be at least"):
        widened(strong, 3.0)
    with pytest.raises(UserError, match=r"'strong' at width 1e\+300: the number .* is absurd"):
        widened(strong, 1e300)
    quick = Domain(
        name="quick", dynamics=[{"field": "body_mass", "scale": {"log_uniform": [1, 2]}}]
    )
    with pytest.raises(UserError, match=r"'quick' at width 1e\+300: "):
        widened(quick, 1e300)
    heavy = Domain(name="heavy", dynamics=[{"field": "body_mass", "scale": {"uniform": [0.5, 1]}}])
    with pytest.raises(UserError, match=r"'heavy-width-3': body_mass: scale: -0\.5 to 1 reaches"):
        Simulation("hopper", widened(heavy, 3.0))
