"""Extend a run to more steps, and list the differences from a run that had them from the start."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from sim2real.errors import UserError
from sim2real.learning.callbacks import rollout_length
from sim2real.policies.recipe import AnyRecipe, PPORecipe
from sim2real.runs.run import RunConfig, RunFolder
from sim2real.runs.seal import rewrite_config

Folder = TypeVar("Folder", bound=RunFolder)


def extend(folder: Folder, steps: int) -> Folder:
    """Ask the run in `folder` for `steps` control steps in all; writes its config.yaml.

    A learning curve gets a point at its new end.
    """
    config = folder.config
    curve = None if config.curve is None else (*config.curve, steps)
    asked = {"steps": steps, "extended": (*config.extended, config.steps), "curve": curve}
    extended = config.model_copy(update=asked)
    rewrite_config(folder.path, extended)
    return replace(folder, config=extended)


def adds_steps(folder: RunFolder, steps: int) -> bool:
    """Whether all worlds make a step more for `steps`; UserError for fewer than before."""
    asked, worlds = folder.config.steps, folder.config.num_envs
    if steps // worlds < asked // worlds:
        raise UserError(
            f"{folder.path} was asked for {asked} steps already; allowed: as many or more, "
            f"got {steps}"
        )
    return steps // worlds > asked // worlds


def differences(config: RunConfig, recipe: AnyRecipe, steps: int, done: int) -> list[str]:
    """Why the run, extended to `steps`, will differ from one asked for `steps` from the start.

    `recipe` is that of its learner, `done` the control steps that are made. Without a reason the
    two have the same weights, bit for bit.
    """
    if not done:
        return []
    reasons = []
    if recipe.lr_schedule == "linear":
        reasons.append(f"its learning rate was to fall to 0 at {config.steps} steps")
    if isinstance(recipe, PPORecipe) and recipe.initial_gamma is not None:
        reasons.append(f"its discount was to rise until half of {config.steps} steps")
    if isinstance(recipe, PPORecipe):
        limits = {"entropy bonus": recipe.initial_ent_coef, "noise": recipe.final_log_std}
        named = [name for name, one in limits.items() if one is not None]
        reasons += [f"its {name} was to end its course at {config.steps} steps" for name in named]
    if isinstance(recipe, PPORecipe) and _selected_for(config, recipe, done):
        start = recipe.worst_share_start
        reasons.append(f"its worst share was to begin at {start} of {config.steps} steps")
    if old := _cut_for(config, recipe, steps, done):
        reasons.append(f"its rollouts were cut to end at {old} steps")
    adaptive = config.randomization or {}
    if adaptive.get("name") == "curriculum" and adaptive.get("threshold") is None:
        reasons.append(f"its curriculum was spread over {config.steps} steps")
    return reasons


def _selected_for(config: RunConfig, recipe: PPORecipe, done: int) -> bool:
    """Whether the worst share was learned from already, and would begin later in a longer run."""
    start = recipe.worst_share_start
    return recipe.worst_share < 1.0 and start > 0.0 and start * config.steps <= done


def _cut_for(config: RunConfig, recipe: AnyRecipe, steps: int, done: int) -> int | None:
    """The steps, of those asked for so far, that a rollout was cut for; `steps` cut it otherwise.

    An earlier extension counts as made when the run was finished.
    """
    longest = recipe.n_steps if isinstance(recipe, PPORecipe) else recipe.train_freq
    worlds, made = config.num_envs, 0
    for asked in (*config.extended, config.steps):
        while made < min(asked, done) // worlds:
            length = rollout_length(asked // worlds - made, longest)
            if length != rollout_length(steps // worlds - made, longest):
                return asked
            made += length
    return None
