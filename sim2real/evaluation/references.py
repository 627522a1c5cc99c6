"""The references that normalize returns, and the cache that keeps what they cost.

`random` takes uniform actions. `oracle` is trained in the domain itself, without a budget; how it
is trained is the caller's (evaluation knows nothing of training), here it is only kept. Entries
of the cache are named by everything that their content depends on, and are whole or absent.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium.spaces
import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain, prepare
from sim2real.errors import UserError
from sim2real.evaluation.rollout import Row, evaluate, load_rows, save_rows
from sim2real.files import new_folder
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

VERSIONS = ("sim2real", "mujoco", "numpy", "torch", "stable-baselines3")
"""Packages that can change what a seed leads to."""


class UniformPolicy:
    """Actions drawn uniformly from the action space; what is observed plays no part."""

    def __init__(self, action_space: gymnasium.spaces.Box, rng: np.random.Generator) -> None:
        self.action_space = action_space
        self._rng = rng

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Actions (n, nu) for observations (n, k); `deterministic` changes nothing."""
        low, high = self.action_space.low, self.action_space.high
        size = (len(observation), *self.action_space.shape)
        return self._rng.uniform(low, high, size).astype(np.float32), None


def random_rows(
    task: str | Task, domain: str | Domain | None, *, episodes: int, seed: int = 0
) -> tuple[Row, ...]:
    """The reference `random`: rows of uniform actions, from the cache if they are there."""
    loaded = load_task(task)
    world = load_domain(loaded, domain)
    details = {"episodes": episodes, "seed": seed, "name": world.name}
    key = content_key(loaded, world, kind="random", **details)

    def make(folder: Path) -> None:
        space = Simulation(loaded, world, threads=1).action_space
        policy = UniformPolicy(space, np.random.default_rng(seed))
        rows = evaluate(policy, loaded, world, episodes=episodes, seed=seed)
        save_rows(folder / "rows.jsonl", rows)

    return load_rows(cached("random", key, make) / "rows.jsonl")


def cache_folder() -> Path:
    """$SIM2REAL_CACHE, or `sim2real` in the user's cache folder."""
    if given := os.environ.get("SIM2REAL_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sim2real"


def cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The cache entry `kind`/`key`, filled by `make(folder)` if it is not there yet.

    `make` writes into a temporary folder that becomes the entry when it returns; whatever stops
    it, nothing is left. Of two processes that make the same entry, the first to finish wins.
    """
    entry = cache_folder() / kind / key
    if entry.is_dir():
        return entry
    try:
        with new_folder(entry) as folder:
            make(folder)
    except (UserError, OSError):
        if not entry.is_dir():  # nobody else has made it meanwhile: it failed
            raise
    return entry


def content_key(task: Task, domain: Domain, **details: Any) -> str:
    """A digest of what a result depends on: task, model, domain, versions and `details` (JSON).

    The task counts with the content of its files and its compiled model with every mesh, not with
    the place where they lie; the domain with its parameters, not with its name.
    """
    exclude = {"name", "about", "model"}
    content = {
        "task": task_digest(task),
        "domain": domain.model_dump(mode="json", exclude=exclude),
        "versions": {name: _version(name) for name in VERSIONS},
        "details": details,
    }
    if domain.model is not None:  # its content counts, too, not its place
        content["model"] = _model_digest(prepare(task, domain))
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def task_digest(task: Task) -> str:
    """A digest of the task's code (its class and the ones it comes from), options and model."""
    digest = hashlib.sha256(json.dumps(task.options, sort_keys=True).encode())
    for ancestor in type(task).__mro__[:-1]:
        digest.update(Path(inspect.getfile(ancestor)).read_bytes())
    digest.update(_model_digest(task.compile()).encode())
    return digest.hexdigest()


def _model_digest(model: mujoco.MjModel) -> str:
    """A digest of a compiled model with every mesh."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer.tobytes()).hexdigest()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
