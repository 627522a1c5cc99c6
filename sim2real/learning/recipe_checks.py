"""Checks of a recipe against its task and domain, before a run begins."""

from __future__ import annotations

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.learning.worst_share import check_contexts
from sim2real.policies.encoders import estimated_columns
from sim2real.policies.recipe import AnyRecipe, PPORecipe
from sim2real.policies.symmetry import mirroring_of
from sim2real.simulation import Simulation
from sim2real.task import Task


def check_estimates(recipe: AnyRecipe) -> None:
    """UserError where an estimator has nothing to learn from."""
    if recipe.estimate and not recipe.needs_privileged:
        raise UserError("estimate learns from privileged columns; show them with privileged=true")


def check_recipe(recipe: AnyRecipe, task: Task, domain: Domain) -> None:
    """UserError where the recipe learns from the worst of equal worlds, has no mirror image, or
    estimates what is not shown."""
    check_estimates(recipe)
    of_ppo = isinstance(recipe, PPORecipe) and (recipe.worst_share < 1.0 or recipe.symmetry)
    if not (recipe.estimate or of_ppo):
        return
    simulation = Simulation(task, domain, threads=1, **recipe.observed)
    terms = simulation.observation_terms
    estimated_columns(terms, recipe.estimate)
    if isinstance(recipe, PPORecipe) and recipe.worst_share < 1.0:
        check_contexts(simulation)
    if isinstance(recipe, PPORecipe) and recipe.symmetry:
        mirroring_of(recipe, task, terms, simulation.action_range)
    simulation.close()
