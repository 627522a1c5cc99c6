"""Actions in [-1, 1], mapped to the range of the task, in every front end."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.simulation import ActionMap, Simulation
from sim2real.simulation.actions import chosen_map
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.simulation.front_ends.vector_env import Sim2RealVectorEnv

ROBOTS = Path(__file__).parent.parent / "robots"
LIFT, SLIDER = str(ROBOTS / "lift.py"), str(ROBOTS / "slider.py")


class Constant:
    """Gives one action, and says in what space."""

    def __init__(self, action, space=None):
        self.action = action
        if space is not None:
            self.action_space = space

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full((len(observation), 1), self.action, dtype=np.float32), None


def test_the_map_is_affine_and_exact_at_its_ends():
    onto = ActionMap((0.0, -3.0, 0.1), (200.0, 3.0, 0.7))
    ends = np.array([[-1, -1, -1], [1, 1, 1], [0, 0, 0], [0.5, 0.5, 0.5]], dtype=np.float32)
    expected = np.float32([[0, -3, 0.1], [200, 3, 0.7], [100, 0, 0.4], [150, 1.5, 0.55]])
    mapped = onto(ends)
    assert mapped.dtype == np.float32
    np.testing.assert_array_equal(mapped, expected)
    assert onto.range.shape == onto.space.shape == (3,)
    assert ActionMap.of(onto.plain()) == onto


def test_a_range_of_one_changes_no_bit():
    numbers = np.array([[-0.0, 0.0, 1e-45, 0.1, -1.0, 3.3]], dtype=np.float32)
    identity = ActionMap((-1.0,) * 6, (1.0,) * 6)
    assert identity(numbers) is numbers
    mixed = ActionMap((-1.0,) * 5 + (0.0,), (1.0,) * 5 + (2.0,))
    mapped = mixed(numbers)
    assert mapped[:, :5].tobytes() == numbers[:, :5].tobytes()
    np.testing.assert_allclose(mapped[0, 5], 4.3)


def test_the_task_gets_actions_in_its_own_range():
    own, normalized = (
        Simulation(LIFT, num_envs=2),
        Simulation(LIFT, num_envs=2, actions="normalized"),
    )
    assert own.action_space == spaces.Box(0.0, 200.0, (1,), np.float32)
    assert normalized.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert normalized.action_range == own.action_space
    rng = np.random.default_rng(0)
    for _ in range(20):
        given = rng.uniform(-1.0, 1.0, (2, 1)).astype(np.float32)
        theirs = normalized.step(given)
        ours = own.step(np.float32(100) + np.float32(100) * given)
        np.testing.assert_allclose(theirs.observation, ours.observation, atol=1e-4)
    np.testing.assert_allclose(normalized.ctrl, 100 + 100 * given, atol=1e-4)
    np.testing.assert_array_equal(normalized.last_action, normalized.ctrl)


def test_gymnasium_keeps_the_own_range_unless_asked():
    pusher = "sim2real/Pusher-v0"
    assert gym.make(pusher).action_space == gym.make("Pusher-v5").action_space
    env = gym.make(pusher, actions="normalized")
    rescaled = gym.wrappers.RescaleAction(gym.make("Pusher-v5"), np.float32(-1), np.float32(1))
    many = gym.make_vec(pusher, num_envs=2, actions="normalized")
    assert env.action_space == rescaled.action_space == many.single_action_space
    assert gym.make_vec(pusher, num_envs=2).single_action_space.high[0] == 2
    env.reset(seed=0)
    rescaled.reset(seed=0)
    start = rescaled.unwrapped.data
    env.unwrapped.set_state(start.qpos, start.qvel)
    action = np.linspace(-1, 1, 7, dtype=np.float32)
    for _ in range(10):
        seen, expected = env.step(action)[0], rescaled.step(action)[0]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_sb3_learns_in_one_unless_asked_otherwise():
    env = make_vec_env(LIFT, num_envs=2)
    assert env.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    assert make_vec_env(LIFT, num_envs=2, actions="own").action_space.high[0] == 200
    env.reset()
    for _ in range(10):  # 98.1 N hold the cage
        observation, *_ = env.step(np.full((2, 1), (98.1 - 100) / 100, dtype=np.float32))
    np.testing.assert_allclose(observation[:, 2], 98.1, rtol=1e-6)
    np.testing.assert_allclose(observation[:, 1], 0.0, atol=1e-6)


def test_an_evaluation_takes_actions_as_the_policy_gives_them():
    one = spaces.Box(-1.0, 1.0, (1,), np.float32)
    own = spaces.Box(0.0, 200.0, (1,), np.float32)
    rows = [
        evaluate(policy, LIFT, Domain(name="plain", about="x"), episodes=3)
        for policy in (Constant(98.1), Constant(98.1, own), Constant(-0.019, one))
    ]
    assert all(row.length == 200 for row in rows[0])
    assert rows[0] == rows[1]
    np.testing.assert_allclose([r.total for r in rows[2]], [r.total for r in rows[0]], rtol=1e-5)
    wrong = Constant(0.0, spaces.Box(-2.0, 2.0, (1,), np.float32))
    with pytest.raises(UserError, match=r"acts in \[-2, 2\]; allowed: \[0, 200\] or \[-1, 1\]"):
        evaluate(wrong, LIFT, Domain(name="plain", about="x"), episodes=1)


def test_a_model_of_the_domain_leaves_the_meaning_of_an_action(tmp_path):
    wider = tmp_path / "strong.xml"
    wider.write_text((ROBOTS / "lift.xml").read_text().replace("0 200", "0 400"))
    strong = Domain(name="strong", about="A stronger winch.", model=str(wider))
    with pytest.warns(UserWarning, match="control range"):
        simulation = Simulation(LIFT, strong, actions="normalized")
    assert simulation.action_range.high[0] == 200
    simulation.step(np.ones((1, 1), dtype=np.float32))
    assert simulation.ctrl[0, 0] == 200


def test_foreign_environments_act_in_one_where_asked():
    env = make_vec_env("InvertedPendulum-v5", num_envs=1, threads=1, actions="normalized")
    bare = gym.make("InvertedPendulum-v5")
    try:
        assert env.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
        observation = env.reset()
        expected, _ = bare.reset(seed=0)
        np.testing.assert_array_equal(observation[0], expected)
        for action in (0.5, -0.25, 1.0):
            observation, *_ = env.step(np.full((1, 1), action, dtype=np.float32))
            expected, *_ = bare.step(np.full(1, 3 * action, dtype=np.float32))
            np.testing.assert_array_equal(observation[0], expected)
    finally:
        env.close()


@pytest.mark.parametrize("make", [Sim2RealEnv, Sim2RealVectorEnv, make_vec_env, Simulation])
def test_bad_choices_are_refused(make):
    with pytest.raises(UserError, match="unknown actions 'normal'; did you mean 'normalized'"):
        make(SLIDER, actions="normal")
    with pytest.raises(UserError, match="has 2 actions"):
        make(SLIDER, actions=ActionMap((0.0, 0.0), (1.0, 1.0)))


@pytest.mark.parametrize(
    ("own", "allowed"),
    [((0.0, 200.0), r"\[0, 200\] or \[-1, 1\]"), ((-1.0, 1.0), r"\[-1, 1\]")],
)
def test_another_range_is_refused_with_what_is_allowed(own, allowed):
    space, given = spaces.Box(*own, (2,)), spaces.Box(-3.0, 3.0, (2,))
    message = rf"^the policy acts in \[-3, 3\]; allowed: {allowed}$"
    with pytest.raises(UserError, match=message):
        chosen_map(given, space, space)


@pytest.mark.parametrize(
    ("low", "high"), [((0.0,), (0.0,)), ((0.0,), (1.0, 2.0)), ((), ()), ((0.0,), (float("nan"),))]
)
def test_bad_maps_are_refused(low, high):
    with pytest.raises(UserError, match="an action map needs"):
        ActionMap(low, high)
    with pytest.raises(UserError, match="an action map needs"):
        ActionMap.of({"low": low})
