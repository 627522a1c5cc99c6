"""Sweeps: the return against values of one or two parameters, and the influence of all of them."""

from sim2real.evaluation.sweeps.axis import Axis, axis
from sim2real.evaluation.sweeps.influence import Influence, influence
from sim2real.evaluation.sweeps.sweep import Sweep, sweep

__all__ = ["Axis", "Influence", "Sweep", "axis", "influence", "sweep"]
