"""What a simulation gives: the transition of a control step, and the episodes that ended in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sim2real.task import Array, BoolArray, IntArray


@dataclass(frozen=True)
class Episode:
    """One episode that ended: its `index`, the `world` that ran it, and what came of it.

    `total` is the return; `terms` are its reward terms, summed; `context` is what was drawn;
    `success` is None where the task does not tell.
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

    def told_success(self) -> dict[str, Any]:
        """{"is_success": ...} as stable-baselines3 wants it; empty if it is not told."""
        return {} if self.success is None else {"is_success": self.success}


@dataclass(frozen=True)
class Transition:
    """What one control step gave, for n worlds, m of which ended an episode.

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
