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
from sim2real.learning.pictures import image_summary
from sim2real.learning.tensorboard import TensorBoardFormat

RECENT = 512
"""Episodes that are looked at; older ones are of another policy."""
ENOUGH = 4 * FEWEST
EVERY = 20_000
"""Control steps between two figures of the correlations and means, at least."""
PICTURE_LEAST, PICTURE_EVERY = 100_000, 500_000
"""Control steps of a training that ends with a picture, and between two before: one takes half a
second, a fifth of a short training when it is drawn at every `EVERY`."""


@dataclass(frozen=True)
class _Ended:
    total: float
    context: dict[str, float]


class ReturnAgainstContext(BaseCallback):
    """Every `every` control steps, tell how the return goes with what was drawn.

    context_correlation/<name>: rank correlation of the latest episodes' returns with the entry.
    context_return/<name> low and high: mean return in the lowest and the highest third.
    context_return/all: a picture with a panel for each entry, at the end and rarely before.
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
            self._show(picture=self._passed(PICTURE_EVERY))

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > max(self._last, self._every):
            self._show(picture=self.model.num_timesteps + self.model.n_envs > PICTURE_LEAST)

    def _passed(self, every: int) -> bool:
        """Whether a multiple of `every` steps was passed since the last figures."""
        return self.model.num_timesteps // every > self._last // every

    def _show(self, picture: bool) -> None:
        self._last = self.model.num_timesteps
        found = return_against_context(self._recent) if len(self._recent) >= ENOUGH else ()
        writers = [
            output.writer
            for output in self.logger.output_formats
            if isinstance(output, TensorBoardFormat)
        ]
        if not found:
            return
        drawn = self._picture(found) if picture and writers else None
        for writer in writers:
            for one in found:
                writer.add_scalar(f"context_correlation/{one.name}", one.correlation, self._last)
                for part, value in (("low", one.low), ("high", one.high)):
                    tag = f"context_return/{one.name} {part}"
                    writer.add_scalar(tag, value, self._last)
            if drawn is not None:
                events = writer._get_file_writer()  # type: ignore[no-untyped-call]
                events.add_summary(drawn, self._last)

    def _picture(self, found: Sequence[Sensitivity]) -> Summary:
        from sim2real.evaluation.sensitivity_figure import sensitivity_png  # matplotlib

        data = sensitivity_png({self._title: found})
        width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))  # of a PNG
        return image_summary("context_return/all", data, height, width)
