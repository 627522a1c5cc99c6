"""Unstable physics is reported every time, and every other number that is not finite is refused."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

import sim2real as s2r
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.soundness import check_written

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
# a gain of 1e12 breaks the hopper in its first control step
WILD = Domain(name="wild", dynamics=[{"field": "actuator_gain", "scale": 1e12}])


class Half:
    """Half of the largest action, always."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.full((len(observation), 3), 0.5, dtype=np.float32), None


@pytest.mark.parametrize("num_envs", [1, 5, 20])
def test_every_episode_that_becomes_unstable_is_reported(num_envs):
    rows = evaluate(Half(), "hopper", WILD, episodes=20, num_envs=num_envs)
    assert [row.unstable for row in rows] == [True] * 20
    assert {row.failed for row in rows} == {False}
    assert {row.length for row in rows} == {1}


@pytest.mark.parametrize("num_envs", [1, 5])
def test_the_vector_environments_report_it_every_time_too(num_envs):
    action = np.full((num_envs, 3), 0.5, dtype=np.float32)
    gymnasium_env = gym.make_vec("sim2real/Hopper-v0", num_envs=num_envs, domain=WILD)
    gymnasium_env.reset(seed=0)
    sb3_env = s2r.make_vec_env("hopper", WILD, num_envs=num_envs)
    sb3_env.reset()
    for _ in range(4):
        observation, _, terminated, _, info = gymnasium_env.step(action)
        assert terminated.all()
        assert info["unstable"].all()
        assert info["final_info"]["unstable"].all()
        assert np.isfinite(observation).all()
        _, _, dones, infos = sb3_env.step(action)
        assert dones.all()
        assert all(info["unstable"] for info in infos)


def test_the_env_reports_it_every_time_too():
    env = gym.make("sim2real/Hopper-v0", domain=WILD)
    for _ in range(3):
        env.reset()
        *_, terminated, _, info = env.step(np.full(3, 0.5, dtype=np.float32))
        assert terminated
        assert info["unstable"]


def test_a_state_beyond_what_mujoco_accepts_pays_no_reward():
    """The engine looks at a state when it steps from it: the last substep's would be paid."""
    simulation = Simulation("hopper", num_envs=3)
    simulation.qvel[1, 0] = 9.9e9  # accepted; the substeps carry the position beyond 1e10
    simulation.qpos[1, 0] = 9.9999e9
    transition = simulation.advance(np.zeros((3, 3)))
    assert transition.unstable.tolist() == [False, True, False]
    assert transition.reward[1] == 0.0
    assert simulation.refused().any() == np.False_


def slider(**methods):
    """The slider, with other methods."""
    model = SLIDER.replace(".py", ".xml")
    return type("Altered", (type(load_task(SLIDER)),), {"model": model, **methods})()


def poisoned(method, when=2):
    """A method of the slider that makes the number of world 1 NaN, from a control step on."""

    def wrong(self, world, *rest):
        good = getattr(super(type(self), self), method)(world, *rest)
        if isinstance(good, dict):
            last = list(good)[-1]
            values = np.array(good[last], dtype=float)
            values[1] = np.where(world.steps[1] >= when, np.nan, values[1])
            return {**good, last: values}
        values = np.array(good, dtype=float)
        values[1] = np.where(world.steps[1] >= when, np.nan, values[1])
        return values

    return wrong


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("observe", r"observe: speed\[0\] is nan in world 1 at step 2"),
        ("reward", "reward: effort is nan in world 1 at step 2"),
        ("control", "control: the command of push is nan in world 1 at step 2"),
    ],
)
def test_a_tasks_own_nan_is_the_tasks_fault(method, message):
    simulation = Simulation(slider(**{method: poisoned(method)}), num_envs=3)
    for _ in range(1 if method != "control" else 2):
        assert not simulation.step(np.zeros((3, 1))).unstable.any()
    with pytest.raises(UserError, match=message):
        simulation.step(np.zeros((3, 1)))


def test_a_reward_whose_terms_add_up_beyond_all_numbers_is_the_tasks_fault():
    def reward(self, world, action):
        return {name: np.full(world.num_envs, 1e308) for name in ("one", "two")}

    simulation = Simulation(slider(reward=reward), num_envs=2)
    with pytest.raises(UserError, match="reward: the sum is inf in world 0 at step 1"):
        simulation.step(np.zeros((2, 1)))


@pytest.mark.parametrize(
    ("value", "shown"), [(np.nan, "nan"), (np.inf, "inf"), (-2e10, r"-2e\+10")]
)
def test_a_start_that_mujoco_would_replace_is_refused(value, shown):
    def start(self, world, ids, rng):
        world.qvel[ids[-1]] = value

    with pytest.raises(UserError, match=rf"start: qvel\[0\] of world 2 is {shown}; allowed"):
        Simulation(slider(start=start), num_envs=3)


@pytest.mark.parametrize("field", ["qpos", "qvel"])
def test_written_states_are_checked(field):
    simulation = Simulation("quadruped", num_envs=2)
    state = {"qpos": simulation.qpos.copy(), "qvel": simulation.qvel.copy()}
    state[field][1, 3] = np.nan
    with pytest.raises(UserError, match=rf"write_state: {field}\[3\] of world 1 is nan; allowed"):
        simulation.write_state(**state)
    simulation.reset()
    getattr(simulation, field)[1, 3] = np.nan
    with pytest.raises(
        UserError, match=rf"{field}\[3\], written by .* is nan in world 1 at step 0"
    ):
        simulation.step(np.zeros((2, simulation.model.nu)))
    with pytest.raises(UserError, match=r"qpos must have the shape \(2, 19\), got \(2, 3\)"):
        simulation.write_state(simulation.qpos[:, :3], simulation.qvel)


def test_what_the_physics_cannot_observe_is_unstable_and_never_shown():
    """The observation divides by a field of the engine that is not finite: not the task's fault."""

    def observe(self, world):
        return {"acceleration": world.qacc * 1.0}

    simulation = Simulation(slider(observe=observe, units={}), num_envs=3)
    simulation.qacc.flags.writeable = True

    def reward(world, action):  # the engine's field, as a broken model would leave it
        world.qacc[1] = np.inf
        return {"place": world.qpos[:, 0], "effort": np.zeros(3)}

    simulation.task.reward = reward
    transition = simulation.advance(np.zeros((3, 1)))
    assert transition.unstable.tolist() == [False, True, False]
    assert np.isfinite(transition.observation).all()


def test_a_command_that_the_domain_made_infinite_is_the_domains_fault():
    simulation = Simulation(SLIDER, num_envs=2)
    simulation.ctrl[1] = np.inf
    with pytest.raises(UserError, match="'d': actuation: the command of push is inf in world 1"):
        check_written("t", "d", np.zeros((2, 1)), simulation, None)
    with pytest.raises(UserError, match="'t': control: the command of push is inf in world 1"):
        check_written("t", "d", np.full((2, 1), np.inf), simulation, None)


def test_failed_must_be_boolean():
    def failed(self, world):
        return np.zeros(world.num_envs)

    with pytest.raises(UserError, match="failed must be boolean, got float64"):
        Simulation(slider(failed=failed), num_envs=2)


@pytest.mark.parametrize("huge", [1e300, -1e300])
def test_a_huge_action_is_blamed_on_the_action(huge):
    simulation = Simulation("furuta", num_envs=3, threads=1, actions="normalized")
    action = np.zeros((3, simulation.model.nu))
    action[1, 0] = huge
    with np.errstate(over="ignore"), pytest.raises(UserError) as caught:
        simulation.step(action)
    assert str(caught.value).startswith(f"action 0 of world 1 is {huge:g}, far outside [-1, 1]")


def test_a_task_is_not_acquitted_by_an_action_within_its_range():
    simulation = Simulation("hopper", num_envs=2, threads=1)
    simulation.task.reward = lambda world, action: {"bad": np.full(2, np.inf)}
    simulation._sums.names = ("bad",)
    with pytest.raises(UserError, match=r"^task 'hopper': reward: bad is inf in world 0"):
        simulation.step(np.full((2, 3), 1.0))
