"""Commands, memory, history, actions and success: on a mass that follows drawn places."""

from pathlib import Path

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.front_ends.vector_env import Sim2RealVectorEnv
from sim2real.simulation.randomness import REDRAW, EpisodeGenerators
from sim2real.task import within

ROBOTS = Path(__file__).parent.parent / "robots"
FOLLOWER = str(ROBOTS / "follower.py")
SLIDER = str(ROBOTS / "slider.py")
NOISY = {"sensing": [{"noise": {"normal": [0.0, 0.1]}, "of": "place"}]}


def follower(num_envs=3, seed=4, domain=None, **options):
    return Simulation(load_task(FOLLOWER, **options), domain, num_envs, seed, threads=1)


def actions(simulation, steps, seed=0):
    shape = (steps, simulation.num_envs, 1)
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(np.float32)


def variant(**attributes):
    """A follower of another kind, in 2 worlds."""
    kind = type("Variant", (type(load_task(FOLLOWER)),), attributes)
    kind.file = property(lambda self: ROBOTS / "follower.py")
    return Simulation(kind(), num_envs=2, threads=1)


def test_the_action_limits_are_the_tasks_and_control_makes_the_commands():
    simulation = follower()
    assert (simulation.action_space.low, simulation.action_space.high) == (-2.0, 2.0)
    action = actions(simulation, 1)[0]
    simulation.advance(action)
    np.testing.assert_array_equal(simulation.ctrl, action / 2)


def test_imperfections_act_on_what_control_returns():
    simulation = follower(domain=Domain(actuation=[{"saturation": 0.3}]))
    simulation.advance(np.full((3, 1), 2.0))
    np.testing.assert_array_equal(simulation.ctrl, 0.3)


def test_the_last_action_is_the_one_before_in_the_reward_and_the_new_one_after():
    simulation = follower()
    assert not simulation.last_action.any()
    first, second = actions(simulation, 2)
    change = simulation.advance(first).terms["change"]
    np.testing.assert_array_equal(change, -np.abs(first[:, 0]))
    transition = simulation.advance(second)
    np.testing.assert_allclose(transition.terms["change"], -np.abs(second - first)[:, 0])
    np.testing.assert_array_equal(transition.observation[:, 4:], second)
    simulation.reset([1])
    assert simulation.last_action[:, 0].tolist() == [second[0, 0], 0.0, second[2, 0]]
    np.testing.assert_array_equal(simulation.steps, [2, 0, 2])


def test_commands_are_drawn_by_seed_episode_and_number_alone():
    """Every 0.2 s of 0.02 s, from the block of their own: the closed form of the counter."""
    simulation = follower(num_envs=2, seed=9)
    generators = EpisodeGenerators(9)
    for step in range(1, 50):
        transition = simulation.advance(np.zeros((2, 1)))
        number = step // 10 << 32
        expected = [2 * generators.at(one, REDRAW, number).random() - 1 for one in (0, 1)]
        np.testing.assert_allclose(simulation.memory["command"][:, 0], expected, rtol=1e-15)
        np.testing.assert_array_equal(transition.observation[:, 3], expected)


def test_the_reward_is_of_the_old_command_and_the_end_keeps_it():
    simulation = follower(num_envs=1)
    for step in range(1, 51):
        before = simulation.memory["command"][0, 0]
        transition = simulation.advance(np.zeros((1, 1)))
        near = -abs(simulation.qpos[0, 0] - before)
        np.testing.assert_array_equal(transition.terms["near"], near)
        assert (simulation.memory["command"][0, 0] != before) == (step % 10 == 0 and step < 50)
    assert transition.truncated.all()


def test_no_world_depends_on_who_shares_its_batch():
    many, one = follower(num_envs=5, domain=Domain(**NOISY)), follower(1, domain=Domain(**NOISY))
    one.reset(episodes=[3])
    for action in actions(many, 50):
        ours, theirs = many.advance(action), one.advance(action[3:4])
        np.testing.assert_array_equal(ours.observation[3:4], theirs.observation)
        np.testing.assert_array_equal(ours.reward[3:4], theirs.reward)


def test_worlds_that_stand_still_keep_all_they_have():
    ours, theirs, fresh = follower(), follower(), follower()
    active = np.array([True, False, True])
    for index, action in enumerate(actions(ours, 25)):
        if index < 15:
            ours.advance(np.where(active[:, None], action, 1.0), active)
            np.testing.assert_array_equal(ours.observation[1], fresh.observation[1])
            assert ours.memory["given"][1, 0] == ours.last_action[1, 0] == 0.0
            assert ours.memory["command"][1, 0] == fresh.memory["command"][1, 0]
        theirs.advance(action)
        if index >= 15:
            ours.advance(action)
    np.testing.assert_array_equal(ours.memory["command"][0], theirs.memory["command"][0])
    np.testing.assert_array_equal(ours.memory["given"][0], theirs.memory["given"][0])
    assert ours.steps.tolist() == [25, 10, 25]


def test_the_history_holds_what_the_sensors_gave_oldest_first():
    simulation = follower(domain=Domain(**NOISY))
    plain = follower(domain=Domain(**NOISY))
    labels = [label for term in simulation.policy_terms for label in term.labels]
    assert labels[:4] == ["place[0@-2]", "place[0@-1]", "place[0]", "command[0]"]
    first = simulation.observation
    np.testing.assert_array_equal(first[:, :3], np.repeat(first[:, :1], 3, axis=1))
    newest = [first[:, 2]] * 3
    for action in actions(simulation, 30):
        seen = simulation.advance(action).observation
        newest = [*newest[1:], seen[:, 2]]
        np.testing.assert_array_equal(seen[:, :3], np.stack(newest, axis=1))
        assert (seen[:, 2] != simulation.qpos[:, 0]).all()
        plain.advance(action)
    moved = simulation.write_state([[0.0]], [[0.0]], [1])
    np.testing.assert_array_equal(moved[:, :3], moved[:, :1].repeat(3, axis=1))
    np.testing.assert_array_equal(simulation.observation[0], plain.observation[0])


def test_the_truth_behind_a_history_is_what_perfect_sensors_give_now():
    task = load_task(FOLLOWER)
    simulation = Simulation(task, Domain(**NOISY), 2, threads=1, privileged=True)
    assert [term.name for term in simulation.observation_terms[3:]] == ["given", "truth"]
    assert simulation.observation_terms[4].labels[0] == "truth[place[0]]"
    seen = simulation.step(actions(simulation, 1)[0]).observation
    assert seen.shape == (2, 5 + 1 + 3)
    np.testing.assert_array_equal(seen[:, 6], simulation.qpos[:, 0])


def test_a_snapshot_holds_all_of_it():
    simulation = follower(num_envs=4, domain=Domain(**NOISY))
    simulation.difficulty = 0.5
    for action in actions(simulation, 33):
        simulation.step(action)
    snapshot = simulation.snapshot()
    fresh = follower(num_envs=4, seed=0, domain=Domain(**NOISY))
    fresh.restore(snapshot)
    assert fresh.difficulty == 0.5
    for action in actions(simulation, 60, seed=1):
        ours, theirs = fresh.step(action), simulation.step(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation)
        np.testing.assert_array_equal(ours.reward, theirs.reward)
        assert ours.episodes == theirs.episodes
    for name in ("memory.command", "history.place", "last_action", "difficulty"):
        with pytest.raises(UserError, match=f"{name} must be"):
            fresh.restore({key: value for key, value in snapshot.items() if key != name})


def test_success_is_reported_at_the_end_of_an_episode():
    simulation = follower(num_envs=16)
    for _ in range(50):
        transition = simulation.advance(np.zeros((16, 1)))
    near = np.abs(simulation.qpos - simulation.memory["command"])[:, 0] < 0.5
    assert [one.success for one in transition.episodes] == near.tolist()
    assert set(near.tolist()) == {True, False}
    slider = Simulation(SLIDER, threads=1)
    for _ in range(50):
        transition = slider.advance(np.zeros((1, 1)))
    assert transition.episodes[0].success is None


def test_what_failed_was_no_success():
    simulation = variant(
        failed=lambda self, world: world.steps > 3, succeeded=lambda self, world: world.steps > 0
    )
    for _ in range(4):
        transition = simulation.advance(np.zeros((2, 1)))
    assert [one.success for one in transition.episodes] == [False, False]


def test_the_front_ends_tell_success_at_the_end():
    vec_env = SimVecEnv(follower(num_envs=2))
    vec_env.reset()
    env, vector = Sim2RealEnv(FOLLOWER), Sim2RealVectorEnv(FOLLOWER, 2)
    for one in (env, vector):
        one.reset(seed=4)
    for step in range(1, 51):
        infos = vec_env.step(np.zeros((2, 1)))[3]
        info = env.step(np.zeros(1, np.float32))[4]
        many = vector.step(np.zeros((2, 1), np.float32))[4]
        assert ("is_success" in infos[0]) == ("is_success" in info) == (step == 50)
    assert infos[0]["is_success"] == info["is_success"]
    assert many["final_info"]["is_success"].tolist() == [one["is_success"] for one in infos]


def test_the_difficulty_is_one_unless_a_training_says_otherwise():
    simulation = follower()
    assert simulation.difficulty == 1.0
    assert (simulation.qpos != 0).all()
    simulation.difficulty = 0.0
    simulation.reset()
    assert (simulation.qpos == 0).all()


@pytest.mark.parametrize("given", [2.0, [0.1, 0.2], float("nan"), "fast", None, [[0.5]]])
def test_a_command_out_of_range_is_refused(given):
    if given is not None:
        with pytest.raises(UserError, match=r"command is .*; allowed: one number, -1 to 1"):
            load_task(FOLLOWER, command=given)
    with pytest.raises(UserError, match="allowed: one number, -1 to 1"):
        within("command", given, -1.0, 1.0)


def test_a_command_in_range_is_kept():
    simulation = follower(command=[0.25])
    assert (simulation.memory["command"] == 0.25).all()


@pytest.mark.parametrize(
    ("attributes", "match"),
    [
        ({"redraw_s": 0.05}, "redraw_s of 0.05 s is not a multiple of 0.02 s"),
        ({"memory": {"command": 0}}, "memory 'command' has the size 0"),
        ({"history": {"plce": 2}}, "unknown history .* did you mean 'place'"),
        ({"history": {"place": 0}}, "history of 'place' is 0"),
        ({"commanded": ("comand",)}, "unknown commanded term .* did you mean 'command'"),
        ({"commanded": "command"}, "commanded is 'command'; allowed: a tuple of names"),
        ({"action_limits": (1.0, -1.0)}, "action_limits are"),
        ({"control": lambda self, world, action: action[:, :0]}, r"control must be \(2, 1\)"),
        ({"succeeded": lambda self, world: np.ones(3)}, "succeeded must be"),
    ],
)
def test_a_broken_promise_is_named(attributes, match):
    with pytest.raises(UserError, match=match):
        variant(**attributes)


def test_bad_actions_are_named_and_nothing_is_lost():
    ours, theirs = follower(), follower()
    for action in actions(ours, 12):
        with pytest.raises(UserError, match=r"shape \(3, 1\), got \(3, 2\)"):
            ours.step(np.zeros((3, 2)))
        with pytest.raises(UserError, match="action 0 of world 1 is nan"):
            ours.step([[0.0], [np.nan], [0.0]])
        np.testing.assert_array_equal(
            ours.step(action).observation, theirs.step(action).observation
        )
    np.testing.assert_array_equal(ours.memory["given"], theirs.memory["given"])
