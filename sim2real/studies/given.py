"""Policies that a study starts from in place of pretraining its own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch

from sim2real.domains import Domain
from sim2real.errors import ChangedError, UserError
from sim2real.files import user_path
from sim2real.policies.recipe import AnyRecipe
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.studies.config import StudyConfig


@dataclass(frozen=True)
class GivenRun:
    """A run that was given: where it is, the digest of its content, what it was trained with.

    `steps` are the control steps of its training, in `domain`.
    """

    reference: str
    digest: str
    recipe: AnyRecipe
    domain: Domain
    steps: int

    @classmethod
    def of(cls, run: Run) -> GivenRun:
        """The properties of a run that a study uses; UserError if the task is another."""
        _ = run.task, run.policy  # compared with what was saved when they are first used
        recipe = run.config.parsed_recipe()
        return cls(run.reference, digest_of(run), recipe, run.domain, run.step)


def given_runs(config: StudyConfig) -> tuple[GivenRun, ...]:
    """The runs that a study starts from; none where it trains its own.

    Raises UserError for a path that is no run, and for a run with another contract than the task.
    """
    if not config.source.run:
        return ()
    task = load_task(config.task, **config.task_options)
    try:
        return tuple(GivenRun.of(load_run(_place(one), task=task)) for one in config.source.run)
    except ChangedError as error:
        raise UserError(
            f"{error.what}; a study starts from runs of its task as it is: train the run again, or "
            "restore the task"
        ) from None


def digest_of(run: Run) -> str:
    """A digest of a run's policy: its tensors, its observations and actions, its recipe."""
    content = {"task": run.task_info, "recipe": run.config.recipe}
    described = json.dumps(content, sort_keys=True).encode()
    tensors = {name: tensor.contiguous() for name, tensor in run.checkpoint.policy.items()}
    digest = hashlib.sha256(described)
    digest.update(safetensors.torch.save(tensors))
    return digest.hexdigest()[:24]


def _place(reference: str) -> Path | str:
    return reference if reference.startswith("pretrained:") else user_path(reference)
