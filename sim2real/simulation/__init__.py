"""Worlds that are stepped together, and the front ends that other libraries expect."""

from sim2real.simulation.episode import Episode, Transition
from sim2real.simulation.simulation import Simulation

__all__ = ["Episode", "Simulation", "Transition"]
