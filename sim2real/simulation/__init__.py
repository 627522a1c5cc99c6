"""Worlds that are stepped together, and the front ends that other libraries expect."""

from sim2real.simulation.actions import ActionMap
from sim2real.simulation.episode import Episode, Transition
from sim2real.simulation.simulation import Simulation

__all__ = ["ActionMap", "Episode", "Simulation", "Transition"]
