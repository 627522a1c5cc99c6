"""Progress of a method that has several parts: one display of their number and the time left."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sim2real.learning.progress import Display

SURE = 0.05
"""Part of a part that must be done before its time is estimated."""


class MethodParts:
    """The parts of a method, of several kinds, shown on one display; None shows nothing.

    `counts` says how many parts of each kind there are, at most. The time left is that of all of
    them, where each takes as long as the last one of its kind; kinds that were not seen yet are
    not in it, and it is not known where these are more than half of the parts.
    """

    def __init__(self, counts: Mapping[str, int], display: Display | None) -> None:
        self._left, self._display = dict(counts), display
        self._total, self._begun = sum(counts.values()), 0
        self._kind, self._what, self._since = "", "", 0.0
        self._took: dict[str, float] = {}

    def __enter__(self) -> MethodParts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._display is not None:
            self._display.close()

    def begin(self, kind: str, what: str) -> None:
        """A part begins, so the one before is done."""
        now = time.monotonic()
        if self._kind:
            self._took[self._kind] = now - self._since
        self._left[kind] -= 1
        self._begun += 1
        self._kind, self._what, self._since = kind, what, now
        self.update(0.0)

    def skip(self, kind: str, count: int) -> None:
        """So many parts are not needed."""
        self._left[kind] -= count
        self._total -= count

    def update(self, done: float, more: str = "") -> None:
        """Show the part `done` of the present part, and `more` of it in words."""
        if self._display is None:
            return
        words = ", ".join(filter(None, (f"part {self._begun} of {self._total}", self._what, more)))
        part = (self._begun - 1 + done) / self._total
        self._display.show(part, words, self.seconds_left(done))

    def seconds_left(self, done: float) -> float | None:
        """Seconds for what is left, where the present part is `done` so far; None: not known."""
        elapsed = time.monotonic() - self._since
        took = dict(self._took)
        if done > SURE:
            took[self._kind] = elapsed / done
        unseen = sum(count for kind, count in self._left.items() if kind not in took)
        if self._kind not in took or 2 * unseen > self._total:
            return None
        others = sum(count * took.get(kind, 0.0) for kind, count in self._left.items())
        return others + (1.0 - done) * took[self._kind]
