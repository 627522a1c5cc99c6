"""The mirror image of a task: which numbers swap places, and which change sign."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sim2real.errors import UserError


@dataclass(frozen=True)
class Reflection:
    """A permutation with signs that is its own inverse: number k is `signs[k]` times `places[k]`.

    >>> Reflection.of("0 -2 -1", "gyro")
    Reflection(places=(0, 2, 1), signs=(1.0, -1.0, -1.0))
    """

    places: tuple[int, ...]
    signs: tuple[float, ...]

    @classmethod
    def of(cls, row: str, what: str) -> Reflection:
        """From a row such as "-3 4 5 -0 1 2"; UserError, about `what`, if it is not a reflection.

        Number k of the mirrored row is the number that stands k-th here, with its sign.
        """
        numbers = row.split() if isinstance(row, str) else []
        if not numbers or not all(re.fullmatch(r"-?[0-9]{1,6}", one) for one in numbers):
            raise UserError(f"mirror of {what}: {row!r}; allowed: places such as '-2 1 -0'")
        places = tuple(int(one.removeprefix("-")) for one in numbers)
        signs = tuple(-1.0 if one.startswith("-") else 1.0 for one in numbers)
        if sorted(places) != list(range(len(places))):
            raise UserError(
                f"mirror of {what}: {row!r}; allowed: each place from 0 to {len(places) - 1} once"
            )
        for here, there in enumerate(places):
            if places[there] != here or signs[there] != signs[here]:
                raise UserError(
                    f"mirror of {what}: {row!r} is not its own inverse: mirrored twice, number "
                    f"{here} is not what it was"
                )
        return cls(places, signs)

    @classmethod
    def identity(cls, size: int) -> Reflection:
        """The reflection of a row that stays as it is."""
        return cls(tuple(range(size)), (1.0,) * size)

    @classmethod
    def side_by_side(cls, parts: list[Reflection]) -> Reflection:
        """The reflection of several rows, one after the other."""
        places: list[int] = []
        for part in parts:
            first = len(places)
            places += [first + place for place in part.places]
        return cls(tuple(places), tuple(sign for part in parts for sign in part.signs))

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Mirror:
    """A task's mirror: the rows of its `action` and of each of its `terms`, as for `Reflection.of`.

    The mirrored world is a world of the task, too: from the mirrored state the mirrored action
    leads to the mirrored next state, with the same reward. All that `observe` and `privileged`
    return has a row.
    """

    action: str
    terms: Mapping[str, str]
