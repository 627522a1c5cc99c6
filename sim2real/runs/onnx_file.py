"""An exported policy.onnx as a policy with a contract."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from sim2real import files
from sim2real.errors import UserError
from sim2real.runs.contract import Contract
from sim2real.runs.session import ACTIONS, KEY, OBSERVED, ONNX, Session
from sim2real.task import ObservationTerm


class OnnxPolicy:
    """The policy of an exported file; it gives actions in [-1, 1] and has no noise.

    `evaluate` takes it as it takes the policy of a run.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._session = Session(path.read_bytes())
            plain = json.loads(self._session.metadata[KEY])
            action, terms = plain["action"], plain["observation"]["terms"]
            self.contract = Contract(
                tuple(_term(one) for one in terms),
                tuple(action["task_low"]),
                tuple(action["task_high"]),
                plain["control_dt"],
            )
            """What it observes, the range of the task's actions, its control step."""
            self._low, self._high = np.array(action["low"]), np.array(action["high"])
            self.action_space = spaces.Box(-1.0, 1.0, self._low.shape, np.float32)
            self.history = max(int(one.get("history", 1)) for one in terms)
            """The control steps that it observes at once."""
        except UserError:
            raise
        except FileNotFoundError:
            raise files.absent(path) from None
        except Exception as error:  # onnxruntime has no class of its own for a damaged file
            raise UserError(
                f"{path} is no policy that `sim2real export` has written: {type(error).__name__}"
            ) from None

    def predict(
        self,
        observation: ArrayLike,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = True,
    ) -> tuple[NDArray[np.float32], None]:
        """Actions without noise. Shape: (n, k) -> (n, nu)."""
        answer = self._session({OBSERVED: np.asarray(observation, np.float32)})[ACTIONS]
        scaled = 2.0 * (answer - self._low) / (self._high - self._low) - 1.0
        return scaled.astype(np.float32), None


def onnx_in(path: Path | str) -> Path | None:
    """The ONNX file at `path` or in the folder of an export; None if there is none."""
    place = files.user_path(path)
    if place.suffix == ".onnx":
        return place
    inside = place / ONNX
    return inside if inside.is_file() else None


def _term(plain: Mapping[str, Any]) -> ObservationTerm:
    return ObservationTerm(plain["name"], plain["size"], plain["unit"])
