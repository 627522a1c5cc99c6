"""TensorBoard: the return of the latest episodes against each parameter that was drawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

from sim2real.evaluation.sensitivity import FEWEST, Sensitivity, return_against_context
from sim2real.learning.tensorboard import add_summary, image_summary, writers

RECENT = 512
"""Latest episodes that count; older ones are of another policy."""
ENOUGH = 4 * FEWEST
EVERY = 20_000
"""Control steps between two figures of the correlations and means, at least."""
FIGURE_LEAST, FIGURE_EVERY = 100_000, 500_000
"""Control steps of the shortest training that ends with a figure, and between two figures.

Drawing one takes half a second; at every `EVERY` steps that is a fifth of a short training."""


@dataclass(frozen=True)
class _Ended:
    total: float
    context: dict[str, float]


class ReturnAgainstContext(BaseCallback):
    """Log the return against the drawn parameters, every `every` control steps.

    worlds/context_correlation/<name>: rank correlation of the latest episodes' returns with the
    parameter. worlds/context_return/<name> low and high: mean return in the lowest and the highest
    third. worlds/context_return/all: a figure with a panel per parameter, at the end and every
    `FIGURE_EVERY` steps.
    """

    def __init__(self, every: int, title: str) -> None:
        super().__init__()
        self._every = every
        self._title = title
        self._recent: deque[_Ended] = deque(maxlen=RECENT)
        self._last = 0

    def state(self) -> dict[str, Any]:
        """The latest episodes, for a checkpoint."""
        names = list(self._recent[-1].context) if self._recent else []
        rows = [[one.total, *(one.context[name] for name in names)] for one in self._recent]
        return {"names": names, "rows": rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from the episodes of a checkpoint."""
        ended = (
            _Ended(total, dict(zip(state["names"], drawn, strict=True)))
            for total, *drawn in state["rows"]
        )
        self._recent = deque(ended, maxlen=RECENT)

    def _on_training_start(self) -> None:
        self._last = self.model.num_timesteps

    def _on_step(self) -> bool:
        for world in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][world]
            if info.get("context") and "episode" in info:
                drawn = {name: float(value) for name, value in info["context"].items()}
                self._recent.append(_Ended(float(info["episode"]["r"]), drawn))
        return True

    def _on_rollout_start(self) -> None:
        if self._passed(self._every):
            self._show(figure=self._passed(FIGURE_EVERY))

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > max(self._last, self._every):
            self._show(figure=self.model.num_timesteps + self.model.n_envs > FIGURE_LEAST)

    def _passed(self, every: int) -> bool:
        """Whether a multiple of `every` steps was passed since the last figures."""
        return self.model.num_timesteps // every > self._last // every

    def _show(self, figure: bool) -> None:
        self._last = self.model.num_timesteps
        found = return_against_context(self._recent) if len(self._recent) >= ENOUGH else ()
        opened = writers(self.logger) if found else []
        drawn = self._figure(found) if figure and opened else None
        for writer in opened:
            for one in found:
                tag = f"worlds/context_return/{one.name}"
                writer.add_scalar(
                    f"worlds/context_correlation/{one.name}", one.correlation, self._last
                )
                writer.add_scalar(f"{tag} low", one.low, self._last)
                writer.add_scalar(f"{tag} high", one.high, self._last)
            if drawn is not None:
                add_summary(writer, drawn, self._last)

    def _figure(self, found: Sequence[Sensitivity]) -> Summary:
        from sim2real.evaluation.sensitivity_figure import sensitivity_png  # matplotlib

        data = sensitivity_png({self._title: found})
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of a PNG
        return image_summary("worlds/context_return/all", data, height, width)
