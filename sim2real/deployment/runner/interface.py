"""What the runner needs of a robot: three methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Contract = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """What the sensors of a robot show.

    `time` is when they were read, in s of the robot's clock: where it does not change, the reading
    is stale. `values` are by input of the controller, in the order of `numbers` in the contract,
    as `{"joints.position": [...], "gyro": [...]}`. `fault` is what the robot itself reports.
    """

    time: float
    values: Mapping[str, ArrayLike]
    fault: str = ""


class Interface(Protocol):
    """A robot. Its class is made with the contract of the policy, or without an argument."""

    def read(self) -> Reading:
        """The last reading, without waiting longer than a part of the control step."""

    def write(self, commands: Array) -> None:
        """Send commands to the actuators, (nu,), in the order of `action.names` of the contract."""

    def stop(self) -> None:
        """Put the robot into its passive state: damping, or no force.

        It is called in every control step in which the runner is passive, and may be called from
        another thread while `read` or `write` hangs.
        """
