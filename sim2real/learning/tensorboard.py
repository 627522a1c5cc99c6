"""TensorBoard: what a training writes, so that a resumed curve equals an uninterrupted one.

TensorBoard sorts groups of tags by name and opens the first ones. The first page has rollout/,
source/ and target/, then time/ and train/; everything about the drawn parameters is in worlds/,
which comes last and stays closed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from tensorboard.compat.proto.summary_pb2 import (  # type: ignore[import-untyped]
    Summary,
    SummaryMetadata,
)
from tensorboard.plugins.hparams import (  # type: ignore[import-untyped]
    api_pb2,
    metadata,
    plugin_data_pb2,
    summary_v2,
)
from torch.utils.tensorboard.writer import SummaryWriter

from sim2real.evaluation.wrappers import GAP, SIDES
from sim2real.learning.event_file import keep_unwritten
from sim2real.runs.run import RunConfig

EVERY = 1000
"""Control steps between two entries, at least."""
RECENT = 100
"""Episodes over which return, length and reward terms are averaged, as stable-baselines3 does."""
METRICS = (GAP, *SIDES, "rollout/ep_rew_mean")
"""The metrics of the HParams tab, in this order."""
VARIED = ("task", "algorithm", "method", "source", "target", "randomization", "steps", "seed")
"""Hyperparameters in the first columns of the HParams tab: what studies and users vary."""


class TensorBoardFormat(TensorBoardOutputFormat):
    """SB3's format; events at or after `purge_step` of an earlier process are hidden."""

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        self.writer = SummaryWriter(log_dir=str(folder), purge_step=purge_step)
        keep_unwritten(self.writer)
        self._is_closed = False


def make_logger(run: Path, step: int) -> tuple[Logger, SummaryWriter]:
    """The logger of a training that starts or continues at `step`, and its event writer.

    Events are in the run folder itself, so that TensorBoard names the run after it. Runs of older
    versions have them in tensorboard/, and continue there.
    """
    older = run / "tensorboard"
    folder = older if older.is_dir() else run
    continued = any(folder.glob("events.out.*"))
    if continued:
        _wait_for_new_second(folder)
    output = TensorBoardFormat(folder, purge_step=step + 1 if continued else None)
    return Logger(str(folder), [output]), output.writer


def _wait_for_new_second(folder: Path) -> None:
    """TensorBoard reads files by name, and names begin with the second at which they were made."""
    while any(folder.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
        time.sleep(0.05)


def writers(logger: Logger) -> list[SummaryWriter]:
    """The event writers of a logger."""
    formats = logger.output_formats
    return [one.writer for one in formats if isinstance(one, TensorBoardOutputFormat)]


def add_summary(writer: SummaryWriter, summary: Summary, step: int | None = None) -> None:
    """Write a summary that `SummaryWriter` has no method for."""
    writer._get_file_writer().add_summary(summary, step)  # type: ignore[no-untyped-call]


def image_summary(tag: str, data: bytes, height: int, width: int, about: str = "") -> Summary:
    """An encoded image as TensorBoard's image summary; it plays GIFs."""
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
    metadata = SummaryMetadata(summary_description=about)
    return Summary(value=[Summary.Value(tag=tag, image=image, metadata=metadata)])


def hyperparameters(config: RunConfig, task: str, method: str, source: str) -> dict[str, Any]:
    """The options of a run's recipe, and its values of `VARIED`, for the HParams tab."""
    target = config.domain if config.method else config.target or ""
    randomization = (config.randomization or {"name": "uniform"})["name"]
    values = (task, config.algorithm, method, source, target, randomization)
    return {**config.recipe, **dict(zip(VARIED, (*values, config.steps, config.seed), strict=True))}


def write_hyperparameters(
    writer: SummaryWriter, values: Mapping[str, Any], tags: Sequence[str] = METRICS
) -> None:
    """Declare hyperparameters, and the metrics `tags`, for the HParams tab."""
    plain = {
        name: value if isinstance(value, bool | int | float | str) else str(value)
        for name, value in values.items()
    }
    columns = [
        api_pb2.HParamInfo(name=name, type=_data_type(value), differs=name in VARIED)
        for name, value in plain.items()
    ]
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in tags]
    experiment = api_pb2.Experiment(hparam_infos=columns, metric_infos=metrics)
    content = metadata.create_summary_metadata(
        plugin_data_pb2.HParamsPluginData(experiment=experiment)
    )
    value = Summary.Value(
        tag=metadata.EXPERIMENT_TAG, metadata=content, tensor=metadata.NULL_TENSOR
    )
    add_summary(writer, Summary(value=[value]))
    add_summary(writer, summary_v2.hparams_pb(plain))


def _data_type(value: bool | int | float | str) -> int:
    if isinstance(value, bool):
        return cast(int, api_pb2.DATA_TYPE_BOOL)
    text = isinstance(value, str)
    return cast(int, api_pb2.DATA_TYPE_STRING if text else api_pb2.DATA_TYPE_FLOAT64)


class TensorBoard(BaseCallback):
    """Log the results of episodes, at the end of a rollout and its update.

    Means over the last 100 episodes: rollout/ep_rew_mean, rollout/ep_len_mean,
    rollout/success_rate (where the task reports it), rollout/failure_rate, and
    rollout/reward/<term>, the sum of a reward term over an episode. time/fps: control steps per
    second. worlds/unstable_episodes: their number since the start. worlds/context/<name>: histogram
    of the values drawn since the last entry. train/...: what stable-baselines3 reports.
    """

    def __init__(self) -> None:
        super().__init__()
        self._recent: deque[dict[str, float]] = deque(maxlen=RECENT)
        self._contexts: dict[str, list[float]] = {}
        self._unstable = 0
        self._logged = 0
        self._clock = (0, 0.0)

    def state(self) -> dict[str, Any]:
        """Everything gathered that is not written yet."""
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
        """Continue with what was gathered; the logger must be set already."""
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
        if self.model.num_timesteps >= self._logged + EVERY:
            self._write()

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._logged:
            self._write()

    def _add(self, info: Mapping[str, Any]) -> None:
        episode = info.get("episode", {})
        names = {"ep_rew_mean": "r", "ep_len_mean": "l"}
        entry = {f"rollout/{name}": _number(episode[key]) for name, key in names.items() if episode}
        entry["rollout/failure_rate"] = float(info.get("failed", False))
        if info.get("is_success") is not None:
            entry["rollout/success_rate"] = _number(info["is_success"])
        terms = info.get("reward_terms", {})
        entry |= {f"rollout/reward/{name}": _number(value) for name, value in terms.items()}
        self._recent.append(entry)
        self._unstable += bool(info.get("unstable", False))
        for name, value in info.get("context", {}).items():
            self._contexts.setdefault(name, []).append(_number(value))

    def _write(self) -> None:
        now, clock = self.model.num_timesteps, time.monotonic()
        for name in self._recent[-1] if self._recent else ():
            values = [entry[name] for entry in self._recent if name in entry]
            self.logger.record(name, float(np.mean(values)))
        self.logger.record("worlds/unstable_episodes", self._unstable)
        for name, values in self._contexts.items():
            self.logger.record(f"worlds/context/{name}", np.array(values))
        speed = (now - self._clock[0]) / max(clock - self._clock[1], 1e-9)
        self.logger.record("time/fps", speed)
        self.logger.dump(now)
        self._contexts, self._logged, self._clock = {}, now, (now, clock)


def _number(value: Any) -> float:
    return float(np.asarray(value))
