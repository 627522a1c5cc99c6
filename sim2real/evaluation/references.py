"""The references that normalize returns, and the cache of what is costly to compute.

`random` takes uniform actions. `oracle` is trained in the domain itself, without a budget; the
caller trains it (evaluation imports no training), the cache stores it. Entries
of the cache are named by everything that their content depends on, and are whole or absent.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium.spaces
import numpy as np
from numpy.typing import NDArray

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation import metrics
from sim2real.evaluation.provenance import content, key_of
from sim2real.evaluation.rollout import Row, evaluate
from sim2real.evaluation.row_files import load_rows, save_rows
from sim2real.evaluation.statistics import Estimate
from sim2real.files import new_folder, read_json, write_json
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task


class UniformPolicy:
    """Actions drawn uniformly from the action space, whatever the observation."""

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
    made_of = content(loaded, world, [__name__], kind="random", episodes=episodes, seed=seed)

    def make(folder: Path) -> None:
        space = Simulation(loaded, world, threads=1).action_space
        policy = UniformPolicy(space, np.random.default_rng(seed))
        rows = evaluate(policy, loaded, world, episodes=episodes, seed=seed)
        save_rows(folder / "rows.jsonl", rows)

    rows = load_rows(cached("random", key_of(made_of), make) / "rows.jsonl")
    return tuple(dataclasses.replace(row, domain=world.name) for row in rows)


@dataclasses.dataclass(frozen=True)
class References:
    """Mean returns of uniform actions and of the oracle in one domain; `study` is their source."""

    random: float
    oracle: float
    study: str

    def score(self, returns: Estimate) -> Estimate:
        """The score of a mean return; the references count as exact."""
        return metrics.score(returns, Estimate(self.random), Estimate(self.oracle))


def keep_references(task: Task, domain: Domain, found: References) -> None:
    """Write the references of a domain into the cache, unless those of a better oracle are there.

    The oracle is the best that training reaches, so a weaker one does not replace it.
    """
    before = known_references(task, domain)
    if before is None or found.oracle > before.oracle:
        write_json(_references_file(task, domain), dataclasses.asdict(found))


def known_references(task: Task, domain: Domain) -> References | None:
    """The references of a domain that a study has written; None if there are none, or the task, the
    domain or a version has changed since."""
    file = _references_file(task, domain)
    return References(**read_json(file)) if file.is_file() else None


def _references_file(task: Task, domain: Domain) -> Path:
    return cache_folder() / "reference-returns" / f"{key_of(content(task, domain))}.json"


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
