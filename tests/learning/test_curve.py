from __future__ import annotations

from typing import Any

import pytest

from sim2real.errors import UserError
from sim2real.learning.curve import schedule


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (None, ()),
        ([], (0, 100)),
        ([30], (0, 30, 100)),
        ([100, 0, 50, 50], (0, 50, 100)),
        (4, (0, 25, 50, 75, 100)),
        (3, (0, 33, 66, 100)),
    ],
)
def test_the_start_and_the_end_are_always_measured(points: Any, expected: tuple[int, ...]) -> None:
    assert schedule(points, 100) == expected


@pytest.mark.parametrize("points", [[-1], [101], -1, 0])
def test_impossible_points(points: Any) -> None:
    with pytest.raises(UserError, match="allowed"):
        schedule(points, 100)
