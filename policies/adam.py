"""Adam as torch has it, without the import of torch's compiler."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch

FACTOR = "lr_factor"
"""Option of a group of parameters: what its learning rate is multiplied by in each step."""


class Adam(torch.optim.Adam):
    """`torch.optim.Adam`, bit for bit, for steps that are never compiled.

    The first optimizer of a process imports torch's compiler, `torch._dynamo`, to exclude methods
    of optimizers from compilation. That takes as long as the import of torch itself. Here are the
    methods without what torch has wrapped around them.
    """

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    _step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, for each group at its learning rate times its `lr_factor`.

        stable-baselines3 sets one learning rate for all groups.
        """
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] *= group.get(FACTOR, 1.0)
        try:
            return self._step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
