"""All tasks at a glance: one animation of the reference policies at work."""

from __future__ import annotations

from pathlib import Path

from sim2real.errors import UserError
from sim2real.evaluation.clips import SHORT_S, SHORT_SEED, encode_gif, grid, short_clip
from sim2real.evaluation.rollout import simulation_for
from sim2real.files import write_bytes
from sim2real.registry import POLICY
from sim2real.runs.load import load_run
from sim2real.runs.pretrained import pretrained_names
from sim2real.simulation.rendering import RenderingUnavailable

SIZE = (192, 144)
"""Width and height in pixels of each task."""
COLORS = 32


def gallery(out: Path | str, columns: int = 5, frames: int = 30) -> Path:
    """Write a GIF with every shipped policy where it learned, in rows of `columns`.

    Raises UserError where there is no policy and where there is no OpenGL.
    """
    if not pretrained_names():
        raise UserError("there are no pretrained policies to show")
    clips = []
    for name in pretrained_names():
        run = load_run(POLICY + name)
        simulation = simulation_for(run.policy, run.task, run.domain, seed=SHORT_SEED, threads=1)
        try:
            clips.append(short_clip(run.policy, simulation, SIZE, frames, name))
        except RenderingUnavailable as error:
            raise UserError(str(error)) from None
    write_bytes(Path(out), encode_gif(grid(clips, columns), SHORT_S, COLORS))
    return Path(out)
