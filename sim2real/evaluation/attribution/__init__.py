"""Attribution: how much of the gap between two domains each physical difference explains."""

from sim2real.evaluation.attribution.attribute import Attribution, Part, attribute
from sim2real.evaluation.attribution.differences import (
    Difference,
    differences,
    mixture,
    without_each,
)

__all__ = [
    "Attribution",
    "Difference",
    "Part",
    "attribute",
    "differences",
    "mixture",
    "without_each",
]
