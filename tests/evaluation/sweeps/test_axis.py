"""Axes of a sweep: which parameter, which values, and the domain that has them."""

from __future__ import annotations

from typing import Any

import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.sweeps.axis import axis, swept

HOPPER = load_domain("hopper", "randomized")
NOMINAL = Domain(name="nominal")


def domain(*entries: dict[str, Any]) -> Domain:
    return Domain(name="made", dynamics=entries)  # type: ignore[arg-type]


def test_values_are_quantiles_of_the_range() -> None:
    assert axis("delay", NOMINAL, HOPPER, count=3).values == pytest.approx((0.0, 0.008, 0.016))
    damping = domain({"field": "dof_damping", "scale": {"log_uniform": [0.25, 4.0]}})
    assert axis("dof_damping", NOMINAL, damping, count=3).values == pytest.approx((0.25, 1.0, 4.0))


def test_given_values_come_in_order() -> None:
    assert axis("dof_damping", NOMINAL, HOPPER, (3.0, 0.1, 3.0)).values == (0.1, 3.0)


def test_the_swept_domain_may_have_all_values() -> None:
    hard = load_domain("hopper", "hard")
    found = swept(hard, [axis("dof_damping", hard, HOPPER, (0.1, 9.0))])
    assert [one.label for one in found.dynamics] == [one.label for one in hard.dynamics]
    assert found.dynamics[1].distribution.support == (0.1, 9.0)
    added = swept(hard, [axis("geom_friction.sliding", hard, HOPPER, (0.5, 2.0))])
    assert len(added.parameters) == len(hard.parameters) + 1


def test_one_element_leaves_the_others_as_they_are() -> None:
    one = axis("body_mass:torso", NOMINAL, HOPPER, (1.5,))
    assert one.given(1.5, NOMINAL) == {"body_mass": 1.0, "body_mass:torso": 1.5}
    heavy = domain({"field": "body_mass", "of": ["torso", "foot"], "scale": 1.2})
    assert axis("body_mass:torso", heavy, HOPPER, (1.5,)).given(1.5, heavy) == {
        "body_mass": 1.2,
        "body_mass:torso": 1.5,
    }
    with pytest.raises(UserError, match="the other elements of 'body_mass' have no fixed value"):
        swept(HOPPER, [axis("body_mass:torso", HOPPER, HOPPER, (1.5,))])


def test_bad_axes_are_refused() -> None:
    with pytest.raises(UserError, match="'dof_dampin'; did you mean 'dof_damping'"):
        axis("dof_dampin", NOMINAL, HOPPER)
    hard = load_domain("hopper", "hard")
    with pytest.raises(UserError, match="dof_damping is always 3, which is no range; give values"):
        axis("dof_damping", NOMINAL, hard)
    cartpole = load_domain("cartpole", "randomized")
    with pytest.raises(UserError, match="name one of them: body_mass:cart, body_mass:pole"):
        axis("body_mass", NOMINAL, cartpole)
    with pytest.raises(UserError, match="delay must be at least 0"):
        swept(NOMINAL, [axis("delay", NOMINAL, HOPPER, (-0.1,))])
    twice = [axis(f"body_mass:{name}", NOMINAL, HOPPER) for name in ("torso", "foot")]
    with pytest.raises(UserError, match="body_mass:torso, body_mass:foot belong to one entry"):
        swept(NOMINAL, twice)
