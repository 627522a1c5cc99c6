"""The look of a model: what a domain may change, and that the physics does not notice."""

import re
from pathlib import Path

import mujoco
import mujoco.batch
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim2real.domains import Domain
from sim2real.domains.model_fields.table import FIELDS
from sim2real.domains.model_fields.visual import ARRAYS, VISUAL
from sim2real.errors import UserError
from sim2real.simulation import Simulation

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "images.md"
ARM = "arm_reach"
LOOKS = [
    {"field": "mat_rgba", "of": "table", "component": "r", "set": {"uniform": [0.0, 1.0]}},
    {"field": "light_diffuse", "scale": {"uniform": [0.5, 1.0]}},
    {"field": "light_dir", "component": "x", "add": {"uniform": [-0.5, 0.5]}},
]
XML = """
<mujoco>
  <asset>
    <texture name="flat" type="2d" builtin="flat" width="4" height="4"/>
    <texture name="checks" type="2d" builtin="checker" width="4" height="4"/>
    <material name="wall" texture="flat"/> <material name="bare"/>
  </asset>
  <worldbody>
    <light name="sun" directional="true"/> <light name="lamp" pos="0 0 2"/>
    <camera name="fixed" pos="0 -2 0" euler="80 20 10"/>
    <camera name="tracking" mode="track"/>
    <geom name="wall" type="box" size="1 1 1" material="wall"/>
    <body name="body">
      <joint name="slide" type="slide" damping="1"/>
      <geom name="plain" size=".1" rgba="1 0 0 1"/>
    </body>
  </worldbody>
  <actuator><motor joint="slide" ctrlrange="-1 1"/></actuator>
</mujoco>"""
TASK = """
from sim2real.task import Task

class Scene(Task):
    control_dt, episode_s = 0.02, 1.0

    def observe(self, world):
        return {"place": world.qpos}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0]}
"""


@pytest.fixture
def scene(tmp_path):
    (tmp_path / "scene.xml").write_text(XML)
    (tmp_path / "scene.py").write_text(TASK)
    return str(tmp_path / "scene.py")


def simulated(task, *entries, num_envs=3):
    return Simulation(task, Domain(visual=list(entries)), num_envs, 0, 1)


def test_the_page_states_every_field_and_component():
    table = PAGE.read_text().split("\n| field |")[1].split("\n\n")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| `")]
    documented = {name: row[3] for row in rows for name in re.findall(r"`(\w+)`", row[1])}
    assert set(documented) == set(VISUAL)
    for name, field in VISUAL.items():
        for component in field.components:
            assert f"`{component}`" in documented[name], f"{name} {component}"


def test_no_field_is_of_both_tables_and_every_array_may_differ_by_world():
    assert not FIELDS.keys() & VISUAL.keys()
    assert ARRAYS - {"texture", "cam_tilt"} <= mujoco.batch.MODEL_FIELDS


def test_the_physics_does_not_notice():
    changed = simulated(ARM, *LOOKS, {"field": "mat_rgba", "of": "goal", "scale": 0.5})
    plain = Simulation(ARM, "nominal", 3, 0, 1)
    rng = np.random.default_rng(0)
    for _ in range(160):  # into the second episode
        action = rng.uniform(-1.0, 1.0, (3, 5))
        one, other = changed.step(action), plain.step(action)
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.reward, other.reward)
    assert not changed.sets_constants


def test_draws_are_in_the_context_and_in_the_models_of_the_worlds():
    simulation = simulated(ARM, *LOOKS)
    reds = simulation.context[:, 0]
    assert simulation.context_names[0] == "mat_rgba.r:table"
    assert len(set(reds)) == 3
    for world in range(3):
        model = simulation.world_model(world)
        assert model.mat("table").rgba[0] == np.float32(reds[world])
        scale = simulation.contexts()[world]["light_diffuse:#0"]
        nominal = simulation.model.light_diffuse[0]
        np.testing.assert_allclose(model.light_diffuse[0], scale * nominal, rtol=1e-6)


def test_draws_of_the_physics_stay_as_they_were():
    masses = {"field": "body_mass", "of": "forearm", "scale": {"uniform": [0.5, 2.0]}}
    alone = Simulation(ARM, Domain(dynamics=[masses]), 4, 7, 1)
    both = Simulation(ARM, Domain(dynamics=[masses], visual=LOOKS), 4, 7, 1)
    np.testing.assert_array_equal(alone.context[:, 0], both.context[:, 0])
    assert both.context_names[0] == alone.context_names[0]


def test_a_camera_is_turned_about_its_own_axes(scene):
    angles = {"x": 0.2, "y": -0.4, "z": 0.7}
    entries = [
        {"field": "cam_tilt", "of": "fixed", "component": name, "add": angle}
        for name, angle in angles.items()
    ]
    simulation = simulated(scene, *entries, num_envs=1)
    before, after = (
        Rotation.from_quat(model.camera("fixed").quat, scalar_first=True)
        for model in (simulation.model, simulation.world_model(0))
    )
    turn = before.inv() * after
    np.testing.assert_allclose(turn.as_rotvec(), list(angles.values()), atol=1e-12)


def test_a_turn_of_0_leaves_the_camera_bit_for_bit(scene):
    entry = {"field": "cam_tilt", "of": "fixed", "component": "x", "add": 0.0}
    simulation = simulated(scene, entry, num_envs=1)
    quat = simulation.world_model(0).cam_quat
    np.testing.assert_array_equal(quat, simulation.model.cam_quat)


def test_a_texture_is_chosen_by_its_number(scene):
    entry = {"field": "texture", "of": "wall", "set": {"choice": [0, 1]}}
    simulation = simulated(scene, entry, num_envs=8)
    role = int(mujoco.mjtTextureRole.mjTEXROLE_RGB)
    chosen = [simulation.world_model(world).mat_texid[0, role] for world in range(8)]
    assert chosen == [row["texture:wall"] for row in simulation.contexts()]
    assert {*chosen} == {0, 1}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"field": "geom_rgb", "scale": 1.0}, "did you mean 'geom_rgba'"),
        ({"field": "body_mass", "scale": 1.0}, "unknown field 'body_mass'"),
        ({"field": "geom_rgba", "of": "wall", "component": "r", "set": 1}, "material wall; change"),
        ({"field": "mat_rgba", "component": "r", "set": 1.5}, "must be at most 1"),
        ({"field": "mat_rgba", "set": 0.5}, "needs a component: r, g, b, a"),
        ({"field": "texture", "of": "wall", "set": 2}, "of 0 flat, 1 checks"),
        ({"field": "texture", "of": "wall", "set": {"uniform": [0, 1]}}, "or a choice, of 0 flat"),
        ({"field": "texture", "of": "bare", "set": 0}, "bare: it has no texture"),
        ({"field": "light_pos", "of": "sun", "component": "x", "add": 1}, "change light_dir"),
        ({"field": "cam_pos", "of": "tracking", "component": "x", "add": 1}, "follows something"),
        ({"field": "cam_fovy", "of": "fixed", "set": 0.0}, "must be greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(scene, entry, message):
    with pytest.raises(UserError, match=re.escape(message)):
        simulated(scene, entry)
