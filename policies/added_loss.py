"""Add a loss to the updates of an optimizer whose training loop belongs to stable-baselines3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def add_loss(optimizer: torch.optim.Optimizer, begin: Callable[[], None]) -> None:
    """Call `begin` each time the gradients are emptied, until `remove_loss`.

    An update empties the gradients, adds those of its own loss, clips them and makes a step. So
    `begin`, which adds the gradients of another loss, makes it a step of both.
    """
    empty: Callable[..., Any] = optimizer.zero_grad

    def emptied() -> None:
        empty()
        begin()

    vars(optimizer)["zero_grad"] = emptied


def remove_loss(optimizer: torch.optim.Optimizer) -> None:
    """Undo `add_loss`; nothing where no loss was added."""
    vars(optimizer).pop("zero_grad", None)
