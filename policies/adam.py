"""Adam as torch has it, without the import of torch's compiler."""

from __future__ import annotations

import inspect

import torch


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
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
