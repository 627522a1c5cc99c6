"""Random numbers of torch while a policy acts, and put back afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def reproducible(deterministic: bool, seed: int) -> Iterator[None]:
    """Seed torch's generator for a policy that samples; restore its state afterwards."""
    if deterministic:
        yield
        return
    import torch  # late: a deterministic policy need not be a torch one

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
