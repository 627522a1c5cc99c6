"""The data of a bug report: versions, rendering, threads, disk, speed of the physics."""

from __future__ import annotations

import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.runs.run import versions


def drawing() -> str:
    """How images are rendered here, or why there are none."""
    from sim2real.simulation import Simulation
    from sim2real.simulation.rendering import Renderer, RenderingUnavailable

    backend = os.environ.get("MUJOCO_GL", "default")
    try:
        renderer = Renderer(Simulation("cartpole"), width=64, height=48)
        start = time.perf_counter()
        renderer.frame()
        milliseconds = 1e3 * (time.perf_counter() - start)
        renderer.close()
    except RenderingUnavailable as error:
        return f"none ({backend}): {error}"
    return f"{backend}, {milliseconds:.0f} ms for a small frame"


def steps_per_second() -> float:
    """Control steps per second of 64 hoppers in the randomized domain, at random actions."""
    from sim2real.simulation import Simulation

    simulation = Simulation("hopper", "randomized", num_envs=64)
    simulation.reset()
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (64, 64, *simulation.action_space.shape))
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1.0:
        simulation.step(actions[steps % len(actions)])
        steps += 1
    return steps * 64 / (time.perf_counter() - start)


def doctor() -> dict[str, Any]:
    """Everything about this machine that explains a result or a failure, as plain data."""
    import torch

    return {
        "versions": versions(),
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "torch_threads": torch.get_num_threads(),
        "drawing": drawing(),
        "disk_free_gb": round(shutil.disk_usage(Path.cwd()).free / 1e9, 1),
        "hopper_steps_per_second": round(steps_per_second()),
    }
