"""Episodes that end during a training, selected without a preference for short ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim2real.errors import UserError
from sim2real.evaluation.unstable import counted_returns
from sim2real.task import IntArray


@dataclass(frozen=True)
class Finished:
    """An episode that ended: its `world`, the control step at which it `started`, its results.

    `total` is the return, `survived` whether it reached its time limit, `end` the boundary that it
    was placed on (-1: none), `context` what was drawn.
    """

    world: int
    started: int
    total: float
    survived: bool
    unstable: bool
    end: int
    context: dict[str, float]


def mean_return(episodes: Sequence[Finished]) -> float:
    """The mean return of `episodes`; an unstable one counts as in `evaluation.unstable`.

    Where none stayed stable it is the lowest of their own returns.
    """
    totals = [one.total for one in episodes]
    counted = counted_returns(totals, [one.unstable for one in episodes])
    return float(np.nan_to_num(counted, nan=min(totals)).mean())


class Episodes:
    """The episodes of n worlds: those in progress, and those that ended and are still of use.

    Short episodes end first. The first n that end hold more failures than a random sample. So the
    first n that *started* are taken, once all of them have ended.
    """

    def __init__(self, num_envs: int) -> None:
        self.clock = 0
        """Control steps since the beginning."""
        self._started = np.zeros(num_envs, dtype=np.int64)
        self._ends = np.full(num_envs, -1)
        self._finished: list[Finished] = []

    def restart(self) -> None:
        """Every world is at the start of an episode with unknown draws: it does not count."""
        self._started[:] = self.clock
        self._finished.clear()

    def tick(self) -> None:
        """One control step was made."""
        self.clock += 1

    def finish(self, world: int, info: Mapping[str, Any]) -> None:
        """The episode of `world` ended with this `info`."""
        survived = not (info.get("failed", False) or info.get("unstable", False))
        self._finished.append(
            Finished(
                world=world,
                started=int(self._started[world]),
                total=float(info["episode"]["r"]),
                survived=survived,
                unstable=bool(info.get("unstable", False)),
                end=int(self._ends[world]),
                context=dict(info["context"]),
            )
        )

    def begin(self, worlds: IntArray, ends: IntArray) -> None:
        """New episodes began in `worlds` (m,), at the boundaries `ends` (m,)."""
        self._started[worlds] = self.clock
        self._ends[worlds] = ends

    def first(self, count: int, since: int, end: int | None = None) -> list[Finished]:
        """The first `count` episodes to start after control step `since`, once all have ended.

        Of those at the boundary `end`, if given. An empty list while one of them is running.
        """
        own = self._of(since, end)[:count]
        if len(own) < count:
            return []
        running = (self._started > since) & (self._started <= own[-1].started)
        if end is not None:
            running &= self._ends == end
        earlier = [(int(self._started[world]), int(world)) for world in np.flatnonzero(running)]
        return [] if any(one < _order(own[-1]) for one in earlier) else own

    def keep(self, count: int, since: Mapping[int | None, int]) -> None:
        """Drop all episodes that `first(count, since[end], end)` never returns."""
        needed = {
            _order(one): one for end, step in since.items() for one in self._of(step, end)[:count]
        }
        self._finished = list(needed.values())

    def _of(self, since: int, end: int | None) -> list[Finished]:
        own = [one for one in self._finished if one.started > since and end in (None, one.end)]
        return sorted(own, key=_order)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        return {
            "clock": self.clock,
            "started": self._started.tolist(),
            "ends": self._ends.tolist(),
            "finished": [asdict(one) for one in self._finished],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; UserError if it is of another number of worlds."""
        started: Sequence[int] = state["started"]
        if len(started) != len(self._started):
            raise UserError(
                f"the randomization's state is of {len(started)} worlds, not {len(self._started)}"
            )
        self.clock = int(state["clock"])
        self._started[:] = started
        self._ends[:] = state["ends"]
        self._finished = [Finished(**one) for one in state["finished"]]


def _order(episode: Finished) -> tuple[int, int]:
    """By start; a world starts one episode at a time."""
    return episode.started, episode.world
