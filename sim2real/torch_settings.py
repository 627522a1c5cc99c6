"""Threads and random numbers of torch while it computes, and put back afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, if there is torch.

    More only wait, and take the worlds their processors; and the last bits of some results, such as
    orthogonal weights, depend on their number.
    """
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
