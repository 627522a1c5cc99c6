"""Checks of a recipe against its task and domain, before a run begins."""

from __future__ import annotations

from sim2real.domains import Domain
from sim2real.learning.worst_share import check_contexts
from sim2real.policies.recipe import AnyRecipe, PPORecipe
from sim2real.policies.symmetry import mirroring_of
from sim2real.simulation import Simulation
from sim2real.task import Task


def check_recipe(recipe: AnyRecipe, task: Task, domain: Domain) -> None:
    """UserError where the recipe learns from the worst of equal worlds, or has no mirror image."""
    if not isinstance(recipe, PPORecipe) or (recipe.worst_share == 1.0 and not recipe.symmetry):
        return
    simulation = Simulation(task, domain, threads=1, **recipe.observed)
    if recipe.worst_share < 1.0:
        check_contexts(simulation)
    if recipe.symmetry:
        mirroring_of(recipe, task, simulation.observation_terms, simulation.action_range)
    simulation.close()
