"""The control steps in time: when each is due, how late it was, how many were missed."""

from __future__ import annotations

import time
from array import array
from typing import Any, Protocol

import numpy as np

LATE = 0.1
"""Share of the control step from which a step counts as late."""


class Clock(Protocol):
    """A clock in s, and a way to wait."""

    def now(self) -> float:
        """The time in s."""

    def wait_until(self, due: float) -> None:
        """Return at `due`, or at once if it is past."""


class RealClock:
    """The monotonic clock of the system. For the last `spin_s` it waits without sleeping."""

    def __init__(self, spin_s: float = 0.0) -> None:
        self._spin_s = spin_s

    def now(self) -> float:
        """The time in s."""
        return time.monotonic()

    def wait_until(self, due: float) -> None:
        """Return at `due`, or at once if it is past."""
        left = due - self._spin_s - time.monotonic()
        if left > 0:
            time.sleep(left)
        while time.monotonic() < due:
            pass


class Pace:
    """Control steps of `dt` s each. A step that is too late leaves out the periods it missed."""

    def __init__(self, clock: Clock, dt: float) -> None:
        self._clock, self._dt = clock, dt
        self._due = clock.now()
        self.missed = 0
        """Periods in which nothing was sent, in all."""
        self._late, self._work = array("d"), array("d")

    def next(self) -> tuple[float, float, int]:
        """Wait for the next step; its time, by how many s it is late, periods missed before it."""
        self._clock.wait_until(self._due)
        now = self._clock.now()
        missed = max(int((now - self._due) / self._dt), 0)
        self.missed += missed
        self._due += missed * self._dt
        late = now - self._due
        self._late.append(late + missed * self._dt)
        self._due += self._dt
        return now, self._late[-1], missed

    def done(self, begun: float) -> float:
        """Note the end of a step; how long it took, in s."""
        self._work.append(self._clock.now() - begun)
        return self._work[-1]

    def measured(self) -> dict[str, Any]:
        """Steps, late and missed ones, and quantiles of jitter and of the time of a step, in us."""
        late, work = np.array(self._late), np.array(self._work)
        return {
            "steps": len(late),
            "late": int(np.sum(late > LATE * self._dt)),
            "missed": self.missed,
            "jitter_us": _quantiles(late),
            "step_us": _quantiles(work),
        }


def _quantiles(seconds: np.typing.NDArray[np.float64]) -> dict[str, float]:
    if not len(seconds):
        return {}
    found = {"p50": np.median(seconds), "p99.9": np.quantile(seconds, 0.999), "most": seconds.max()}
    return {name: round(1e6 * float(value), 1) for name, value in found.items()}
