"""Progress: a live bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rich.progress
from rich.console import Console
from rich.markup import escape
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.learning.callbacks import AtRollouts

PLAIN_SECONDS = 10.0
"""At most this long between two plain lines ..."""
PLAIN_PART = 0.1
"""... and at most this part of the whole."""


class Display:
    """Shows the part that is done, from 0 to 1, what is being done, and the time left."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console(stderr=True)
        self._bar: rich.progress.Progress | None = None
        self._printed = (0.0, time.monotonic())

    def show(self, part: float, what: str, left: float | None, now: bool = False) -> None:
        """Show `part` and the seconds `left`, if known; a plain line if one is due, or `now`."""
        if self._console.is_terminal:
            self._update(part, what, clock(left))
        elif now or self._due(part):
            self.line(part, f"{part:4.0%} {what}, {clock(left)} left")

    def line(self, part: float, text: str) -> None:
        """Print a line; the next plain one is due some time or some part after it."""
        line = f"{self._title}: {text}"
        self._console.print(line, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._printed = (part, time.monotonic())

    def close(self) -> None:
        """Restore the terminal; a second call does nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _update(self, part: float, what: str, left: str) -> None:
        if self._bar is None:
            self._bar = _bar(self._console)
            self._bar.add_task(escape(self._title), total=1.0, what="", left="-")
            self._bar.start()
        task = self._bar.task_ids[0]
        self._bar.update(task, completed=part, what=escape(what), left=left)

    def _due(self, part: float) -> bool:
        shown, printed = self._printed
        return time.monotonic() - printed >= PLAIN_SECONDS or part - shown >= PLAIN_PART


class Progress(AtRollouts):
    """Show the part done, steps/s, the mean return of the last 100 episodes and the time left."""

    def __init__(self, steps: int, title: str, console: Console | None = None) -> None:
        super().__init__()
        self._steps = steps
        self._display = Display(title, console)
        self._started = (0, 0.0)

    def close(self) -> None:
        """Restore the terminal, however the training ended."""
        self._display.close()

    def _on_training_start(self) -> None:
        self._started = (self.model.num_timesteps, time.monotonic())

    def _on_rollout_start(self) -> None:
        self._show(now=False)

    def _on_training_end(self) -> None:
        self._show(now=True)

    def _show(self, now: bool) -> None:
        step = self.model.num_timesteps
        if step == self._started[0]:
            return
        speed = (step - self._started[0]) / max(time.monotonic() - self._started[1], 1e-9)
        what = (
            f"({step:,} of {self._steps:,} steps), {speed:,.0f} steps/s, "
            f"return {recent_return(self)}"
        )
        self._display.show(step / self._steps, what, (self._steps - step) / speed, now)


class Watch(AtRollouts):
    """Report the part of `steps` that is done since the start, and the mean return as text."""

    def __init__(self, steps: int, report: Callable[[float, str], None]) -> None:
        super().__init__()
        self._steps, self._report = steps, report
        self._started = 0

    def _on_training_start(self) -> None:
        self._started = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        whole = max(self._steps - self._started, 1)
        done = (self.model.num_timesteps - self._started) / whole
        self._report(done, f"return {recent_return(self)}")


def recent_return(callback: BaseCallback) -> str:
    """The mean return of the last 100 episodes of a training, as text."""
    episodes = callback.model.ep_info_buffer or ()
    return f"{np.mean([episode['r'] for episode in episodes]):,.1f}" if episodes else "-"


def _bar(console: Console) -> rich.progress.Progress:
    column: Callable[[str], rich.progress.TextColumn] = rich.progress.TextColumn
    return rich.progress.Progress(
        column("{task.description}"),
        rich.progress.BarColumn(),
        column("{task.percentage:3.0f} %"),
        column("{task.fields[what]}"),
        column("{task.fields[left]} left"),
        console=console,
        refresh_per_second=4,
    )


def clock(seconds: float | None) -> str:
    """Whole seconds as h:mm:ss or m:ss; a dash for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
