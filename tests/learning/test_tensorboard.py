from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from sim2real.learning.loop import learn


def events_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), {"scalars": 0, "histograms": 0})
    events.Reload()
    return events


@pytest.mark.parametrize("name", ["ppo", "sac", "td3"])
def test_what_is_logged(name: str, build: Any, tmp_path: Path) -> None:
    learn(build(name), tmp_path, 3000, progress=False)
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
    assert steps[-1] == 3000
    last = {tag: events.Scalars(tag)[-1].value for tag in scalars}
    assert last["rollout/ep_len_mean"] == 10.0
    assert last["rollout/reward/alive"] == 10.0
    assert last["rollout/ep_rew_mean"] == pytest.approx(
        10.0 + last["rollout/reward/error"], rel=1e-5
    )
    assert last["time/fps"] > 0


def test_unstable_episodes_are_counted_from_the_start(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 8000, progress=False)
    counts = [event.value for event in events_of(tmp_path).Scalars("worlds/unstable_episodes")]
    assert counts == sorted(counts)
    assert 20 < counts[-1] < 60  # 800 episodes, of which x > 0.9, one in twenty


def test_histograms_hold_each_draw_once(build: Any, tmp_path: Path) -> None:
    learn(build("ppo"), tmp_path, 8000, progress=False)
    histograms = [
        event.histogram_value for event in events_of(tmp_path).Histograms("worlds/context/mass")
    ]
    assert sum(histogram.num for histogram in histograms) == 800  # episodes of 10 steps
    assert min(histogram.min for histogram in histograms) >= -1.0


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
