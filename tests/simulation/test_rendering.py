"""Frames of a model without lights are bright, and the physics does not notice."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains.digest import model_digest
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer, RenderingUnavailable, camera_of, lit_model

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
GLOBAL = "<mujoco><visual><global azimuth='10' elevation='-5'/>{}</visual></mujoco>"


def frame(task):
    try:
        renderer = Renderer(Simulation(task), 64, 48)
    except RenderingUnavailable:
        pytest.skip("OpenGL is missing")
    try:
        return renderer.frame()
    finally:
        renderer.close()


def test_a_model_without_lights_is_bright():
    shown = frame(SLIDER)
    robot = shown[shown.sum(axis=2) > 0]  # (pixels, 3)
    assert len(robot) > 0.2 * 64 * 48
    assert robot.mean() > 90  # 49 with MuJoCo's default headlight
    assert len(np.unique(robot[:, 0])) >= 3  # three sides of the box


def test_the_simulated_model_stays_as_it_is():
    simulation = Simulation(SLIDER)
    before = model_digest(simulation.model)
    lit = lit_model(simulation)
    assert lit.vis.headlight.diffuse[0] > simulation.model.vis.headlight.diffuse[0]
    assert model_digest(simulation.model) == before == model_digest(lit)
    assert simulation.world_model(0).vis.headlight.diffuse[0] == np.float32(0.4)


@pytest.mark.parametrize("task", ["cartpole", "hopper"])
def test_a_model_with_lights_keeps_its_own(task):
    simulation = Simulation(task)
    lit, own = lit_model(simulation), simulation.model
    for name in ("ambient", "diffuse", "specular"):
        np.testing.assert_array_equal(
            getattr(lit.vis.headlight, name), getattr(own.vis.headlight, name)
        )


def test_the_view_of_the_model_or_the_task_is_respected():
    model = mujoco.MjModel.from_xml_string(GLOBAL.format(""))
    assert (camera_of({}, model).azimuth, camera_of({}, model).elevation) == (10, -5)
    assert camera_of({"azimuth": 30}, model).azimuth == 30
    plain = mujoco.MjModel.from_xml_string("<mujoco/>")
    assert (camera_of({}, plain).azimuth, camera_of({}, plain).elevation) == (120, -30)
