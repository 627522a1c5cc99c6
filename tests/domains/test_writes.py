"""Writes joined into fewer."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.domains.writes import Write, blocks, merged


def write(array: str, columns: list[int], operation: str = "scale") -> Write:
    count = len(columns)
    places, sources = np.array(columns), np.arange(count)
    return Write(array, places, sources, np.full(count, 2.0), operation)  # type: ignore[arg-type]


def test_alike_writes_are_joined_and_give_the_same() -> None:
    first, second, other = write("a", [0, 1]), write("b", [3]), write("a", [4], "add")
    (scaled, added) = blocks([first, second, other])
    draws, arrays = np.array([[3.0, 5.0]]), {"a": np.zeros((2, 6)), "b": np.zeros((2, 6))}
    for block in (scaled, added):
        block.apply(arrays.__getitem__, np.array([[1]]), draws, None)
    np.testing.assert_array_equal(arrays["a"], [[0] * 6, [6, 10, 0, 0, 5, 0]])
    np.testing.assert_array_equal(arrays["b"], [[0] * 6, [0, 0, 0, 6, 0, 0]])


@pytest.mark.parametrize("join", [merged, blocks])
def test_of_two_writes_to_one_entry_the_later_stays_the_later(join: object) -> None:
    given = [write("a", [0]), write("a", [1], "set"), write("a", [0], "set"), write("a", [1])]
    joined = join(given)  # type: ignore[operator]
    operations = [getattr(one, "write", one).operation for one in joined]
    assert operations == ["scale", "set", "set", "scale"]
