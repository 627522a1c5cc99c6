"""What is recorded is what the worlds did, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import load_domain
from sim2real.errors import UserError
from sim2real.identification.record import record
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.budget import Budget
from sim2real.transfer.target import Environments, open_target


class Constant:
    """A policy that remembers what it saw."""

    def __init__(self, action: float) -> None:
        self.action, self.seen = action, []  # type: ignore[var-annotated]

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        self.seen.append(np.array(observation))
        return np.full((len(observation), 3), self.action), None


def test_rows_are_those_of_a_plain_loop() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (300, 2, 3)).astype(np.float32)
    log = record(Simulation("hopper", "hard", 2, seed=3), actions, steps=600)
    simulation = Simulation("hopper", "hard", 2, seed=3)
    before = simulation.restart()
    expected: list[list[np.ndarray]] = [[before[world]] for world in range(2)]
    episodes: list[list[np.ndarray]] = [[], []]
    for action in actions:
        transition = simulation.step(action)
        for world in range(2):
            expected[world].append(transition.observation[world])
        for place, world in enumerate(transition.ended.tolist()):
            expected[world][-1] = transition.final_observation[place]
            episodes[world].append(np.array(expected[world]))
            expected[world] = [transition.observation[world]]
    for world in range(2):
        if len(expected[world]) > 1:
            episodes[world].append(np.array(expected[world]))
    flat = np.concatenate([*episodes[0], *episodes[1]])
    assert np.array_equal(log.observations["position"], flat[:, :5])
    assert np.array_equal(log.observations["velocity"], flat[:, 5:])
    assert log.steps == 600
    assert log.control_dt == 0.008
    assert log.units["position"] == "m, rad"
    assert log.terminated is not None
    assert log.terminated.sum() >= 4  # random hoppers fall


def test_rewards_are_those_of_the_steps() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (120, 2, 3)).astype(np.float32)
    log = record(Simulation("hopper", "hard", 2, seed=3), actions, steps=240)
    simulation = Simulation("hopper", "hard", 2, seed=3)
    simulation.restart()
    expected = np.array([simulation.step(action).reward for action in actions])
    found = [log.extras["reward"][rows][:-1, 0] for rows in log.episodes]
    assert np.allclose(np.concatenate(found), expected.T.ravel(), rtol=1e-6)
    assert all(log.extras["reward"][rows][-1] == 0 for rows in log.episodes)


def test_recording_stops_after_so_many_episodes() -> None:
    actions = np.random.default_rng(1).uniform(-1, 1, (400, 1, 3)).astype(np.float32)
    whole = record(Simulation("hopper", "hard", seed=3), actions, steps=400)
    log = record(Simulation("hopper", "hard", seed=3), actions, steps=400, episodes=2)
    assert len(whole.starts) > 3
    assert np.array_equal(log.observations["velocity"], whole.take([0, 1]).observations["velocity"])
    assert log.terminated is not None
    assert log.terminated.all()


def test_commands_are_those_given_at_their_row() -> None:
    log = record(Simulation("hopper", None, 1, seed=0), np.full((5, 3), 0.25), steps=5)
    assert log.actuators == ("thigh_joint", "leg_joint", "foot_joint")
    assert np.array_equal(log.commands, np.full((6, 3), 0.25))
    assert log.times == pytest.approx(0.008 * np.arange(6))


def test_commands_are_what_the_task_makes_of_actions() -> None:
    actions = np.linspace(-1, 1, 8)[:, None]
    log = record(Simulation("furuta", None, 1, seed=0), actions, steps=8)
    assert log.commands[:-1] == pytest.approx(10.0 * actions, rel=1e-6)  # V, see envs/furuta.py


def test_imperfections_are_behind_the_commands() -> None:
    """A weak motor with a delay is commanded the same."""
    log = record(Simulation("hopper", "hard", 1, seed=0), np.full((4, 3), 0.5), steps=4)
    assert np.array_equal(log.commands, np.full((5, 3), 0.5))


def test_a_history_is_recorded_once() -> None:
    simulation = Simulation("quadrotor", None, 1, seed=0)
    log = record(simulation, np.zeros((6, 4)), steps=6)
    size = {term.name: term.size for term in simulation.policy_terms}
    assert size["gyro"] == 15
    assert log.observations["gyro"].shape == (7, 3)
    last = simulation.observation[0]
    end = np.cumsum(list(size.values()))[list(size).index("gyro")]
    assert np.array_equal(log.observations["gyro"][-1], last[end - 3 : end])


def test_a_policy_sees_what_is_recorded() -> None:
    policy = Constant(0.5)
    env = make_vec_env("hopper", "nominal", num_envs=1, seed=2)
    log = record(env, policy, steps=30)
    seen = np.concatenate(policy.seen)
    rows = np.concatenate([log.observations["position"], log.observations["velocity"]], axis=1)
    kept = np.ones(len(log), dtype=bool)
    kept[[one.stop - 1 for one in log.episodes]] = False
    assert np.array_equal(rows[kept], seen)


def test_noise_comes_from_the_seed_and_stays_in_range() -> None:
    def commands(seed: int, noise: float = 0.4) -> np.ndarray:
        worlds = Simulation("hopper", None, 2, seed=0)
        return record(worlds, np.zeros((40, 3)), steps=80, noise=noise, seed=seed).commands

    assert np.array_equal(commands(1), commands(1))
    assert not np.array_equal(commands(1), commands(2))
    assert 0.3 < commands(1).std() < 0.5
    assert np.abs(commands(1, 3.0)).max() == 1.0
    assert not commands(1, 0.0).any()


def test_bad_arguments() -> None:
    worlds = Simulation("hopper", None, 2, seed=0)
    with pytest.raises(UserError, match=r"the actions are \(3, 3\); allowed: \(4, 3\) or more"):
        record(worlds, np.zeros((3, 3)), steps=8)
    with pytest.raises(UserError, match="steps is 1; allowed: 2 to"):
        record(worlds, np.zeros((3, 3)), steps=1)
    with pytest.raises(UserError, match="noise is -1"):
        record(worlds, np.zeros((4, 3)), steps=8, noise=-1)


def test_a_target_is_recorded_and_charged() -> None:
    task, domain = load_task("hopper"), load_domain("hopper", "hard")
    environments = Environments(seed=5)
    target, meter = open_target(task, domain, Budget(50), environments, actions="normalized")
    log = record(target.env(2), np.full((20, 3), 0.1), steps=40)
    plain = Simulation("hopper", "hard", 2, seed=5, actions="normalized")
    assert np.array_equal(log.commands, record(plain, np.full((20, 3), 0.1), steps=40).commands)
    assert log.steps == meter.usage.steps == 40
    environments.close()
