"""Progress of a training: a live bar on a terminal, plain lines elsewhere; both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import rich.progress
from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback

PLAIN_SECONDS = 10.0
"""At most this long between two plain lines ..."""
PLAIN_PART = 0.1
"""... and at most this part of the training."""


class Progress(BaseCallback):
    """Show the part done, steps/s, the mean return of the last 100 episodes and the time left."""

    def __init__(self, steps: int, title: str, console: Console | None = None) -> None:
        super().__init__()
        self._steps = steps
        self._title = title
        self._console = console or Console(stderr=True)
        self._bar: rich.progress.Progress | None = None
        self._started = (0, 0.0)
        self._printed = (0, 0.0)

    def close(self) -> None:
        """Leave the terminal in order, whatever ended the training."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _on_training_start(self) -> None:
        self._started = self._printed = (self.model.num_timesteps, time.monotonic())
        if self._console.is_terminal:
            self._bar = _bar(self._console)
            self._bar.add_task(self._title, total=self._steps, speed=0.0, mean="-", left="-")
            self._bar.start()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        now, clock = self.model.num_timesteps, time.monotonic()
        speed = (now - self._started[0]) / max(clock - self._started[1], 1e-9)
        if now == self._started[0]:
            return
        if self._bar is not None:
            task = self._bar.task_ids[0]
            left = _clock((self._steps - now) / speed)
            self._bar.update(task, completed=now, speed=speed, mean=self._mean(), left=left)
        elif self._due(now, clock):
            self._line(now, speed)
            self._printed = (now, clock)

    def _on_training_end(self) -> None:
        self._printed = (0, 0.0)
        self._on_rollout_start()

    def _due(self, now: int, clock: float) -> bool:
        step, printed = self._printed
        return clock - printed >= PLAIN_SECONDS or now - step >= PLAIN_PART * self._steps

    def _line(self, now: int, speed: float) -> None:
        left = _clock((self._steps - now) / speed)
        self._console.print(
            f"{self._title}: {now / self._steps:4.0%} ({now:,} of {self._steps:,} steps), "
            f"{speed:,.0f} steps/s, return {self._mean()}, {left} left",
            soft_wrap=True,
            highlight=False,
        )

    def _mean(self) -> str:
        episodes = self.model.ep_info_buffer or ()
        return f"{np.mean([episode['r'] for episode in episodes]):,.1f}" if episodes else "-"


def _bar(console: Console) -> rich.progress.Progress:
    column: Callable[[str], rich.progress.TextColumn] = rich.progress.TextColumn
    return rich.progress.Progress(
        column("{task.description}"),
        rich.progress.BarColumn(),
        column("{task.percentage:3.0f} %"),
        column("{task.fields[speed]:,.0f} steps/s"),
        column("return {task.fields[mean]}"),
        column("{task.fields[left]} left"),
        console=console,
        refresh_per_second=4,
    )


def _clock(seconds: float) -> str:
    """Whole seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
