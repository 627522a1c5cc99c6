"""Extend a run to more steps, and list the differences from a run that had them from the start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TypeVar

from sim2real.errors import UserError
from sim2real.learning.callbacks import rollout_length
from sim2real.policies.recipe import AnyRecipe, PPORecipe
from sim2real.runs.run import RunConfig, RunFolder, rewrite_config

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


def require_more(folder: RunFolder, steps: int) -> None:
    """UserError unless `steps` are more than the run was asked for."""
    if steps <= folder.config.steps:
        raise UserError(
            f"{folder.path} was asked for {folder.config.steps} steps already; allowed: a whole "
            f"number above it, got {steps}"
        )


def differences(config: RunConfig, recipe: AnyRecipe, steps: int) -> list[str]:
    """Why the run, extended to `steps`, will differ from one asked for `steps` from the start.

    `recipe` is that of its learner. Without a reason the two have the same weights, bit for bit.
    """
    worlds = config.num_envs
    reasons = []
    if recipe.lr_schedule == "linear":
        reasons.append(f"its learning rate fell to 0 at {config.steps} steps and rises again")
    before = list(_rollouts(recipe, config.steps // worlds, config.steps // worlds))
    if before != list(_rollouts(recipe, steps // worlds, config.steps // worlds)):
        reasons.append(f"its rollouts were cut to end at {config.steps} steps")
    adaptive = config.randomization or {}
    if adaptive.get("name") == "curriculum" and adaptive.get("threshold") is None:
        reasons.append(f"its curriculum was spread over {config.steps} steps")
    return reasons


def _rollouts(recipe: AnyRecipe, steps: int, until: int) -> Iterator[int]:
    """The lengths of the rollouts of a training of `steps` steps a world, up to step `until`."""
    longest = recipe.n_steps if isinstance(recipe, PPORecipe) else recipe.train_freq
    done = 0
    while done < until:
        length = rollout_length(steps - done, longest)
        yield length
        done += length
