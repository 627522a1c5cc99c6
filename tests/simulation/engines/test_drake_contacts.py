"""Contacts in the engine Drake against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from engine_bench import bench, in_drake, steps

pytest.importorskip("pydrake")

G = 9.81
FLOOR = '<geom name="floor" type="plane" size="9 9 1" friction="{floor}"/>'
CUBE = (
    '<body pos="0 0 {z}"><freejoint/><geom name="cube" type="box" size="0.1 0.1 0.1" mass="{mass}"'
    ' friction="{cube}"/></body>'
)


def test_contacts_carry_the_weight_at_the_depth_that_is_set() -> None:
    """Four corners share the weight, so that each sinks by a quarter of the depth."""
    body = FLOOR.format(floor=1) + CUBE.format(z=0.1, mass=3, cube=1)
    idle = 1.0  # kg that the idle body adds to the weight of all
    simulation = in_drake(bench(body), engine={"name": "drake", "penetration": 0.004})
    steps(simulation, 100)
    depth = 0.004 * 3 / (3 + idle) / 4
    assert 0.1 - simulation.qpos[0, 2] == pytest.approx(depth, rel=0.02)


@pytest.mark.parametrize(
    ("floor", "cube", "priority", "expected"),
    [(0.3, 0.3, 0, 0.3), (0.2, 0.4, 0, 0.4), (0.4, 0.2, 0, 0.4), (0.9, 0.3, 1, 0.3)],
)
def test_a_cube_slides_down_a_slope(
    floor: float, cube: float, priority: int, expected: float
) -> None:
    """a = g (sin s - mu cos s), with the larger coefficient, or that of the higher priority."""
    angle = 0.6
    made = CUBE.replace('name="cube"', f'name="cube" priority="{priority}"')
    body = FLOOR.format(floor=floor) + made.format(z=0.1, mass=2, cube=cube)
    tilted = f'timestep="0.001" gravity="{G * np.sin(angle)} 0 {-G * np.cos(angle)}"'
    simulation = in_drake(bench(body, options=tilted))
    steps(simulation, 20)
    before = simulation.qvel[0, 0]
    steps(simulation, 20)
    slope = np.sin(angle) - expected * np.cos(angle)
    assert (simulation.qvel[0, 0] - before) / 0.2 == pytest.approx(G * slope, rel=0.02)


SHAPES = {  # the half height on which each stands
    'type="sphere" size="0.1"': 0.1,
    'type="ellipsoid" size="0.2 0.2 0.1"': 0.1,
    'type="capsule" size="0.1 0.2" euler="0 90 0"': 0.1,
    'type="cylinder" size="0.2 0.1"': 0.1,
    'type="box" size="0.2 0.2 0.1"': 0.1,
    'type="mesh" mesh="wedge"': 0.0,
}
WEDGE = "-.2 -.2 0  .2 -.2 0  -.2 .2 0  .2 .2 0  0 0 .2"
GROUNDS = ('type="plane" size="2 2 1"', 'type="box" size="2 2 0.5" pos="0 0 -0.5"')


@pytest.mark.filterwarnings("ignore:domain .*the engine drake has one contact at a time")
@pytest.mark.parametrize("ground", GROUNDS, ids=["plane", "box"])
@pytest.mark.parametrize("shape", SHAPES, ids=[one.split('"')[1] for one in SHAPES])
def test_every_shape_stands_on_the_ground(shape: str, ground: str) -> None:
    """Dropped from 2 mm it comes to rest within the depth that carries its weight; a mesh has one
    contact, on which it may rock."""
    body = (
        f'<geom {ground}/><body pos="0 0 {SHAPES[shape] + 0.002}"><freejoint/>'
        f'<geom {shape} mass="1"/></body>'
    )
    simulation = in_drake(bench(body, assets=f'<mesh name="wedge" vertex="{WEDGE}"/>'))
    steps(simulation, 40)
    lowest = simulation.qpos[0, 2] - SHAPES[shape]
    depth = 0.002 if "mesh" in shape else 0.001
    assert -depth < lowest < 0.0
    assert np.abs(simulation.qvel[0, 2]) < 0.02
