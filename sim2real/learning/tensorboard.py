"""TensorBoard: what a training writes, so that a resumed curve equals an uninterrupted one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import SummaryWriter

RECENT = 100
"""Episodes over which return, length and reward terms are averaged, as stable-baselines3 does."""


class TensorBoardFormat(TensorBoardOutputFormat):
    """SB3's format; events at or after `purge_step` of an earlier process are hidden."""

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge_step)
        self._is_closed = False


def make_logger(run: Path, step: int) -> tuple[Logger, SummaryWriter]:
    """The logger of a training that starts or goes on at `step`, and its event writer."""
    folder = run / "tensorboard"
    continued = any(folder.glob("events.out.*"))
    output = TensorBoardFormat(folder, purge_step=step + 1 if continued else None)
    return Logger(str(folder), [output]), output.writer


def write_hyperparameters(writer: SummaryWriter, values: Mapping[str, Any]) -> None:
    """Declare the full set for the HParams tab; one that is first seen later would be ignored."""
    plain = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in values.items()
    }
    metrics = {"rollout/return": 0.0, "rollout/length": 0.0}  # their names count, not the values
    file_writer = writer._get_file_writer()  # type: ignore[no-untyped-call]
    for summary in hparams(plain, metrics):  # type: ignore[no-untyped-call]
        file_writer.add_summary(summary)


class TensorBoard(BaseCallback):
    """Log what the episodes gave, at the end of a rollout and its update.

    rollout/return, rollout/length, rollout/failed (part that failed), rollout/success_rate (where
    the task tells it) and reward/<term> (sum over an episode): means over the last 100 episodes.
    rollout/unstable: how many episodes became
    unstable since the start. context/<name>: histogram of what was drawn since the last entry.
    time/steps_per_second. train/...: what stable-baselines3 reports of its updates.
    """

    def __init__(self, every: int = 1000) -> None:
        super().__init__()
        self._every = every
        self._recent: deque[dict[str, float]] = deque(maxlen=RECENT)
        self._contexts: dict[str, list[float]] = {}
        self._unstable = 0
        self._logged = 0
        self._clock = (0, 0.0)

    def state(self) -> dict[str, Any]:
        """What is gathered but not yet written."""
        pending = {name: _number(value) for name, value in self.logger.name_to_value.items()}
        return {
            "recent": list(self._recent),
            "contexts": self._contexts,
            "unstable": self._unstable,
            "logged": self._logged,
            "pending": pending,
            "excluded": {name: list(one) for name, one in self.logger.name_to_excluded.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what was gathered; the logger must be set already."""
        self._recent = deque(state["recent"], maxlen=RECENT)
        self._contexts = {name: list(values) for name, values in state["contexts"].items()}
        self._unstable, self._logged = state["unstable"], state["logged"]
        for name, value in state["pending"].items():
            self.logger.record(name, value, exclude=tuple(state["excluded"][name]))

    def _on_training_start(self) -> None:
        self._clock = (self.model.num_timesteps, time.monotonic())

    def _on_step(self) -> bool:
        dones = self.locals["dones"]
        if np.any(dones):
            for world in np.flatnonzero(dones):
                self._add(self.locals["infos"][world])
        return True

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps >= self._logged + self._every:
            self._write()

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._logged:
            self._write()

    def _add(self, info: Mapping[str, Any]) -> None:
        episode = info.get("episode", {})
        names = {"return": "r", "length": "l"}
        entry = {f"rollout/{name}": _number(episode[key]) for name, key in names.items() if episode}
        entry["rollout/failed"] = float(info.get("failed", False))
        if info.get("is_success") is not None:
            entry["rollout/success_rate"] = _number(info["is_success"])
        terms = info.get("reward_terms", {})
        entry |= {f"reward/{name}": _number(value) for name, value in terms.items()}
        self._recent.append(entry)
        self._unstable += bool(info.get("unstable", False))
        for name, value in info.get("context", {}).items():
            self._contexts.setdefault(name, []).append(_number(value))

    def _write(self) -> None:
        now, clock = self.model.num_timesteps, time.monotonic()
        for name in self._recent[-1] if self._recent else ():
            values = [entry[name] for entry in self._recent if name in entry]
            self.logger.record(name, float(np.mean(values)))
        self.logger.record("rollout/unstable", self._unstable)
        for name, values in self._contexts.items():
            self.logger.record(f"context/{name}", np.array(values))
        speed = (now - self._clock[0]) / max(clock - self._clock[1], 1e-9)
        self.logger.record("time/steps_per_second", speed)
        self.logger.dump(now)
        self._contexts, self._logged, self._clock = {}, now, (now, clock)


def _number(value: Any) -> float:
    return float(np.asarray(value))
