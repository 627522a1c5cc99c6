"""The gap while something runs: a Gymnasium wrapper and a stable-baselines3 callback.

Here the gap is in returns, source minus target, as no oracle is at hand; it is above zero where
the policy does worse in the target. With the same task in both domains the unit is the same.
"""

from __future__ import annotations

import abc
import dataclasses
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.bounds import Floats
from sim2real.evaluation.rollout import Row, evaluate, returns
from sim2real.evaluation.statistics import Interval, of_units
from sim2real.files import write_json
from sim2real.registry import load_task
from sim2real.task import Task

SIDES = ("source/mean_reward", "target/mean_reward")
"""TensorBoard tags of the mean returns of evaluations in the source and in the target."""
GAP = "rollout/gap"
"""TensorBoard tag of the mean return in the source minus that in the target."""


class GapWrapper(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Records the returns of a target environment and their gap to those of the source.

    `source` are returns in the source (or rows of `evaluate`). At the end of each episode,
    `info["gap"]` is {"return", "episodes", "gap", "low", "high"}: the mean return in the source
    minus the mean of the last `window` episodes here, with its 95 % interval over episodes, which
    is NaN below 3 episodes on either side.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        source: Iterable[float | Row],
        window: int = 100,
    ) -> None:
        super().__init__(env)
        given = list(source)
        rows = [one for one in given if isinstance(one, Row)]
        self.source = returns(rows) if rows else np.array(given, dtype=float)
        if not self.source.size or not np.isfinite(self.source).all():
            raise UserError("the source needs one return at least, all of them finite")
        self.returns: list[float] = []
        """The returns of the episodes that have ended, in their order."""
        self._recent: deque[float] = deque(maxlen=window)
        self._total = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start an episode; one that has not ended is not recorded."""
        self._total = 0.0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One control step; at the end of an episode `info["gap"]` is there."""
        observation, reward, terminated, truncated, info = super().step(action)
        self._total += float(reward)
        if terminated or truncated:
            if info.get("unstable", False):  # see `evaluation.unstable`
                self._total = min([self._total, *self._recent])
            self.returns.append(self._total)
            self._recent.append(self._total)
            info = info | {"gap": self._gap()}
        return observation, reward, terminated, truncated, info

    def _gap(self) -> dict[str, float]:
        gap = _gap(self.source, np.array(self._recent))
        own = {"return": self._total, "episodes": len(self.returns)}
        return own | {"gap": gap.value, "low": gap.low, "high": gap.high}


@dataclasses.dataclass(frozen=True)
class GapPoint:
    """The mean returns at one moment of a training, and the gap between them."""

    steps: int
    source_return: float
    target_return: float
    gap: Interval


class RepeatedEvaluation(BaseCallback, abc.ABC):
    """Evaluates the policy between rollouts when it is due, and at the end of the training."""

    @abc.abstractmethod
    def _due(self, steps: int, last: int | None) -> bool:
        """Whether to evaluate at `steps`, after the evaluation at `last` (None: there was none)."""

    @abc.abstractmethod
    def _last(self) -> int | None:
        """The control steps of the last evaluation."""

    @abc.abstractmethod
    def _evaluate(self) -> None:
        """Evaluate the policy of the model, and log."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._due(self.model.num_timesteps, self._last()):
            self._evaluate()

    def _on_training_end(self) -> None:
        if self._last() != self.model.num_timesteps:
            self._evaluate()


class GapCallback(RepeatedEvaluation):
    """Evaluates the policy in source and target every `every` control steps of a training.

    Logs source/mean_reward, target/mean_reward and rollout/gap, which TensorBoard shows; with `run`
    writes every point, with the gap's 95 % interval, to <run>/report/gap.json. The evaluations
    run in separate simulations, on the same episodes each time.
    Raises UserError, before the first step, where the policy is that of a run that does not fit
    `task` (see `evaluate`, for `accept_changes` too).
    """

    def __init__(
        self,
        task: str | Task,
        source: str | Domain,
        target: str | Domain,
        every: int,
        *,
        episodes: int = 20,
        seed: int = 0,
        run: Path | str | None = None,
        accept_changes: bool = False,
    ) -> None:
        super().__init__()
        if every < 1:
            raise UserError(f"every must be at least 1 control step, got {every}")
        self._task = load_task(task)
        self._domains = [load_domain(self._task, domain) for domain in (source, target)]
        self._every, self._episodes, self._seed = every, episodes, seed
        self._accept_changes = accept_changes
        self._file = None if run is None else Path(run) / "report" / "gap.json"
        self.points: list[GapPoint] = []
        """The measurements so far."""

    def state(self) -> dict[str, Any]:
        """The measurements, for a checkpoint."""
        return {
            "points": [dataclasses.asdict(one) | {"gap": one.gap.plain()} for one in self.points]
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.points = [
            GapPoint(**point | {"gap": Interval.read(point["gap"])}) for point in state["points"]
        ]

    def _last(self) -> int | None:
        return self.points[-1].steps if self.points else None

    def _due(self, steps: int, last: int | None) -> bool:
        return last is None or steps // self._every > last // self._every

    def _evaluate(self) -> None:
        source, target = (
            returns(
                evaluate(
                    self.model.policy,
                    self._task,
                    domain,
                    episodes=self._episodes,
                    seed=self._seed,
                    accept_changes=self._accept_changes,
                )
            )
            for domain in self._domains
        )
        gap = _gap(source, target)
        point = GapPoint(self.model.num_timesteps, float(source.mean()), float(target.mean()), gap)
        self.points.append(point)
        measured = (point.source_return, point.target_return, gap.value)
        for tag, value in zip((*SIDES, GAP), measured, strict=True):
            self.logger.record(tag, value)
        if self._file is not None:
            write_json(self._file, self._report())

    def _report(self) -> dict[str, Any]:
        source, target = (domain.name for domain in self._domains)
        about = {"task": self._task.name, "source": source, "target": target}
        return about | {"episodes": self._episodes, "seed": self._seed, **self.state()}


def _gap(source: Floats, target: Floats) -> Interval:
    """Mean return in the source minus that in the target, over the episodes of this policy."""
    returns = (of_units("source", source, "this policy"), of_units("target", target, "this policy"))
    return (returns[0] - returns[1]).interval()
