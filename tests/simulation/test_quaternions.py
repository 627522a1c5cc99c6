"""Orientations stay orientations, whatever a sensor does to their numbers."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import sim2real as s2r
from sim2real.domains import Domain
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from sim2real.simulation.quaternions import find_quaternions
from sim2real.task import Task

TASK = '''
import numpy as np
from sim2real.task import Task

class Floater(Task):
    """Two bodies in space: one is free, one turns about a ball."""
    control_dt, episode_s = 0.02, 1.0
    commanded = ("action",)

    def observe(self, world):
        root, ball = world.joint("root").qpos, world.joint("ball").qpos
        down = world.body("hull").xmat.reshape(-1, 3, 3)[:, 2]
        return {
            "pose": root,
            "down": down,
            "wheel": np.stack([np.cos(root[:, 0]), np.sin(root[:, 0])], axis=1),
            "chip": world.sensor("chip").data,
            "both": np.concatenate([ball, root[:, 3:7]], axis=1),
            "action": world.last_action,
        }

    def reward(self, world, action):
        return {"height": world.qpos[:, 2]}
'''
MODEL = """
<mujoco>
  <option gravity="0 0 0"/>
  <worldbody>
    <body name="hull"><freejoint name="root"/><geom type="box" size=".1 .2 .3"/><site name="chip"/>
      <body name="head" pos="0 0 .5">
        <joint name="ball" type="ball" damping=".1"/>
        <geom type="box" size=".1 .1 .2"/>
      </body>
    </body>
  </worldbody>
  <actuator><motor name="spin" site="chip" gear="0 0 0 1 2 3" ctrlrange="-1 1"/></actuator>
  <sensor><framequat name="chip" objtype="site" objname="chip"/></sensor>
</mujoco>
"""
FOURS = (3, 12, 16, 20)
"""The first column of each quaternion; pose has 7 numbers, down 3, wheel 2, chip 4, both 8."""


@pytest.fixture(scope="module")
def floater(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("floater")
    (folder / "floater.py").write_text(TASK)
    (folder / "floater.xml").write_text(MODEL)
    return load_task(str(folder / "floater.py"))


def observed(task: Task, sensing: list[dict[str, Any]], steps: int = 45) -> np.ndarray:
    """Observations (steps + 1, 3, 25) of a tumbling robot."""
    simulation = Simulation(task, Domain(sensing=sensing), num_envs=3, threads=1)
    seen = [simulation.observation]
    seen += [simulation.advance(np.ones((3, 1))).observation for _ in range(steps)]
    return np.array(seen)


def test_quaternions_are_found_by_what_they_are(floater: Task) -> None:
    simulation = Simulation(floater, threads=1)
    noisy = Domain(sensing=[{"noise": {"normal": [0.0, 0.1]}}])
    terms = simulation.policy_terms
    assert find_quaternions(floater, simulation, terms, noisy) == FOURS
    assert find_quaternions(floater, simulation, terms, Domain()) == ()


@pytest.mark.parametrize(
    "entry",
    [
        {"noise": {"normal": [0.0, 0.1]}},
        {"scale": {"uniform": [0.8, 1.2]}},
        {"bias": {"uniform": [-0.1, 0.1]}},
        {"drift": 0.3},
        {"saturation": 0.5},
        {"quantization": 0.1},
    ],
)
def test_they_stay_of_length_1(floater: Task, entry: dict[str, Any]) -> None:
    seen, truth = observed(floater, [entry]), observed(floater, [])
    for first in FOURS:
        four = seen[..., first : first + 4]
        np.testing.assert_allclose(np.linalg.norm(four, axis=-1), 1.0, atol=1e-12)
    assert np.abs(seen[..., 3:7] - truth[..., 3:7]).max() > 1e-3  # and yet are changed
    off = np.abs(np.linalg.norm(seen[..., 7:10], axis=-1) - 1.0)  # no quaternion: left as it is
    assert off.max() > 1e-3


def test_it_is_the_noisy_quaternion_that_is_normalized(floater: Task) -> None:
    noise = {"noise": {"normal": [0.0, 0.1]}}
    alone = [{**noise, "of": [f"pose[{i}]" for i in range(7)]}]
    seen, truth = observed(floater, alone), observed(floater, [])
    np.testing.assert_array_equal(seen[..., 7:], truth[..., 7:])  # other terms bit for bit
    lengths = np.linalg.norm(seen[..., :3] - truth[..., :3], axis=-1)
    assert lengths.std() > 0.01  # the place has the noise as it is
    turned = np.abs((seen[..., 3:7] * truth[..., 3:7]).sum(axis=-1))
    assert 0.9 < turned.min() < turned.max() <= 1.0 + 1e-12


def test_a_reading_that_is_lost_is_no_orientation(floater: Task) -> None:
    seen = observed(floater, [{"noise": {"normal": [0.0, 0.1]}}, {"dropped": 1.0}])
    assert (seen[1:, :, 3:7] == 0).all()


@pytest.mark.parametrize("task", task_names())
def test_those_of_the_tasks_are_known(task: str) -> None:
    noisy = Domain(sensing=[{"noise": {"normal": [0.0, 0.1]}}])
    effects = Simulation(task, noisy, threads=1).plan.sensing
    found = [effect.columns[::4].tolist() for effect in effects if effect.stage.name == "unit"]
    assert found == ([[1]] if task in ("ant", "humanoid") else [])


@pytest.mark.parametrize("name", ["Ant-v5", "Humanoid-v5"])
def test_those_of_a_foreign_environment_keep_their_length(name: str) -> None:
    noisy = {"sensing": [{"noise": {"normal": [0.0, 0.1]}}]}
    env, bare = s2r.DomainWrapper(gymnasium.make(name), noisy), gymnasium.make(name)
    pairs = [(env.reset(seed=0)[0], bare.reset(seed=0)[0])]
    rng = np.random.default_rng(0)
    for _ in range(10):
        action = rng.uniform(-0.3, 0.3, env.action_space.shape).astype(np.float32)
        pairs.append((env.step(action)[0], bare.step(action)[0]))
    seen, truth = (np.array(rows) for rows in zip(*pairs, strict=True))
    assert (np.abs(seen - truth)[:, :5].max(axis=0) > 0.01).all()
    lengths, own = (np.linalg.norm(one[:, 1:5], axis=1) for one in (seen, truth))
    np.testing.assert_allclose(lengths, own, atol=1e-9)
    np.testing.assert_allclose(own[1:], 1.0, atol=1e-9)  # Gymnasium's start states have others


def test_an_environment_that_cannot_be_tried_is_as_it_was() -> None:
    noisy = {"sensing": [{"noise": {"normal": [0.0, 0.1]}}]}
    bare = gymnasium.make("Hopper-v5")
    bare.reset(seed=0)
    before = bare.unwrapped.data.qpos.copy(), bare.unwrapped.data.qacc.copy()
    s2r.DomainWrapper(bare, noisy)
    np.testing.assert_array_equal(bare.unwrapped.data.qpos, before[0])
    np.testing.assert_array_equal(bare.unwrapped.data.qacc, before[1])
