"""Penalties on the reward, against what a slider of known forces earns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.loop import learn
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.penalties import PenalizedReward, penalized
from sim2real.policies.recipe import load_recipe, parse_recipe
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import load_method

ROBOTS = Path(__file__).parents[1] / "robots"
SLIDER, FOLLOWER = str(ROBOTS / "slider.py"), str(ROBOTS / "follower.py")
GEAR = 3.0
EPISODE = 50
SMALL = {
    "ppo": {"num_envs": 4, "n_steps": 16, "batch_size": 32, "net_arch": [6]},
    "sac": {"num_envs": 4, "net_arch": [6], "batch_size": 32, "learning_starts": 20},
}


def penalties(rate: float, torque: float) -> Any:
    return parse_recipe("sac", {"action_rate_penalty": rate, "torque_penalty": torque})


@pytest.mark.parametrize(("robot", "scale"), [(SLIDER, 1.0), (FOLLOWER, 2.0)])
@pytest.mark.parametrize("actions", ["own", "normalized"])
def test_what_is_taken_off_the_reward(robot: str, scale: float, actions: Any) -> None:
    """The force is three times the normalized action, of which `scale` is the largest."""
    plain = make_vec_env(robot, "nominal", 3, actions=actions)
    less = PenalizedReward(make_vec_env(robot, "nominal", 3, actions=actions), penalties(0.5, 0.1))
    rng = np.random.default_rng(0)
    assert (plain.reset() == less.reset()).all()
    before = None
    for step in range(2 * EPISODE + 3):
        normalized = rng.uniform(-1.0, 1.0, (3, 1))
        given = normalized if actions == "normalized" else scale * normalized
        observation, reward, dones, infos = plain.step(given)
        seen, rewards, ended, others = less.step(given)
        assert (observation == seen).all()
        first, last = step % EPISODE == 0, step % EPISODE == EPISODE - 1
        assert dones.all() == ended.all() == last
        rate = 0.0 if before is None or first else (normalized - before)[:, 0] ** 2
        torque = 0.0 if last else (GEAR * normalized[:, 0]) ** 2
        np.testing.assert_allclose(rewards, reward - 0.5 * rate - 0.1 * torque, atol=1e-12)
        for info, other in zip(infos, others, strict=True):
            assert info.get("episode", {}).get("r") == other.get("episode", {}).get("r")
        before = normalized


def test_without_weights_there_is_nothing_between() -> None:
    env = make_vec_env(SLIDER, "nominal", 2)
    assert penalized(env, penalties(0.0, 0.0)) is env


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_a_resumed_training_equals_an_uninterrupted_one(
    algorithm: str, tmp_path: Path, curves: Any
) -> None:
    penalty = {"action_rate_penalty": 0.1, "torque_penalty": 0.01}
    recipe = load_recipe(algorithm, None, {**SMALL[algorithm], **penalty})

    def made() -> Any:
        return build_algorithm(recipe, make_vec_env(SLIDER, "drawn", 4), seed=0)

    whole, again = made(), made()
    learn(whole, tmp_path / "run", 320, progress=False, checkpoint_every=64)
    expected = curves(tmp_path / "run")
    discard_after(tmp_path / "run", 192)
    restore(again, read_checkpoint(tmp_path / "run", 192))
    learn(again, tmp_path / "run", 320, progress=False, checkpoint_every=64)
    for ours, theirs in zip(again.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert curves(tmp_path / "run") == expected


def test_a_large_penalty_leaves_the_robot_still_and_the_reported_return_the_tasks(
    tmp_path: Path,
) -> None:
    """Pushing earns more than standing still, unless a force costs 10."""
    found = {}
    for weight in (0.0, 10.0):
        options = {"num_envs": 16, "n_steps": 50, "batch_size": 200, "learning_rate": 0.01}
        run = pretrain(
            SLIDER,
            "nominal",
            steps=16 * 50 * 12,
            options={**options, "torque_penalty": weight, "log_std_init": -1.5},
            out=tmp_path / str(weight),
            progress=False,
        )
        found[weight] = np.mean(
            [row.total for row in evaluate(run.policy, SLIDER, "nominal", episodes=8)]
        )
    assert abs(found[10.0]) < 2.0 < found[0.0]


def test_worlds_without_a_task_are_refused(build: Any) -> None:
    with pytest.raises(UserError, match="torque_penalty need a simulation of a task"):
        build("ppo", torque_penalty=0.1)


@pytest.mark.parametrize("name", ["action_rate_penalty", "torque_penalty"])
@pytest.mark.parametrize("value", [-1.0, float("inf")])
def test_bad_weights(name: str, value: float) -> None:
    with pytest.raises(UserError, match=name):
        parse_recipe("td3", {name: value})


def test_a_target_has_the_reward_of_its_task_and_an_identified_world_that_of_the_source() -> None:
    source = load_recipe("ppo", None, {"torque_penalty": 0.25})
    assert load_method("fine_tune").target_recipe(source, Budget(1000)).torque_penalty == 0.0
    assert load_method("identify").target_recipe(source, Budget(1000)).torque_penalty == 0.25
