"""The global stage: what other start states explain does not count."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.identification.search import _projected


def test_what_states_explain_is_projected_out() -> None:
    rng = np.random.default_rng(0)
    slopes = 10.0 * rng.standard_normal((3, 8, 2, 4))  # windows, rows, channels, states
    states = rng.standard_normal((5, 3, 4))  # candidates, windows, states
    explained = np.einsum("wrks,mws->mwrk", slopes, states)
    assert np.abs(_projected(explained, slopes)).max() < 1e-3 * np.abs(explained).max()


def test_the_rest_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(1)
    slopes, residuals = 10.0 * rng.standard_normal((1, 8, 2, 4)), rng.standard_normal((1, 1, 8, 2))
    matrix, flat = slopes.reshape(16, 4), residuals.reshape(16)
    rest = flat - matrix @ np.linalg.lstsq(matrix, flat, rcond=None)[0]
    assert _projected(residuals, slopes).reshape(16) == pytest.approx(rest, abs=1e-3)
