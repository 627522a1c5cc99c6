"""Designs of excitations: on a cart that never fails, and on a pendulum that falls."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification import design
from sim2real.identification.design import USUAL, Design, design_excitation
from tests.identification.conftest import PROMPT

BALANCED = Domain(
    name="balanced", dynamics=[{"field": "body_mass", "scale": {"log_uniform": [0.5, 2.0]}}]
)


class Still:
    """A policy that commands nothing."""

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        return np.zeros((len(observation), 1), dtype=np.float32), None


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"GENERATIONS": 2, "CANDIDATES": 4, "ELITES": 2, "WINDOWS": 8}.items():
        monkeypatch.setattr(design, name, value)


def designed(task: str = "cartpole", family: Domain = PROMPT, **options: Any) -> Design:
    options = {"threads": 1, **options}
    return design_excitation(task, Still(), 400, family, **options)


def test_larger_noise_tells_more_where_nothing_fails() -> None:
    parts = []
    found = designed(report=parts.append)
    assert found.names == ("body_mass:pole", "dof_damping:hinge", "strength:drive")
    assert found.best.gain > found.usual.gain
    assert USUAL < found.excitation.std[0] <= 0.5
    assert np.median(list(found.shrink.values())) < 1.0
    assert found.best.gain == pytest.approx(-np.log(found.best.std).mean())
    assert found.simulated_steps > 9 * 400
    assert parts == sorted(parts)
    assert parts[-1] == 1.0
    assert "times those with white noise of 0.2" in found.sentence


def test_the_same_seed_gives_the_same_design_at_any_number_of_threads() -> None:
    one, other = designed(seed=3), designed(seed=3, threads=2)
    assert one.excitation == other.excitation
    assert (one.best.std == other.best.std).all()


def test_no_excitation_has_more_falls_than_allowed() -> None:
    found = designed("inverted_pendulum", BALANCED)
    assert found.usual.falls > 0
    assert found.best.falls <= found.usual.falls
    with pytest.raises(UserError, match=r"every excitation leads to \d+ falls or more; allowed: 0"):
        designed("inverted_pendulum", BALANCED, falls=0)


def test_more_falls_count_more_than_any_gain() -> None:
    effect = designed().usual
    worse, worst = (dataclasses.replace(effect, falls=count, gain=1e3) for count in (2, 3))
    assert worst.merit(1) < worse.merit(1) < effect.merit(1)
    assert worse.merit(2) == 1e3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"most": 0.0}, "most is 0; allowed: above 0, to 1"),
        ({"most": 1.5}, "most is 1.5"),
        ({"family": "nominal"}, "nothing to identify"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        designed(**options)


def test_too_few_steps_are_refused() -> None:
    with pytest.raises(UserError, match="steps is 3; allowed: 4 to"):
        design_excitation("cartpole", Still(), 3)
