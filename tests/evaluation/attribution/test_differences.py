"""What differs between two domains, and the domains between them."""

from __future__ import annotations

from typing import Any

import pytest

from sim2real.domains import Domain, load_domain
from sim2real.evaluation.attribution.differences import (
    can_turn_off,
    differences,
    mixture,
    without_each,
)

MASS = {"field": "body_mass", "of": "torso", "scale": 1.5}
DAMPING = {"field": "dof_damping", "scale": 3.0, "shared": True}
WIDE = {"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}, "shared": True}


def names(source: Domain, target: Domain) -> list[str]:
    return [one.name for one in differences(source, target)]


def domain(**sections: Any) -> Domain:
    return Domain(name="made", **sections)


def test_each_entry_of_the_target_is_a_difference() -> None:
    hard = load_domain("hopper", "hard")
    found = differences(Domain(), hard)
    assert [one.name for one in found] == ["body_mass", "dof_damping", "delay", "strength"]
    assert found[1].about == "dof_damping × 3, one draw for all"
    assert [one.neutral for one in found] == [
        {"body_mass": 1.0},
        {"dof_damping": 1.0},
        {"delay": 0.0},
        {"strength": 1.0},
    ]


def test_what_both_have_is_none() -> None:
    assert names(domain(dynamics=[MASS, DAMPING]), domain(dynamics=[DAMPING])) == ["body_mass"]
    assert differences(domain(dynamics=[MASS]), domain(dynamics=[MASS])) == ()


def test_an_entry_takes_the_place_of_one_of_the_same_quantity() -> None:
    (one,) = differences(domain(dynamics=[WIDE]), domain(dynamics=[DAMPING]))
    assert (
        one.about == "dof_damping × 0.5 to 2, one draw for all -> dof_damping × 3, one draw for all"
    )
    assert one.neutral is None  # only another domain has the source's range


def test_set_components_of_one_field_are_one_difference() -> None:
    found = differences(Domain(), load_domain("furuta", "payload"))
    assert [one.name for one in found] == ["payload"]
    assert len(found[0].target) == 2


def test_entries_of_one_label_are_named_by_their_elements() -> None:
    target = load_domain("cartpole", "medium")
    found = differences(Domain(), target)
    assert [one.name for one in found] == ["body_mass:cart", "body_mass:pole", "strength"]
    assert [can_turn_off(one, target) for one in found] == [False, False, True]


def test_keys_of_the_domain_are_differences() -> None:
    target = domain(engine="drake", control_period=0.03, dynamics=[MASS])
    found = differences(Domain(), target)
    assert [one.name for one in found] == ["engine", "control_period", "body_mass"]
    assert found[0].about == "engine: mujoco -> drake"
    mixed = mixture(Domain(), target, found, {"engine"})
    assert mixed.engine == target.engine
    assert mixed.control_period is None
    assert not mixed.dynamics


def test_the_whole_mixture_is_the_target_and_the_empty_one_the_source() -> None:
    source, target = load_domain("hopper", "randomized"), load_domain("hopper", "hard")
    parts = differences(source, target)
    assert mixture(source, target, parts, {one.name for one in parts}) is target
    assert mixture(source, target, parts, ()) is source


def test_a_mixture_has_the_entries_of_its_differences() -> None:
    source, target = domain(dynamics=[WIDE]), domain(dynamics=[MASS, DAMPING])
    parts = differences(source, target)
    assert [one.name for one in parts] == ["body_mass", "dof_damping"]
    light = mixture(source, target, parts, {"dof_damping"})
    assert light.plain()["dynamics"] == domain(dynamics=[DAMPING]).plain()["dynamics"]
    heavy = mixture(source, target, parts, {"body_mass"})
    assert heavy.plain()["dynamics"] == domain(dynamics=[WIDE, MASS]).plain()["dynamics"]


def test_a_correlation_goes_with_what_it_names() -> None:
    tied = {"parameters": ["body_mass", "dof_damping"], "correlation": 0.5}
    target = domain(dynamics=[{**MASS, "scale": {"uniform": [1.0, 2.0]}}, WIDE], correlated=[tied])
    parts = differences(Domain(), target)
    assert not any(can_turn_off(one, target) for one in parts)
    assert mixture(Domain(), target, parts, {"body_mass"}).correlated == ()


@pytest.mark.parametrize(
    "entry",
    [
        {"delay": 0.01, "jitter": {"uniform": [-0.005, 0.005]}},
        {"noise": {"normal": [0.0, 0.1]}},
        {"strength": {"uniform": [0.5, 1.0]}, "when": "startup"},
        {"strength": 0.5, "course": {"step": 0.1}},
    ],
)
def test_what_one_value_cannot_turn_off(entry: dict[str, Any]) -> None:
    (one,) = differences(Domain(), domain(actuation=[entry]))
    assert one.neutral is None


def test_the_target_without_each_difference() -> None:
    found = without_each(Domain(), load_domain("hopper", "hard"))
    assert list(found) == [
        "without-body_mass",
        "without-dof_damping",
        "without-delay",
        "without-strength",
    ]
    assert [len(one.parameters) for one in found.values()] == [3, 3, 3, 3]
    assert found["without-delay"].about == (
        "The domain 'hard' without this difference from 'custom': actuator delay 0.008 s, one draw "
        "for all."
    )
