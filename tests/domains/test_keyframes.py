"""A domain whose episodes start from a key frame of the model."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

import sim2real as s2r
from sim2real.domains import Domain, dump_domains, load_domains
from sim2real.errors import UserError
from sim2real.evaluation.audit import audit
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

TASK = '''
from sim2real.task import Task

class Tumbler(Task):
    """A box in the air and a filtered arm."""
    control_dt, episode_s = 0.02, 0.2
    memory = {"command": 1}

    def observe(self, world):
        return {"place": world.qpos, "command": world.memory["command"]}

    def reward(self, world, action):
        return {"height": world.qpos[:, 2]}

    def start(self, world, ids, rng):
        world.qpos[ids, 2] += rng.uniform(-0.1, 0.1, (len(ids),))

    def redraw(self, world, ids, rng):
        world.memory["command"][ids] = rng.uniform(-1, 1, (len(ids), 1))
'''
MODEL = """
<mujoco>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1"/>
    <body name="box" pos="0 0 1">
      <freejoint name="root"/>
      <geom name="crate" type="box" size=".1 .1 .1"/>
      <body name="arm"><joint name="arm" axis="0 1 0"/><geom size=".02" pos=".2 0 0"/></body>
    </body>
    <body name="goal" mocap="true" pos="1 0 0"/>
  </worldbody>
  <actuator>
    <general name="slow" joint="arm" dyntype="filter" dynprm=".1" ctrlrange="-1 1"/>
  </actuator>
  <keyframe>
    <key name="thrown" qpos="0 0 2 2 0 0 0 .5" qvel="1 0 3 0 0 4 0" act=".7" mpos="0 2 0"/>
    <key name="home" qpos="0 0 1 1 0 0 0 0"/>
    <key name="buried" qpos="0 0 .05 1 0 0 0 0"/>
  </keyframe>
</mujoco>
"""


@pytest.fixture(scope="module")
def tumbler(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("tumbler")
    (folder / "tumbler.py").write_text(TASK)
    (folder / "tumbler.xml").write_text(MODEL)
    return load_task(str(folder / "tumbler.py"))


def test_every_episode_starts_in_its_state_and_moves_as_a_plain_loop(tumbler: Task) -> None:
    simulation = Simulation(tumbler, Domain(keyframe="thrown"), num_envs=3, threads=1)
    commands = set()
    for _ in range(2):
        model = tumbler.compile()
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, 0)
        np.testing.assert_array_equal(simulation.act, np.full((3, 1), 0.7))
        np.testing.assert_array_equal(simulation.mocap_pos[:, 0], np.tile([0, 2.0, 0], (3, 1)))
        commands |= set(simulation.memory["command"][:, 0].tolist())
        for _ in range(9):
            simulation.advance(np.full((3, 1), 0.3))
            data.ctrl[:] = 0.3
            for _ in range(simulation.substeps):
                mujoco.mj_step(model, data)
            np.testing.assert_array_equal(simulation.qpos, np.tile(data.qpos, (3, 1)))
        simulation.reset()
    assert len(commands) == 6  # what the task draws besides stays


def test_a_file_may_say_so(tumbler: Task, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("dropped: {keyframe: thrown}")
    domain = load_domains(tmp_path / "mine.yaml")["dropped"]
    assert domain.describe() == ["a start from the key frame thrown"]
    (tmp_path / "again.yaml").write_text(dump_domains({"dropped": domain}))
    assert load_domains(tmp_path / "again.yaml")["dropped"] == domain
    assert Simulation(tumbler, domain, threads=1).qpos[0, 2] == 2.0


def test_what_is_not_there_is_refused(tumbler: Task, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown key frame .* 'thron'; did you mean 'thrown'"):
        Simulation(tumbler, Domain(keyframe="thron"), threads=1)
    (tmp_path / "broken.py").write_text(TASK)
    (tmp_path / "broken.xml").write_text(MODEL.replace('qvel="1 0 3', 'qvel="inf 0 3'))
    broken = load_task(str(tmp_path / "broken.py"))
    with pytest.raises(UserError, match="key frame 'thrown': its qvel is not finite"):
        Simulation(broken, Domain(keyframe="thrown"), threads=1)
    with pytest.raises(UserError, match="a foreign environment cannot have keyframe"):
        s2r.DomainWrapper(gymnasium.make("Hopper-v5"), Domain(keyframe="home"))


def test_the_audit_states_what_it_does(tumbler: Task) -> None:
    (thrown,) = audit(tumbler, Domain(keyframe="thrown")).findings
    assert (thrown.parameter, thrown.verdict) == ("keyframe", "acts")
    (buried,) = audit(tumbler, Domain(keyframe="buried")).findings
    assert buried.warnings == ("floor and crate overlap by 0.05 m in that state",)


def test_the_audit_finds_a_key_frame_that_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "still.py").write_text(TASK.replace("world.qpos[ids, 2] += ", "rest = "))
    (tmp_path / "still.xml").write_text(MODEL)
    (finding,) = audit(load_task(str(tmp_path / "still.py")), Domain(keyframe="home")).findings
    assert finding.errors == ("has no effect: the task starts every episode in that state",)
