from __future__ import annotations

import math

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.excitation import Excitation


def test_white_noise_is_that_of_the_generator() -> None:
    drawn = Excitation((0.3,)).draw((50, 2, 3), 0.01, np.random.default_rng(1))
    assert (drawn == 0.3 * np.random.default_rng(1).standard_normal((50, 2, 3))).all()


def test_sizes_and_correlation_are_as_asked_for() -> None:
    """A first-order autoregression: the correlation after k steps is exp(-k dt / time)."""
    excitation = Excitation((0.1, 0.4), time=0.05)
    drawn = excitation.draw((20_000, 8, 2), 0.01, np.random.default_rng(0))
    assert drawn.std(axis=(0, 1)) == pytest.approx([0.1, 0.4], rel=0.02)
    assert drawn[0].shape == (8, 2)
    for steps in (1, 5, 10):
        both = (drawn[:-steps] * drawn[steps:]).mean(axis=(0, 1)) / drawn.var(axis=(0, 1))
        assert both == pytest.approx(math.exp(-steps * 0.01 / 0.05), abs=0.02)


@pytest.mark.parametrize(
    ("std", "time", "told"),
    [
        ((), 0.0, "noise is"),
        ((-1.0,), 0.0, "noise is -1; allowed: 0 to 100"),
        ((0.1, math.nan), 0.0, "noise is 0.1, nan"),
        ((0.1,), -1.0, "time is -1 s"),
        ((0.1,), math.inf, "time is inf s"),
    ],
)
def test_impossible_excitations_are_refused(std: tuple[float, ...], time: float, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Excitation(std, time)


def test_sizes_of_other_actions_are_refused() -> None:
    with pytest.raises(UserError, match="2 sizes; allowed: 1 or 3"):
        Excitation((0.1, 0.2)).draw((5, 1, 3), 0.01, np.random.default_rng(0))
