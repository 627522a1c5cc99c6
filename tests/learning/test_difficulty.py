"""Success and difficulty in trainings: on the mass that follows drawn places."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, success_rate
from sim2real.evaluation.row_files import load_rows, save_rows
from sim2real.evaluation.summary import summary
from sim2real.learning.callbacks import Difficulty
from sim2real.learning.loop import learn
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env

ROBOTS = Path(__file__).parent.parent / "robots"
FOLLOWER, SLIDER = str(ROBOTS / "follower.py"), str(ROBOTS / "slider.py")


def made(num_envs=8):
    options = {"num_envs": num_envs, "n_steps": 25, "batch_size": 50, "net_arch": [8]}
    env = make_vec_env(FOLLOWER, None, num_envs, seed=3, threads=1)
    return build_algorithm(load_recipe("ppo", "follower", options), env, 3)


def curve(run, tag):
    events = EventAccumulator(str(run), {"scalars": 0})
    events.Reload()
    return [event.value for event in events.Scalars(tag)]


class Still:
    """A policy that does nothing."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros((len(observation), 1), dtype=np.float32), state


def test_difficulty_rises_in_a_line_and_the_first_episodes_begin_with_it(tmp_path):
    algorithm = made()
    simulation = algorithm.env.simulation
    callback = Difficulty(simulation, steps=4000, start=0.25)
    assert simulation.difficulty == 0.25
    assert np.abs(simulation.qpos).max() <= 0.25
    learn(algorithm, tmp_path, 6000, callbacks=[callback], progress=False)
    values = curve(tmp_path, "worlds/curriculum/difficulty")
    assert values == sorted(values)
    assert 0.25 < values[0] < 0.5  # after 1,000 steps
    assert simulation.difficulty == values[-1] == 1.0


def test_difficulty_rises_by_success_and_only_then():
    simulation = Simulation(FOLLOWER, num_envs=4, threads=1)
    callback = Difficulty(simulation, success=0.75, start=0.1, by=0.2, window=4)
    seen = []
    for rate in (0.5, 0.75, 1.0):
        infos = [{"is_success": world < 4 * rate} for world in range(4)]
        callback.locals = {"dones": np.ones(4, dtype=bool), "infos": infos}
        callback._on_step()
        simulation.difficulty = callback._raised(simulation.difficulty)
        seen.append(simulation.difficulty)
    np.testing.assert_allclose(seen, [0.1, 0.3, 0.5])
    callback._on_step()
    state = callback.state()
    assert state == {"difficulty": simulation.difficulty, "recent": [True] * 4}
    other = Simulation(FOLLOWER, num_envs=4, threads=1)
    again = Difficulty(other, success=0.75)
    again.restore(state)
    assert other.difficulty == simulation.difficulty
    assert again.state() == state


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "give one of them"),
        ({"steps": 5, "success": 0.5}, "give one of them"),
        ({"steps": 0}, "steps is 0; allowed: from 1"),
        ({"success": 1.5}, "success is 1.5; allowed: 0 to 1"),
        ({"steps": 5, "start": -0.1}, "start is -0.1; allowed: 0 to 1"),
    ],
)
def test_bad_difficulties(options, match):
    with pytest.raises(UserError, match=match):
        Difficulty(Simulation(FOLLOWER, threads=1), **options)


def test_a_resumed_curriculum_equals_an_uninterrupted_one(tmp_path):
    whole, again = made(), made()
    raised = Difficulty(whole.env.simulation, steps=3000)
    learn(whole, tmp_path, 3000, callbacks=[raised], progress=False, checkpoint_every=1000)
    discard_after(tmp_path, 2000)
    restore(again, read_checkpoint(tmp_path, 2000))
    assert len(again.ep_success_buffer) == 40
    raised = Difficulty(again.env.simulation, steps=3000)
    learn(again, tmp_path, 3000, callbacks=[raised], progress=False)
    for ours, theirs in zip(again.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_pretraining_raises_it_where_its_recipe_says_so(tmp_path):
    options = {"num_envs": 16, "n_steps": 16, "batch_size": 64, "difficulty_steps": 2048}
    run = pretrain(
        FOLLOWER, "nominal", steps=1024, options=options, out=tmp_path / "run", progress=False
    )
    last = curve(run.path, "worlds/curriculum/difficulty")[-1]  # at the start of the last rollout
    assert last == pytest.approx((1024 - 256) / 2048)


def test_a_recipe_may_raise_it_by_success(tmp_path):
    options = {"num_envs": 64, "n_steps": 32, "batch_size": 64, "difficulty_success": 0.01}
    run = pretrain(
        FOLLOWER, "nominal", steps=12_288, options=options, out=tmp_path / "run", progress=False
    )
    values = np.array(curve(run.path, "worlds/curriculum/difficulty"))
    assert values[0] == 0.0
    assert 0.0 < values[-1] < 0.3  # 0.05 for 100 of its 250 episodes at most
    np.testing.assert_allclose(values / 0.05, np.rint(values / 0.05), atol=1e-5)
    with pytest.raises(UserError, match="difficulty_steps or difficulty_success, not both"):
        load_recipe("ppo", None, {"difficulty_steps": 1, "difficulty_success": 0.5})


def test_success_reaches_the_curves_and_stable_baselines3(tmp_path):
    algorithm = made()
    learn(algorithm, tmp_path, 2000, progress=False)
    rates = curve(tmp_path, "rollout/success_rate")
    assert len(algorithm.ep_success_buffer) == 40
    assert rates[-1] == pytest.approx(np.mean(algorithm.ep_success_buffer))


def test_rows_tell_success_where_the_task_does(tmp_path):
    rows = evaluate(Still(), FOLLOWER, "nominal", episodes=20, seed=1)
    assert {row.success for row in rows} == {True, False}
    rate = sum(bool(row.success) for row in rows) / 20
    assert success_rate(rows) == summary("nominal", rows)["success"] == rate
    assert rows == evaluate(Still(), FOLLOWER, "nominal", episodes=20, seed=1, num_envs=3)
    save_rows(tmp_path / "rows.jsonl", rows)
    assert load_rows(tmp_path / "rows.jsonl") == rows
    others = evaluate(Still(), SLIDER, "nominal", episodes=2)
    assert success_rate(others) is None
    assert "success" not in summary("nominal", others)
    old = (tmp_path / "rows.jsonl").read_text().replace(', "success": true', "")
    (tmp_path / "old.jsonl").write_text(old.replace(', "success": false', ""))
    assert success_rate(load_rows(tmp_path / "old.jsonl")) is None
