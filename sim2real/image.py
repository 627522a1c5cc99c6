"""What a task asks of a camera: the size, the colours and the rate of the images it observes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sim2real.errors import UserError, unknown, whole_number

COLORS = {"rgb": 3, "gray": 1}
"""Channels of one image."""
SMALLEST, LARGEST = 8, 512
MOST_STACKED = 16


@dataclass(frozen=True)
class Image:
    """Images of a named camera of the model, as an observation term.

    `stack` is how many of the latest are observed at once, oldest first. A new one is rendered
    every `period` seconds, a multiple of the control step, and the same is observed in between;
    None: one at each control step. Raises UserError for what is not allowed.
    """

    camera: str
    width: int = 64
    """Pixels."""
    height: int = 64
    """Pixels."""
    colors: Literal["rgb", "gray"] = "rgb"
    stack: int = 1
    period: float | None = None
    """s"""

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            whole_number(f"image: {name}", getattr(self, name), SMALLEST, LARGEST)
        whole_number("image: stack", self.stack, 1, MOST_STACKED)
        if self.colors not in COLORS:
            raise unknown("image: colors", self.colors, COLORS)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width: the channels of one image after those of an older one."""
        return self.stack * COLORS[self.colors], self.height, self.width


def check_images(task: str, images: Any, taken: tuple[str, ...]) -> None:
    """UserError unless `images` of a task are `Image`s by name, none of the names `taken`."""
    if not isinstance(images, dict) or not all(isinstance(one, Image) for one in images.values()):
        raise UserError(
            f"task {task!r}: images is {images!r}; allowed: names with an Image each, such as "
            '{"front": Image("front")}'
        )
    for name in images:
        if name in taken:
            raise UserError(
                f"task {task!r}: images: no term may have the name {name!r}; "
                f"taken are {', '.join(taken)}"
            )
