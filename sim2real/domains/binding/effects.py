"""One imperfection, bound to the numbers of the signal that it changes."""

from __future__ import annotations

from dataclasses import dataclass

from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.model_fields.rest_points import Rest
from sim2real.task import Array, IntArray


@dataclass(frozen=True)
class StepDraws:
    """`count` random numbers of a control step, under the `key` of a name."""

    key: int
    count: int


@dataclass(frozen=True, eq=False)
class Effect:
    """One imperfection of k numbers of a signal, those in its `columns`.

    Shapes (k,): `sources` are the context entries that hold the magnitudes (none where nothing is
    drawn for an episode); `lanes` tell which of the effect's random numbers of a control step, its
    `draws` side by side, each number takes, all from the distribution `random` (None: nothing is
    drawn); `low` and `high` are the limits of a saturation of 1, `rest` the rest points. `longest`
    is the longest delay in s, `steps` the length of a lapse.
    """

    kind: str
    columns: IntArray
    sources: IntArray
    lanes: IntArray
    random: Distribution | None
    draws: tuple[StepDraws, ...]
    low: Array
    high: Array
    rest: Rest
    longest: float
    steps: int
