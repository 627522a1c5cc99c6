"""Frames of a world, fast enough for training: no shadows, no multisampling, no reflections."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.simulation.worlds import Worlds
from sim2real.task import Task

_HEADLIGHT = {"ambient": (0.1, 0.4), "diffuse": (0.4, 0.8), "specular": (0.5, 0.2)}
"""The light at the camera: MuJoCo's default, and a brighter one for models without lights."""
_VIEW = {"azimuth": (90.0, 120.0), "elevation": (-45.0, -30.0)}
"""The view in degrees: MuJoCo's default, and one that shows three sides of a box."""
_COSTLY = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


class RenderingUnavailable(RuntimeError):
    """OpenGL is missing, so that no frame can be rendered."""


class Simulated(Protocol):
    """Worlds of a task: a Simulation."""

    task: Task

    def world_model(self, world: int, model: mujoco.MjModel | None = None) -> mujoco.MjModel:
        """A copy of the model of one world."""

    def world_data(self, world: int, data: mujoco.MjData | None = None) -> mujoco.MjData:
        """The state of one world."""


class Renderer:
    """Renders the worlds of a simulation, each with its own model, from the task's camera.

    Raises RenderingUnavailable where there is no OpenGL (set MUJOCO_GL=egl before MuJoCo is
    imported, and install libegl1 and libgl1).
    """

    def __init__(self, simulation: Simulated, width: int = 320, height: int = 240) -> None:
        self._simulation = simulation
        self._model = model = lit_model(simulation)
        self._renderer = fast_renderer(model, width, height)
        self._data = mujoco.MjData(model)
        self._camera = camera_of(simulation.task.camera, model)

    def frame(self, world: int = 0) -> NDArray[np.uint8]:
        """The present frame of one world, (height, width, 3)."""
        lit_model(self._simulation, world, self._model)
        self._simulation.world_data(world, self._data)
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera)
        frame: NDArray[np.uint8] = self._renderer.render()
        return frame

    def close(self) -> None:
        """Release the OpenGL context."""
        self._renderer.close()


def fast_renderer(model: mujoco.MjModel, width: int, height: int) -> mujoco.Renderer:
    """A renderer of frames of a `model`, whose visual quality is reduced.

    Raises RenderingUnavailable where there is no OpenGL.
    """
    model.vis.quality.offsamples = 0
    model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
    model.vis.global_.offheight = max(model.vis.global_.offheight, height)
    try:
        with warnings.catch_warnings():  # GLFW repeats the error as a warning
            warnings.simplefilter("ignore")
            renderer = mujoco.Renderer(model, height, width)
    except Exception as error:
        raise RenderingUnavailable(f"no images: {error}") from error
    for flag in _COSTLY:
        renderer.scene.flags[flag] = False
    return renderer


def lit_model(
    simulation: Simulated | Worlds, world: int = 0, model: mujoco.MjModel | None = None
) -> mujoco.MjModel:
    """A copy, in `model` or a new MjModel, of a world's model, bright enough for frames.

    The headlight is made brighter if the model has no light and MuJoCo's default headlight.
    """
    model = simulation.world_model(world, model)
    light = model.vis.headlight
    default = all(np.allclose(getattr(light, name), old) for name, (old, _) in _HEADLIGHT.items())
    if model.nlight == 0 and default:
        for name, (_, new) in _HEADLIGHT.items():
            getattr(light, name)[:] = new
    return model


def camera_of(settings: dict[str, Any], model: mujoco.MjModel) -> mujoco.MjvCamera:
    """A free camera, or one that tracks a body, from a task's settings.

    By default the camera shows the whole model obliquely, or as the MJCF's `<global>` sets it, and
    tracks a robot with a free joint.
    """
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
    for name, (old, new) in _VIEW.items():
        if getattr(model.vis.global_, name) == old:
            setattr(camera, name, new)
    for name, value in settings.items():
        if name == "lookat":
            camera.lookat[:] = value
        else:
            setattr(camera, name, value)
    floats = model.njnt and model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE
    if floats and not {"trackbodyid", "lookat"} & settings.keys():
        camera.trackbodyid = int(model.jnt_bodyid[0])
    if camera.trackbodyid > 0:
        camera.type = mujoco.mjtCamera.mjCAMERA_TRACKING
    return camera
