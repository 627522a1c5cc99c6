"""Animations of a policy: its moments step by step, frames with captions, GIF and MP4."""

from __future__ import annotations

import io
import itertools
import os
import tempfile
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sim2real.errors import UserError, unknown
from sim2real.evaluation.rollout import Policy, act
from sim2real.files import write_bytes
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer
from sim2real.torch_settings import one_thread

FRAME_S = 0.05
"""Simulated seconds between two frames, about."""
SHORT_S = 0.1
"""The same for the small animations of cards and the gallery."""
SHORT_SEED = 6
"""Of their episodes: the quadruped is commanded to walk forwards in it."""
COLORS = 64
"""Of a GIF's palette; more make it larger, not clearer."""
MOST_LINES = 8
"""Lines of a caption."""
CAPTION, TITLE = 30, 12
"""Lines that fit into a frame's height; a title is read in a small card of TensorBoard too."""

Frame = NDArray[np.uint8]
"""(height, width, 3)."""
Frames = list[Frame]
End = Literal["", "failed", "unstable", "out of time"]


@dataclass(frozen=True)
class Instant:
    """An instant of an episode: `seconds` simulated since its start, its return so far, its end."""

    episode: int
    seconds: float
    total: float
    end: End = ""


def moments(
    policy: Policy,
    simulation: Simulation,
    episodes: Iterable[int] | None = None,
    seconds: float = np.inf,
) -> Iterator[Instant]:
    """The start and every control step of `episodes` of the simulation's seed, by their numbers.

    World 0 stands at each while it is yielded. An episode is left after `seconds`; `episodes` None
    are all from 0 on, without an end. The policy acts without noise, so these are the episodes of
    `evaluate`.
    """
    active = np.ones(simulation.num_envs, dtype=bool)
    for index in itertools.count() if episodes is None else episodes:
        observation = simulation.reset(episodes=index + np.arange(simulation.num_envs))
        now, state, started = Instant(index, 0.0, 0.0), None, active
        yield now
        while not now.end and now.seconds < seconds - simulation.dt / 2:
            with one_thread():
                action, state = act(policy, observation, state, started, active, True)
            transition = simulation.advance(action)
            observation, started = transition.observation, ~active
            end: End = "unstable" if transition.unstable[0] else ""
            if not end and transition.terminated[0]:
                end = "failed"
            elif not end and transition.truncated[0]:
                end = "out of time"
            total = now.total + float(transition.reward[0])
            now = Instant(index, now.seconds + simulation.dt, total, end)
            yield now


def frames_of(
    shown: Iterator[Instant],
    simulation: Simulation,
    renderer: Renderer,
    every: int,
    title: str | None = None,
    who: str = "",
) -> Iterator[Frame]:
    """A frame of every `every`-th instant with a title; without one, the whole caption, each end.

    The caption begins with `who` acts, if that is given.
    """
    for number, instant in enumerate(shown):
        if number % every == 0 or (title is None and instant.end):
            frame = renderer.frame(0)
            if title is None:
                yield captioned(frame, [who, *caption(simulation, instant)])
            else:
                yield captioned(frame, [title], TITLE)


def short_clip(
    policy: Policy, simulation: Simulation, size: tuple[int, int], frames: int, title: str
) -> Frames:
    """The first frames, SHORT_S apart, of the simulation's first episodes; (height, width, 3)."""
    renderer = Renderer(simulation, *size)
    try:
        instant = moments(policy, simulation)
        every = stride(simulation, SHORT_S)
        shown = frames_of(instant, simulation, renderer, every, title)
        return list(itertools.islice(shown, frames))
    finally:
        renderer.close()


def stride(simulation: Simulation, seconds: float = FRAME_S) -> int:
    """How many control steps lie between two frames that are about `seconds` apart."""
    return max(1, round(seconds / simulation.dt))


def frame_seconds(simulation: Simulation, seconds: float = FRAME_S) -> float:
    """Simulated seconds between two frames: a whole number of control steps."""
    return stride(simulation, seconds) * simulation.dt


def caption(simulation: Simulation, instant: Instant) -> list[str]:
    """The lines of a caption: where and when, what is commanded, what was drawn."""
    where = f"{simulation.task.name} in {simulation.domain.name}, episode {instant.episode}"
    when = f"{instant.seconds:.2f} s, return {instant.total:,.1f}"
    succeeded = simulation.task.succeeded(simulation)
    when += ", success" if succeeded is not None and succeeded[0] else ""
    lines = [where, f"{when}, {instant.end}" if instant.end else when]
    lines += [
        f"{name} {' '.join(f'{value:.2f}' for value in values[0])}"
        for name, values in simulation.memory.items()
    ]
    drawn = ", ".join(f"{name} {value:.3g}" for name, value in simulation.contexts()[0].items())
    return [*lines, drawn] if drawn else lines


def captioned(frame: Frame, lines: Sequence[str], fit: int = CAPTION) -> Frame:
    """The frame with lines of text in its upper left corner, wrapped to its width.

    So many lines `fit` into its height, but letters have at least 10 pixels.
    """
    image = Image.fromarray(frame)
    size = max(10, frame.shape[0] // fit)
    font = ImageFont.load_default(size)
    room = int(frame.shape[1] / (0.5 * size))  # characters; an average one is half an em wide
    wrapped = [part for line in lines for part in textwrap.wrap(line, room)]
    if len(wrapped) > MOST_LINES:
        wrapped = [*wrapped[: MOST_LINES - 1], f"{wrapped[MOST_LINES - 1][: room - 4]} ..."]
    ImageDraw.Draw(image).multiline_text(
        (8, 6),
        "\n".join(wrapped),
        fill=(255, 255, 255),
        font=font,
        stroke_width=1,
        stroke_fill=(0, 0, 0),
    )
    return np.asarray(image)


def beside(clips: Sequence[Frames]) -> Frames:
    """Clips as one, side by side; those that end early stay at their last frame."""
    longest = max(len(clip) for clip in clips)
    whole = [[*clip, *[clip[-1]] * (longest - len(clip))] for clip in clips]
    return [np.concatenate(row, axis=1) for row in zip(*whole, strict=True)]


def write_clip(path: Path, frames: Frames, seconds: float) -> None:
    """Write frames that are `seconds` apart as a .gif or an .mp4, whole or not at all."""
    writers = {".gif": encode_gif, ".mp4": encode_mp4}
    if path.suffix not in writers:
        raise unknown("kind of animation", path.suffix, writers)
    write_bytes(path, writers[path.suffix](frames, seconds))


def grid(clips: Sequence[Frames], columns: int) -> Frames:
    """Clips of one size as one, in rows of `columns`; what is left of the last row is black."""
    blank = [np.zeros_like(clips[0][0])]
    padded = [*clips, *[blank] * (-len(clips) % columns)]
    rows = [beside(padded[i : i + columns]) for i in range(0, len(padded), columns)]
    longest = max(len(row) for row in rows)
    whole = [[*row, *[row[-1]] * (longest - len(row))] for row in rows]
    return [np.concatenate(column, axis=0) for column in zip(*whole, strict=True)]


def encode_gif(frames: Frames, seconds: float, colors: int = COLORS) -> bytes:
    """An endless GIF of `frames` (height, width, 3), each shown for `seconds`."""
    palette = _palette(frames, colors)
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    ]
    data = io.BytesIO()
    images[0].save(
        data,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=round(seconds * 1000),
        loop=0,
    )
    return data.getvalue()


def _palette(frames: Frames, colors: int) -> Image.Image:
    """One palette for all `frames`: a GIF whose colours flicker is hard to watch.

    A shade counts by the cube root of its pixels: a small robot is worth its colours, too.
    """
    some = np.concatenate(frames[:: max(1, len(frames) // 8)]).reshape(-1, 3) & 0xFC
    places = some @ np.array([1 << 16, 1 << 8, 1])
    _, first, counts = np.unique(places, return_index=True, return_counts=True)
    shades = some[np.repeat(first, np.ceil(np.cbrt(counts)).astype(int))]
    return Image.fromarray(shades[None]).quantize(colors)


def encode_mp4(frames: Frames, seconds: float) -> bytes:
    """An MP4 (H.264) of `frames` (height, width, 3), each shown for `seconds`."""
    import imageio  # late: it looks for ffmpeg

    descriptor, name = tempfile.mkstemp(suffix=".mp4")
    os.close(descriptor)
    try:
        # sides in multiples of 16 pixels, or imageio scales the frames
        imageio.mimwrite(name, [*frames], fps=1 / seconds, macro_block_size=16)
        return Path(name).read_bytes()
    except OSError as error:
        raise UserError(f"ffmpeg could not write the film: {error}; try a .gif") from None
    finally:
        Path(name).unlink()
