"""The images that a task observes: each world with its own model, rendered when one is due."""

from __future__ import annotations

import os
from collections.abc import Mapping

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError, unknown
from sim2real.image import COLORS, Image, check_images
from sim2real.simulation.rendering import RenderingUnavailable, fast_renderer, lit_model
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task, whole_steps

Pixels = NDArray[np.uint8]

LUMA = np.array([0.299, 0.587, 0.114])
"""Weights of red, green and blue in the brightness (ITU-R BT.601)."""
SLICES, STACKS, SHADOW_MAP = 12, 8, 64
"""Facets of round bodies around and along them, and the map of shadows, which are not drawn: most
of the time that a small image takes in software is spent on these."""


class Images:
    """The images that `task` observes in the worlds `world`; `terms` tell them.

    A world's image depends on its state and its model alone, the colours, lights and cameras that
    a domain changes among it. There are no shadows and no reflections.
    Raises UserError for a camera that the model does not have, for a period that is no multiple of
    the control step, and where OpenGL is missing.
    """

    def __init__(self, task: Task, world: Worlds, taken: tuple[str, ...]) -> None:
        check_images(task.name, task.images, taken)
        self._world = world
        self._task = task.name
        self._lines = [_Line(name, image, task, world) for name, image in task.images.items()]
        self._model: mujoco.MjModel | None = None
        self.terms: tuple[ObservationTerm, ...] = tuple(line.term for line in self._lines)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def begin(self, ids: IntArray) -> Array:
        """The first images of the worlds `ids`, (m, pixels); older ones in a stack equal them."""
        for world in ids.tolist():
            self._place(world)
            for line in self._lines:
                line.frames[world, :] = self._rendered(line)
        return self._flat(ids)

    def observe(self, active: BoolArray) -> Array:
        """The images after a control step, (n, pixels), new ones where due in `active` worlds."""
        steps = self._world.steps
        for world in np.flatnonzero(active).tolist():
            due = [line for line in self._lines if steps[world] % line.every == 0]
            if due:
                self._place(world)
            for line in due:
                line.frames[world, :-1] = line.frames[world, 1:]
                line.frames[world, -1] = self._rendered(line)
        return self._flat(np.arange(self._world.num_envs))

    def close(self) -> None:
        """Give the OpenGL contexts back."""
        for line in self._lines:
            line.close()

    def snapshot(self) -> dict[str, Pixels]:
        """Copies of the images that are observed, by name."""
        return {f"image.{line.term.name}": line.frames.copy() for line in self._lines}

    def restore(self, snapshot: Mapping[str, NDArray[np.generic]]) -> None:
        """Take up the images of a snapshot."""
        for line in self._lines:
            line.frames[...] = snapshot[f"image.{line.term.name}"]

    def _place(self, world: int) -> None:
        """Put the model and the state of one world where they are rendered."""
        if self._model is None:
            self._model = self._opened()
            self._data = mujoco.MjData(self._model)
        model, data = lit_model(self._world, world, self._model), self._data
        self._world.world_data(world, data)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_camlight(model, data)
        mujoco.mj_flex(model, data)
        mujoco.mj_tendon(model, data)

    def _opened(self) -> mujoco.MjModel:
        """The model that is rendered, with a renderer for each size."""
        os.environ.setdefault("LP_NUM_THREADS", "0")  # small images: Mesa's threads only wait
        model = lit_model(self._world)
        quality = model.vis.quality
        quality.numslices, quality.numstacks, quality.shadowsize = SLICES, STACKS, SHADOW_MAP
        try:
            for line in self._lines:
                line.renderer = fast_renderer(model, line.image.width, line.image.height)
        except RenderingUnavailable as error:
            raise UserError(
                f"task {self._task!r} observes images, and {error}; they need OpenGL: "
                "MUJOCO_GL=egl, and on Debian libegl1 and libgl1"
            ) from error
        return model

    def _rendered(self, line: _Line) -> Pixels:
        """The image of the world that was placed last, (channels, height, width)."""
        line.renderer.update_scene(self._data, line.camera)
        frame: Pixels = line.renderer.render()
        if line.image.colors == "gray":
            frame = np.rint(frame @ LUMA)[..., None].astype(np.uint8)
        return frame.transpose(2, 0, 1)

    def _flat(self, ids: IntArray) -> Array:
        rows = [line.frames[ids].reshape(len(ids), -1) for line in self._lines]
        return np.concatenate(rows, axis=1, dtype=np.float64)


class _Line:
    """The latest images of one term in all worlds, (n, stack, channels, height, width)."""

    renderer: mujoco.Renderer

    def __init__(self, name: str, image: Image, task: Task, world: Worlds) -> None:
        model = world.model
        cameras = [model.camera(index).name for index in range(model.ncam)]
        if image.camera not in cameras:
            raise unknown(
                f"task {task.name!r}: camera of the image {name!r}", image.camera, cameras
            )
        self.image, self.camera = image, model.camera(image.camera).id
        what = f"task {task.name!r}: the period of the image {name!r}"
        dt, period = task.control_dt, image.period
        self.every = 1 if period is None else whole_steps(period, dt, what)
        channels, height, width = image.shape
        size = channels * height * width
        self.term = ObservationTerm(name, size, shape=image.shape, period=self.every * dt)
        one = (COLORS[image.colors], height, width)
        self.frames: Pixels = np.zeros((world.num_envs, image.stack, *one), np.uint8)

    def close(self) -> None:
        """Give the OpenGL context back."""
        if hasattr(self, "renderer"):
            self.renderer.close()
            del self.renderer
