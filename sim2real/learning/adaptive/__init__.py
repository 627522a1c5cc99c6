"""Adaptive randomization: distributions that follow what the policy can do, as SB3 callbacks."""

from sim2real.learning.adaptive.adr import ADR
from sim2real.learning.adaptive.base import AdaptiveRandomization
from sim2real.learning.adaptive.curriculum import Curriculum
from sim2real.learning.adaptive.doraemon import DORAEMON
from sim2real.learning.adaptive.registry import (
    RANDOMIZATIONS,
    build_randomization,
    checked_randomization,
    load_randomization,
)

__all__ = [
    "ADR",
    "DORAEMON",
    "RANDOMIZATIONS",
    "AdaptiveRandomization",
    "Curriculum",
    "build_randomization",
    "checked_randomization",
    "load_randomization",
]
