"""TensorBoard: what a round of `identify` found, and the returns in the world that it found."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri
from torch.utils.tensorboard.writer import SummaryWriter

from sim2real.learning.tensorboard import add_summary, image_summary
from sim2real.task import Array

RETURN = "rollout/return_in_identified"
PICTURES = {
    "measured_against_simulated": "worlds/residual/measured_against_simulated",
    "over_time": "worlds/residual/over_time",
    "posterior_correlation": "worlds/posterior_correlation",
}
"""The tags of the pictures of an identification."""
QUANTILES = 200
"""Numbers that stand for a posterior in a histogram."""


def write_round(
    folder: Path,
    found: Mapping[str, Any],
    pictures: Mapping[str, Array],
    steps: Sequence[int],
    returns: Sequence[Sequence[float]],
) -> None:
    """Write the events of a round into `folder`, unless it has them already.

    At the control steps of the log: worlds/context/<unknown>, its posterior as a histogram;
    worlds/identified/<unknown>; worlds/residual/<channel>, what is not explained as a share of the
    channel's change in a step; worlds/residual/held_out and worlds/residual/held_out_nominal; the
    `pictures`, bytes of PNG files. At the simulated steps, all attempts behind each other: the
    `returns` of the attempts, evaluated after `steps` control steps of each.
    """
    if any(folder.glob("events.out.*")):
        return
    writer: Any = SummaryWriter(log_dir=str(folder))
    at = found["steps"]
    for row in found["table"]:
        writer.add_histogram(f"worlds/context/{row['name']}", posterior(row), at)
    for name, value in scalars(found).items():
        writer.add_scalar(name, value, at)
    for name, data in pictures.items():
        content = np.asarray(data, dtype=np.uint8).tobytes()
        width, height = struct.unpack(">II", content[16:24])  # the header of a PNG file
        add_summary(writer, image_summary(PICTURES[name], content, height, width), at)
    for attempt, values in enumerate(returns):
        for step, value in zip(steps, values, strict=False):  # an attempt may end before
            writer.add_scalar(RETURN, value, attempt * steps[-1] + step)
    writer.close()


def scalars(found: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of an identification by their tags."""
    misfit, check = found["misfit"], found["validation"]
    shares = np.divide(misfit["unexplained"], misfit["change"]).tolist()
    return {
        **{f"worlds/identified/{row['name']}": row["value"] for row in found["table"]},
        **{
            f"worlds/residual/{name}": one
            for name, one in zip(misfit["names"], shares, strict=True)
        },
        "worlds/residual/held_out": check["many_steps"],
        "worlds/residual/held_out_nominal": check["many_steps_nominal"],
    }


def posterior(row: Mapping[str, Any]) -> Array:
    """Quantiles of the posterior of an unknown, as many times its value where it has no width."""
    if row["std"] <= 0:
        return np.full(QUANTILES, row["value"])
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    found: Array = row["value"] + row["std"] * ndtri(ndtr(-3) + levels * (ndtr(3) - ndtr(-3)))
    return found
