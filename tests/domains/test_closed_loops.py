"""A four-bar linkage, whose loop must stay closed when its geometry changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.simulation import Simulation

FOURBAR = Path(__file__).parents[1] / "robots" / "fourbar.py"
MODEL = FOURBAR.with_suffix(".xml").read_text()
LOOP = '<connect name="loop" body1="coupler" body2="rocker" anchor=".4 0 0"/>'
REVERSED = '<connect name="loop" body1="rocker" body2="coupler" anchor="0 0 .2"/>'
RANGE = {"uniform": [0.8, 1.2]}
OFFSET = {"uniform": [-0.05, 0.05]}
CHANGES: list[dict[str, Any]] = [
    {"field": "body_pos", "of": "coupler", "component": "z", "add": OFFSET},
    {"field": "body_pos", "of": "rocker", "component": "x", "add": OFFSET},
    {"field": "body_tilt", "of": "coupler", "component": "y", "add": OFFSET},
    {"field": "body_tilt", "of": "rocker", "component": "y", "add": OFFSET},
    {"field": "link_length", "of": "crank", "scale": RANGE},
    {"field": "link_length", "of": "coupler", "scale": RANGE},
    {"field": "link_length", "of": "rocker", "scale": RANGE},
    {"field": "jnt_pos", "of": "crank", "component": "z", "add": OFFSET},
]


def linkage(*dynamics: dict[str, Any], num_envs: int = 1, **options: Any) -> Simulation:
    domain = Domain(dynamics=dynamics, **options)
    return Simulation(str(FOURBAR), domain, num_envs=num_envs, threads=1)


def gap(model: mujoco.MjModel, qpos: np.ndarray) -> float:
    """Distance in m between the two anchors of the loop."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(model, data)
    ends = []
    for body, anchor in (
        (model.eq_obj1id[0], model.eq_data[0, :3]),
        (model.eq_obj2id[0], model.eq_data[0, 3:6]),
    ):
        ends.append(data.xpos[body] + data.xmat[body].reshape(3, 3) @ anchor)
    return float(np.linalg.norm(ends[0] - ends[1]))


@pytest.mark.parametrize(
    ("change", "loop"),
    [
        slow_unless(loop is (LOOP, REVERSED)[index % 2], change, loop)
        for index, change in enumerate(CHANGES)
        for loop in (LOOP, REVERSED)
    ],
)
def test_the_loop_stays_closed_in_the_reference_pose_and_in_motion(
    change: dict[str, Any], loop: str, tmp_path: Path
) -> None:
    (tmp_path / "loop.xml").write_text(MODEL.replace(LOOP, loop))
    simulation = linkage(change, num_envs=4, model=str(tmp_path / "loop.xml"))
    assert len(set(simulation.context[:, 0])) == 4
    models = [simulation.world_model(world) for world in range(4)]
    assert [gap(model, model.qpos0) for model in models] == pytest.approx([0] * 4, abs=1e-12)
    furthest = np.zeros(4)
    for _ in range(40):
        simulation.advance(np.ones((4, 1)))
        furthest = np.maximum(furthest, np.abs(simulation.qpos[:, 0]))
        for model, qpos in zip(models, simulation.qpos, strict=True):
            assert gap(model, qpos) < 5e-4
    assert (furthest > 0.3).all()


def test_a_stretched_link_takes_its_anchor_with_it() -> None:
    # in the frame of the coupler (0.4 m along x) and of the rocker (0.2 m along z)
    anchors = {
        "coupler": ([0.48, 0, 0], [0.08, 0, 0.2]),
        "rocker": ([0.4, 0, 0.04], [0, 0, 0.24]),
        "crank": ([0.4, 0, 0], [0, 0, 0.24]),  # the coupler is 0.04 m higher, and so is its end
    }
    for link, (first, second) in anchors.items():
        model = linkage({"field": "link_length", "of": link, "scale": 1.2}).world_model(0)
        np.testing.assert_allclose(model.eq_data[0, :3], first, atol=1e-12)
        np.testing.assert_allclose(model.eq_data[0, 3:6], second, atol=1e-12)


def test_a_linkage_of_another_size_is_the_same_linkage() -> None:
    """Every length times 1.2: the anchors stand at the ends of the links, and angles are alike."""
    grown = linkage(
        {"field": "link_length", "scale": 1.2, "shared": True},
        {"field": "body_pos", "of": "rocker", "component": "x", "set": 0.48},
    )
    model = grown.world_model(0)
    np.testing.assert_allclose(model.eq_data[0, :6], [0.48, 0, 0, 0, 0, 0.24], atol=1e-12)
    for _ in range(40):
        grown.advance(np.ones((1, 1)))
    # a parallelogram: crank and rocker turn alike, the coupler stays level
    crank, coupler, rocker = grown.qpos[0]
    assert abs(crank) > 0.5
    np.testing.assert_allclose([rocker - crank, coupler + crank], 0, atol=1e-3)


def test_a_world_is_a_plain_loop_over_the_model_compiled_with_its_anchor() -> None:
    simulation = linkage({"field": "link_length", "of": "rocker", "scale": 1.2})
    spec = mujoco.MjSpec.from_string(MODEL)
    for body in spec.bodies[1:]:
        body.simple = False
    for geom in spec.geoms:
        own = simulation.world_model(0).geom(geom.name)
        geom.fromto = [np.nan] * 6
        geom.pos, geom.quat, geom.size = own.pos, own.quat, own.size
    spec.site("rocker_end").pos = [0, 0, 0.24]
    spec.equalities[0].data[:3] = [0.4, 0, 0.24 - 0.2]
    model = spec.compile()
    assert model.geom("rocker_geom").size[1] == pytest.approx(0.12)
    data = mujoco.MjData(model)
    for _ in range(30):
        simulation.advance(np.ones((1, 1)))
        data.ctrl[:] = 1
        for _ in range(simulation.substeps):
            mujoco.mj_step(model, data)
    np.testing.assert_allclose(simulation.qpos[0], data.qpos, atol=1e-9)


@pytest.mark.parametrize(
    ("equality", "change", "message"),
    [
        (
            '<connect name="loop" site1="coupler_end" site2="rocker_end"/>',
            {"field": "body_pos", "of": "coupler", "component": "z", "add": 0.05},
            r"body_pos\.z: equality loop would come apart by 0\.05 in the reference pose",
        ),
        (
            '<weld name="hold" body1="coupler" body2="rocker" relpose=".4 0 -.2 1 0 0 0"/>',
            {"field": "body_pos", "of": "rocker", "component": "x", "add": 0.05},
            r"body_pos\.x: equality hold would come apart by 0\.05",
        ),
        (
            '<weld name="hold" body1="coupler" body2="rocker"/>',
            {"field": "link_length", "of": "coupler", "scale": 1.1},
            "link_length: coupler is welded by an equality",
        ),
    ],
)
def test_a_constraint_that_would_come_apart_is_refused_by_name(
    equality: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "other.xml").write_text(MODEL.replace(LOOP, equality))
    with pytest.raises(UserError, match=message):
        linkage(change, model=str(tmp_path / "other.xml"))
