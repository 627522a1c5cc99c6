"""Sobol' indices of functions whose indices are known, and of a policy in a domain."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.sweeps.influence import indices, influence


def test_a_linear_function() -> None:
    """Of 1 a + 2 b + 0 c the shares are those of the squares: 1/5, 4/5, 0."""
    found = indices("abc", lambda x: x[0] + 2.0 * x[1], 256, np.random.default_rng(0))
    assert [one.name for one in found] == ["b", "a", "c"]
    assert [one.first for one in found] == pytest.approx([0.8, 0.2, 0.0], abs=0.03)
    assert [one.total for one in found] == pytest.approx([0.8, 0.2, 0.0], abs=0.03)
    for one, true in zip(found, (0.8, 0.2, 0.0), strict=True):
        assert one.total_interval[0] - 1e-9 <= true <= one.total_interval[1] + 0.02


def test_an_interaction_is_in_the_total_alone() -> None:
    """(a - 1/2)(b - 1/2) has no first-order part."""
    found = indices("ab", lambda x: (x[0] - 0.5) * (x[1] - 0.5), 512, np.random.default_rng(0))
    assert [one.first for one in found] == pytest.approx([0.0, 0.0], abs=0.1)
    assert [one.total for one in found] == pytest.approx([1.0, 1.0], abs=0.1)


def test_a_constant_function_is_refused() -> None:
    with pytest.raises(UserError, match="no parameter has an influence"):
        indices("ab", lambda x: np.ones(x.shape[1]), 16, np.random.default_rng(0))


class Still:
    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        return np.ones((len(observation), 1)), None


def domain(**sections: Any) -> Domain:
    return Domain(name="made", **sections)


def test_what_a_policy_feels(short_cartpole: None) -> None:
    """The strength of the motor moves a cart; a gain of a sensor does not move a still policy."""
    ranges = domain(
        actuation=[{"strength": {"uniform": [0.1, 1.0]}}],
        sensing=[{"scale": {"uniform": [0.9, 1.1]}, "of": "cart", "name": "gain"}],
    )
    found = influence(Still(), "cartpole", ranges, samples=16, episodes=1)
    assert [one.name for one in found] == ["strength:drive", "gain:cart"]
    assert found[0].total > 0.5
    assert found[1].total == 0.0


@pytest.mark.parametrize(
    ("given", "options", "match"),
    [
        ({}, {}, "draws nothing from a range"),
        ({"actuation": [{"strength": {"uniform": [0.5, 1.0]}}]}, {}, "'strength:drive' alone"),
        (
            {
                "actuation": [{"strength": {"uniform": [0.5, 1.0]}}],
                "dynamics": [{"field": "dof_damping", "scale": {"uniform": [0.5, 1.0]}}],
                "correlated": [{"parameters": ["strength", "dof_damping"], "correlation": 0.5}],
            },
            {},
            "depend on each other",
        ),
        ({}, {"samples": 60}, "a power of 2"),
        ({}, {"samples": 4}, "samples is 4"),
    ],
)
def test_bad_input(given: dict[str, Any], options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        influence(Still(), "cartpole", domain(**given), **options)
