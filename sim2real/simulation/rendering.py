"""Pictures of a world, fast enough for training: no shadows, no multisampling, no reflections."""

from __future__ import annotations

import warnings
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim2real.simulation.simulation import Simulation

_COSTLY = (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION)


class RenderingUnavailable(RuntimeError):
    """There is no OpenGL here, so no pictures can be made."""


class Renderer:
    """Draws the worlds of a simulation, each on its own model, following the task's camera.

    Raises RenderingUnavailable where there is no OpenGL (set MUJOCO_GL=egl before MuJoCo is
    imported, and install libegl1 and libgl1).
    """

    def __init__(self, simulation: Simulation, width: int = 320, height: int = 240) -> None:
        self._simulation = simulation
        model = simulation.world_model(0)
        model.vis.quality.offsamples = 0
        model.vis.global_.offwidth = max(model.vis.global_.offwidth, width)
        model.vis.global_.offheight = max(model.vis.global_.offheight, height)
        try:
            with warnings.catch_warnings():  # of GLFW, which says the same as the error
                warnings.simplefilter("ignore")
                self._renderer = mujoco.Renderer(model, height, width)
        except Exception as error:
            raise RenderingUnavailable(f"no pictures: {error}") from error
        self._model = model
        self._data = mujoco.MjData(model)
        for flag in _COSTLY:
            self._renderer.scene.flags[flag] = False
        self._camera = camera_of(simulation.task.camera, model)

    def frame(self, world: int = 0) -> NDArray[np.uint8]:
        """The picture of one world as it stands, (height, width, 3)."""
        self._simulation.world_model(world, self._model)
        self._simulation.world_data(world, self._data)
        mujoco.mj_forward(self._model, self._data)
        self._renderer.update_scene(self._data, self._camera)
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Give the OpenGL context back."""
        self._renderer.close()


def camera_of(settings: dict[str, Any], model: mujoco.MjModel) -> mujoco.MjvCamera:
    """A free camera, or one that tracks a body, from a task's settings.

    A robot that floats freely is followed, unless the settings say where to look.
    """
    camera = mujoco.MjvCamera()
    mujoco.mjv_defaultFreeCamera(model, camera)
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
