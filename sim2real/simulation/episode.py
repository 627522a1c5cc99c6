"""The results of a simulation: the transition of a control step, the episodes that ended in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.task import Array, BoolArray, IntArray


@dataclass(frozen=True)
class Episode:
    """One episode that ended: its `index`, the `world` that ran it, and its result.

    `total` is the return; `terms` are its reward terms, summed; `context` is what was drawn;
    `success` is None where the task does not report it.
    """

    index: int
    world: int
    total: float
    length: int
    failed: bool
    truncated: bool
    unstable: bool
    terms: dict[str, float]
    context: dict[str, float]
    success: bool | None = None

    def success_info(self) -> dict[str, Any]:
        """{"is_success": ...} as stable-baselines3 wants it; empty if the task has none."""
        return {} if self.success is None else {"is_success": self.success}

    def final_info(self, **more: Any) -> dict[str, Any]:
        """The entries of the last info; `more` is added to the return "r" and the length "l"."""
        return self.success_info() | {
            "episode": {"r": self.total, "l": self.length, **more},
            "unstable": self.unstable,
        }

    def monitor_info(self, seconds: float) -> dict[str, Any]:
        """`final_info` as of stable-baselines3's Monitor, `seconds` after the start."""
        return self.final_info(t=round(seconds, 6)) | {
            "TimeLimit.truncated": self.truncated and not (self.failed or self.unstable),
            "failed": self.failed,
        }


@dataclass(frozen=True)
class Transition:
    """The results of one control step, for n worlds, m of which ended an episode.

    Shapes: observation (n, k); reward, terminated, truncated, unstable (n,); terms (n,) each;
    ended (m,) ids; final_observation (m, k); episodes m. Where worlds were reset, `observation`
    belongs to the new episode and `final_observation` to the end of the old one.
    """

    observation: Array
    reward: Array
    terms: dict[str, Array]
    terminated: BoolArray
    truncated: BoolArray
    unstable: BoolArray
    ended: IntArray
    final_observation: Array
    episodes: tuple[Episode, ...]

    def __repr__(self) -> str:
        worlds = f"{len(self.reward)} world{'s' if len(self.reward) != 1 else ''}"
        return (
            f"Transition({worlds}, mean reward {np.mean(self.reward):.4g}, {len(self.ended)} ended)"
        )


@dataclass(frozen=True)
class Boundaries:
    """How the episodes of n worlds stand after a control step, (n,) each.

    `success` is None where the task does not report it.
    """

    failed: BoolArray
    truncated: BoolArray
    unstable: BoolArray
    success: BoolArray | None

    def succeeded(self, world: int) -> bool | None:
        """Whether the episode of a world ends with a success and without a failure."""
        if self.success is None:
            return None
        return bool(self.success[world] and not (self.failed[world] or self.unstable[world]))


class Sums:
    """The return and the sum of each reward term of the present episodes of n worlds."""

    def __init__(self, num_envs: int, terms: Sequence[str]) -> None:
        self.names = tuple(terms)
        self.total = np.zeros(num_envs)
        self._terms = np.zeros((num_envs, len(self.names)))

    def begin(self, ids: IntArray) -> None:
        """Start from zero in the worlds `ids`."""
        self.total[ids] = 0.0
        self._terms[ids] = 0.0

    def add(self, reward: Array, terms: Mapping[str, Array]) -> None:
        """Add the rewards of a control step, and their terms, (n,) each."""
        with np.errstate(over="ignore", invalid="ignore"):
            self.total += reward
            self._terms += np.stack(list(terms.values()), axis=1)

    def episode(
        self, world: int, index: int, length: int, boundaries: Boundaries, context: dict[str, float]
    ) -> Episode:
        """The episode number `index`, of `length` control steps, that ends in `world`."""
        return Episode(
            index=index,
            world=world,
            total=float(self.total[world]),
            length=length,
            failed=bool(boundaries.failed[world]),
            truncated=bool(boundaries.truncated[world]),
            unstable=bool(boundaries.unstable[world]),
            terms=dict(zip(self.names, self._terms[world].tolist(), strict=True)),
            context=context,
            success=boundaries.succeeded(world),
        )

    def snapshot(self) -> dict[str, Array]:
        """Copies of the sums, by name."""
        return {"total": self.total.copy(), "term_sums": self._terms.copy()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Take up the sums of a snapshot."""
        self.total[...] = snapshot["total"]
        self._terms[...] = snapshot["term_sums"]
