"""TensorBoard: the return of the latest episodes against each parameter that was drawn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.evaluation.sensitivity import FEWEST, return_against_context
from sim2real.training.pictures import image_summary
from sim2real.training.tensorboard import TensorBoardFormat

RECENT = 512
"""Episodes that are looked at; older ones are of another policy."""
ENOUGH = 4 * FEWEST
EVERY = 20_000
"""Control steps between two pictures, at least: one takes half a second."""


@dataclass(frozen=True)
class _Ended:
    total: float
    context: dict[str, float]


class ReturnAgainstContext(BaseCallback):
    """Every `every` control steps, tell how the return goes with what was drawn.

    context_correlation/<name>: rank correlation of the latest episodes' returns with the entry.
    context_return/<name> low and high: mean return in the lowest and the highest third.
    context_return/all: a picture with a panel for each entry.
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
        if self.model.num_timesteps // self._every > self._last // self._every:
            self._show()

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > max(self._last, self._every):
            self._show()

    def _show(self) -> None:
        self._last = self.model.num_timesteps
        found = return_against_context(self._recent) if len(self._recent) >= ENOUGH else ()
        writers = [
            output.writer
            for output in self.logger.output_formats
            if isinstance(output, TensorBoardFormat)
        ]
        if not found or not writers:
            return
        from sim2real.evaluation.sensitivity_figure import sensitivity_png  # matplotlib

        picture = sensitivity_png({self._title: found})
        width, height = (int.from_bytes(picture[at : at + 4], "big") for at in (16, 20))  # of a PNG
        summary = image_summary("context_return/all", picture, height, width)
        for writer in writers:
            for one in found:
                writer.add_scalar(f"context_correlation/{one.name}", one.correlation, self._last)
                for part, value in (("low", one.low), ("high", one.high)):
                    tag = f"context_return/{one.name} {part}"
                    writer.add_scalar(tag, value, self._last)
            writer._get_file_writer().add_summary(summary, self._last)  # type: ignore[no-untyped-call]
