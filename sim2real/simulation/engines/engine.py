"""The batch of the engine that a domain names."""

from __future__ import annotations

from collections.abc import Callable

import mujoco

from sim2real.domains import Domain
from sim2real.domains.entries.engine import Warp
from sim2real.simulation.batches import Batch
from sim2real.simulation.engines.drake import drake_batch
from sim2real.simulation.engines.warp import warp_batch


def engine_batch(
    model: mujoco.MjModel,
    num_envs: int,
    threads: int,
    domain: Domain | None,
    fill: Callable[[str], None],
) -> Batch:
    """The `num_envs` worlds of a `model` in the engine of the `domain`, MuJoCo by default.

    Drake takes one thread; with MuJoCo Warp the `threads` compute the constants of drawn models.
    """
    if domain is None or domain.engine is None:
        return Batch(model, num_envs, threads, fill)
    if isinstance(domain.engine, Warp):
        return warp_batch(model, num_envs, threads, domain, fill)
    return drake_batch(model, num_envs, domain, fill)
