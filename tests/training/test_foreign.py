from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import PPO, SAC, TD3
from stable_baselines3.common.save_util import data_to_json

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.registry import load_task
from sim2real.simulation import ActionMap, Simulation
from sim2real.training.foreign import load_foreign
from sim2real.training.recipe import build_offline, load_recipe

CLASSES: dict[str, Any] = {"ppo": PPO, "sac": SAC, "td3": TD3}


def saved(path: Path, algorithm: str, **policy: Any) -> Any:
    """A stranger's model of gymnasium's Hopper-v5, saved by SB3."""
    options: dict[str, Any] = {} if algorithm == "ppo" else {"buffer_size": 10}
    env = gymnasium.make("Hopper-v5")
    model = CLASSES[algorithm]("MlpPolicy", env, policy_kwargs=policy, device="cpu", **options)
    model.save(path)
    return model


@pytest.mark.parametrize("algorithm", CLASSES)
@pytest.mark.parametrize("layers", [[], [24], [20, 10, 5]])
@pytest.mark.parametrize("named", ["usual", "elu"])
def test_policy_acts_as_it_did(
    algorithm: str, layers: list[int], named: str, tmp_path: Path
) -> None:
    if not layers:
        options: dict[str, Any] = {}
    else:
        second = "vf" if algorithm == "ppo" else "qf"
        options = {"net_arch": {"pi": layers, second: [7, 3]}}
    if named == "elu":
        options["activation_fn"] = torch.nn.ELU
    model = saved(tmp_path / "model.zip", algorithm, **options)
    policy = load_foreign(tmp_path / "model.zip", load_task("hopper"))
    observations = np.random.default_rng(0).normal(size=(50, 11))
    expected, _ = model.predict(observations, deterministic=True)
    got, _ = policy.predict(observations, deterministic=True)
    np.testing.assert_array_equal(got, expected)
    assert not policy.training


@pytest.mark.parametrize("algorithm", CLASSES)
@pytest.mark.parametrize("rescaled", [False, True])
def test_policy_acts_in_the_range_that_it_was_trained_in(
    algorithm: str, rescaled: bool, tmp_path: Path
) -> None:
    """InvertedPendulum takes -3 to 3; PPO clips there, SAC and TD3 scale to it."""
    options: dict[str, Any] = {} if algorithm == "ppo" else {"buffer_size": 10}
    env: Any = gymnasium.make("InvertedPendulum-v5")
    if rescaled:
        env = gymnasium.wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    model = CLASSES[algorithm]("MlpPolicy", env, device="cpu", **options)
    model.save(tmp_path / "model.zip")
    task = load_task("inverted_pendulum")
    policy = load_foreign(tmp_path / "model.zip", task)
    assert policy.action_space == model.action_space
    assert policy.action_map == (ActionMap((-3.0,), (3.0,)) if rescaled else None)  # type: ignore[comparison-overlap]
    (row,) = evaluate(policy, task, "nominal", episodes=1)
    simulation = Simulation(task)
    observation, total = simulation.reset(episodes=[0]), 0.0
    for _ in range(row.length):
        action, _ = model.predict(np.repeat(observation, 8, axis=0), deterministic=True)
        transition = simulation.advance(action[:1] * (3 if rescaled else 1))
        observation, total = transition.observation, total + float(transition.reward[0])
    assert transition.terminated[0]
    assert total == row.total


def test_a_policy_of_another_range_is_refused(tmp_path: Path) -> None:
    env = gymnasium.wrappers.RescaleAction(
        gymnasium.make("Hopper-v5"), np.float32(-2), np.float32(2)
    )
    PPO("MlpPolicy", env, device="cpu").save(tmp_path / "wide.zip")
    with pytest.raises(
        UserError, match=r"wide.zip: the policy acts in \[-2, 2\]; allowed: the range"
    ):
        load_foreign(tmp_path / "wide.zip", load_task("hopper"))


def test_own_policy_saved_by_sb3_keeps_its_statistics(tmp_path: Path) -> None:
    simulation = Simulation("hopper")
    spaces = simulation.observation_space, simulation.action_space
    algorithm = build_offline(load_recipe("ppo"), *spaces)
    algorithm.policy.features_extractor.normalizer.running_mean.fill_(3.0)  # type: ignore[union-attr]
    algorithm.save(tmp_path / "own.zip")
    policy = load_foreign(tmp_path / "own.zip", load_task("hopper"), "ppo", activation="tanh")
    assert policy.features_extractor.normalizer.running_mean[0] == 3.0  # type: ignore[union-attr]


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.marker}",)


def test_code_in_the_zip_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "model.zip"
    saved(path, "ppo")
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["data"] = data_to_json({"policy_class": Bomb(marker)}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(KeyError, match="action_space"):  # the bomb is live: SB3 itself sets it off
        PPO.load(path)
    assert marker.exists()
    marker.unlink()

    load_foreign(path, load_task("hopper"))
    assert not marker.exists()


def test_code_in_the_weights_does_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "executed", tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("policy.pth", cloudpickle.dumps(Bomb(marker)))
    with pytest.raises(UserError, match="is not a whole stable-baselines3 zip"):
        load_foreign(path, load_task("hopper"))
    torch.save(Bomb(marker), tmp_path / "policy.pth")
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "policy.pth", "policy.pth")
    with pytest.raises(UserError, match="is not a whole stable-baselines3 zip"):
        load_foreign(path, load_task("hopper"))
    assert not marker.exists()


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_truncated_zip(part: float, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    saved(path, "ppo")
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match="is not a whole stable-baselines3 zip") as raised:
        load_foreign(path, load_task("hopper"))
    assert "\n" not in str(raised.value)


def test_other_bad_input(tmp_path: Path) -> None:
    path, hopper = tmp_path / "model.zip", load_task("hopper")
    with pytest.raises(UserError, match="does not exist"):
        load_foreign(path, hopper)
    saved(path, "sac", net_arch=[8])
    with pytest.raises(UserError, match="holds a policy of sac, not of td3"):
        load_foreign(path, hopper, "td3")
    with pytest.raises(UserError, match="unknown algorithm 'sacc'; did you mean 'sac'"):
        load_foreign(path, hopper, "sacc")
    with pytest.raises(UserError, match="unknown activation 'sin'"):
        load_foreign(path, hopper, activation="sin")
    needed = "has 11 observations and 3 actions, needed are 17 and 6"
    with pytest.raises(UserError, match=needed):
        load_foreign(path, load_task("half_cheetah"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", "{}")
    with pytest.raises(UserError, match="holds no weights of a policy"):
        load_foreign(path, hopper)
