"""Runs of older versions, without action maps: their policies, made to act in [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sim2real.runs.contract import map_of, range_of
from sim2real.runs.run import Run
from sim2real.simulation import ActionMap

ANSWERS = "answers"
"""In the state of a checkpoint: actions in the range that the policy was saved with."""
_MEAN, _OFFSET, _NOISE = "action_net.weight", "action_net.bias", "log_std"


def normalized(run: Run) -> Run:
    """The run with a policy that acts in [-1, 1], as every run that learns on from it must.

    A run whose policy does so already is returned as it is. A policy that acts in the task's own
    range is rescaled; it commands the same, up to rounding. The networks of SAC and TD3 give
    numbers in [-1, 1] anyway.
    """
    if map_of(run.task_info) is not None:
        return run
    to_task = ActionMap.onto(range_of(run.task_info))
    space = {"low": to_task.space.low.tolist(), "high": to_task.space.high.tolist()}
    info = {
        **run.task_info,
        "action_space": {**run.task_info["action_space"], **space},
        "action_map": to_task.plain(),
    }
    run.algorithm  # noqa: B018 (compares the policy with the answers that were saved with it)
    saved = run.checkpoint
    state = {name: value for name, value in saved.state.items() if name != ANSWERS}
    tensors = rescaled(saved.policy, to_task)
    return replace(run, task_info=info, checkpoint=replace(saved, policy=tensors, state=state))


def rescaled(tensors: Mapping[str, Tensor], to_task: ActionMap) -> dict[str, Tensor]:
    """A policy's tensors with PPO's Gaussian in units of half the range, about its middle.

    mean' = (W h + b - middle) / half,    log std' = log std - log half. Others stay.
    """
    found = dict(tensors)
    if _MEAN not in found:
        return found
    low, high = (torch.tensor(ends, dtype=torch.float64) for ends in (to_task.low, to_task.high))
    half, middle = (high - low) / 2, (high + low) / 2
    found[_MEAN] = (found[_MEAN] / half[:, None]).to(found[_MEAN].dtype)
    found[_OFFSET] = ((found[_OFFSET] - middle) / half).to(found[_OFFSET].dtype)
    if _NOISE in found:
        found[_NOISE] = (found[_NOISE] - half.log()).to(found[_NOISE].dtype)
    return found
