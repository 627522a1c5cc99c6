from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from sim2real.learning.loop import learn
from sim2real.learning.tensorboard import VARIED, hyperparameters, make_logger
from sim2real.runs.checkpoint import restore_last
from sim2real.runs.run import RunConfig


def events_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), {"scalars": 0, "histograms": 0})
    events.Reload()
    return events


@pytest.mark.parametrize("name", ["ppo", "sac", "td3"])
def test_what_is_logged(name: str, build: Any, tmp_path: Path) -> None:
    learn(build(name), tmp_path, 1200, progress=False)
    events = events_of(tmp_path)
    scalars = set(events.Tags()["scalars"])
    assert {
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "rollout/failure_rate",
        "worlds/unstable_episodes",
        "rollout/reward/alive",
        "rollout/reward/error",
        "time/fps",
        "train/policy_gradient_loss" if name == "ppo" else "train/actor_loss",
    } <= scalars
    assert events.Tags()["histograms"] == ["worlds/context/mass"]
    steps = [event.step for event in events.Scalars("rollout/ep_rew_mean")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 1200
    last = {tag: events.Scalars(tag)[-1].value for tag in scalars}
    assert last["rollout/ep_len_mean"] == 10.0
    assert last["rollout/reward/alive"] == 10.0
    assert last["rollout/ep_rew_mean"] == pytest.approx(
        10.0 + last["rollout/reward/error"], rel=1e-5
    )
    assert last["time/fps"] > 0


def test_an_older_run_continues_in_its_folder_of_events(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 1024, progress=False)
    older = tmp_path / "tensorboard"
    older.mkdir()
    for file in tmp_path.glob("events.out.*"):
        file.rename(older / file.name)

    resumed = build("ppo", seed=7)
    restore_last(tmp_path, resumed)
    learn(resumed, tmp_path, 2048, progress=False)
    assert not list(tmp_path.glob("events.out.*"))
    steps = [event.step for event in events_of(older).Scalars("rollout/ep_rew_mean")]
    assert steps == sorted(set(steps))
    assert steps[0] <= 1024
    assert steps[-1] == 2048


def test_a_new_file_of_events_sorts_behind_one_of_the_same_second(tmp_path: Path) -> None:
    first = tmp_path / f"events.out.tfevents.{int(time.time()):010d}.zzz"
    first.touch()
    _, writer = make_logger(tmp_path, 1)
    writer.close()
    assert sorted(tmp_path.iterdir())[0] == first


def test_unstable_episodes_are_counted_from_the_start(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 8000, progress=False)
    counts = [event.value for event in events_of(tmp_path).Scalars("worlds/unstable_episodes")]
    assert counts == sorted(counts)
    assert 20 < counts[-1] < 60  # 800 episodes, of which x > 0.9, one in twenty


def test_histograms_hold_each_draw_once(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 1600, progress=False)
    histograms = [
        event.histogram_value for event in events_of(tmp_path).Histograms("worlds/context/mass")
    ]
    assert sum(histogram.num for histogram in histograms) == 160  # episodes of 10 steps
    assert min(histogram.min for histogram in histograms) >= -1.0


def test_hyperparameters_of_a_pretraining_and_of_a_transfer() -> None:
    asked = {"task": "task.py:Task", "algorithm": "ppo", "recipe": {"gamma": 0.9}, "num_envs": 4}
    asked |= {"domain": "wide", "target": "hard", "steps": 64, "seed": 3}
    pretraining = RunConfig(**asked, randomization={"name": "adr"})
    found = hyperparameters(pretraining, "Task", "pretrain", "wide")
    assert found["gamma"] == 0.9
    values = ["Task", "ppo", "pretrain", "wide", "hard", "adr", 64, 3]
    assert [found[name] for name in VARIED] == values

    transfer = RunConfig(**{**asked, "target": None}, method={"name": "freeze"}, kind="transfer")
    found = hyperparameters(transfer, "Task", "freeze", "narrow")
    assert (found["method"], found["source"], found["target"]) == ("freeze", "narrow", "wide")
    assert found["randomization"] == "uniform"


def test_hyperparameters_are_declared_at_the_start(build: Any, tmp_path: Path) -> None:
    values = {"learning_rate": 1e-3, "net_arch": [8], "target_kl": None, "normalize": True}
    values["seed"] = 3
    learn(build("ppo"), tmp_path, 128, progress=False, hyperparameters=values)
    metadata = events_of(tmp_path).summary_metadata
    content = metadata["_hparams_/session_start_info"].plugin_data.content
    started = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert set(started.hparams) == set(values)
    assert started.hparams["learning_rate"].number_value == 1e-3
    assert started.hparams["net_arch"].string_value == "[8]"
    assert started.hparams["normalize"].bool_value is True
    content = metadata["_hparams_/experiment"].plugin_data.content
    experiment = plugin_data_pb2.HParamsPluginData.FromString(content).experiment
    assert [one.name for one in experiment.hparam_infos if one.differs] == ["seed"]
    metrics = [one.name.tag for one in experiment.metric_infos]
    assert metrics[:3] == ["rollout/gap", "source/mean_reward", "target/mean_reward"]
