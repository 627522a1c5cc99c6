"""Worlds that are stepped together, and the front ends that other libraries expect."""

from sim2real.simulation.simulation import Episode, Simulation, Transition

__all__ = ["Episode", "Simulation", "Transition"]
