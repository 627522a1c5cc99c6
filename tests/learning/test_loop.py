from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.errors import UserError
from sim2real.learning.callbacks import rollout_length
from sim2real.learning.loop import learn, whole
from sim2real.policies.normalizer import normalizers
from sim2real.runs.checkpoint import read_checkpoint, steps


class Watch(BaseCallback):
    """Note the normalizer's mean, and how many steps the rollouts have."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[torch.Tensor] = []
        self.ended: list[torch.Tensor] = []
        self.lengths: list[int] = []

    def _mean(self) -> torch.Tensor:
        return normalizers(self.model.policy)[0].running_mean.clone()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.started.append(self._mean())
        self._first = self.model.num_timesteps

    def _on_rollout_end(self) -> None:
        self.ended.append(self._mean())
        self.lengths.append(self.model.num_timesteps - self._first)


def test_statistics_stand_still_within_a_rollout(build: Any, tmp_path: Path) -> None:
    watch = Watch()
    learn(build("ppo"), tmp_path, 640, callbacks=[watch], progress=False)
    for before, after in zip(watch.started, watch.ended, strict=True):
        assert torch.equal(before, after)
    moved = [not torch.equal(a, b) for a, b in zip(watch.ended, watch.started[1:], strict=False)]
    assert all(moved)


def test_first_update_of_ppo_has_ratio_one(build: Any, tmp_path: Path) -> None:
    """With one epoch and one batch the policy that acted is the one updated: KL is 0."""
    algorithm = build("ppo", n_epochs=1, batch_size=128)
    algorithm.learn(128 * 3)  # SB3's own loop leaves the statistics alone
    kl: list[float] = []

    class Kl(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            value = self.logger.name_to_value.get("train/approx_kl")
            if value is not None:
                kl.append(float(value))

    learn(algorithm, tmp_path, 128 * 8, callbacks=[Kl()], progress=False)
    assert len(kl) == 4
    assert max(kl) < 1e-6


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_steps_are_never_exceeded(name: str, build: Any, tmp_path: Path) -> None:
    watch, algorithm = Watch(), build(name)
    learn(algorithm, tmp_path, 1003, callbacks=[watch], progress=False)
    assert algorithm.num_timesteps == 1000 == sum(watch.lengths)  # 8 worlds
    assert max(watch.lengths) - min(watch.lengths) <= 8
    assert steps(tmp_path)[-1] == 1000
    assert algorithm.n_steps == (16 if name == "ppo" else 1)  # as it was


@pytest.mark.parametrize("longest", [1, 7, 64])
def test_rollout_lengths_fill_any_budget(longest: int) -> None:
    for budget in range(1, 300):
        remaining, lengths = budget, []
        while remaining:
            lengths.append(rollout_length(remaining, longest))
            remaining -= lengths[-1]
        assert sum(lengths) == budget
        assert max(lengths) <= longest
        assert max(lengths) - min(lengths) <= 1


def test_learning_is_the_same_twice_and_differs_by_seed(build: Any, tmp_path: Path) -> None:
    weights = []
    for i, seed in enumerate((0, 0, 1)):
        algorithm = build("ppo", seed=seed)
        learn(algorithm, tmp_path / str(i), 512, progress=False)
        weights.append(torch.cat([one.flatten() for one in algorithm.policy.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("name", "steps_", "options"),
    [
        ("ppo", 12_000, {"gamma": 0.0, "batch_size": 64, "n_epochs": 8, "net_arch": [16]}),
        *(  # SAC finds it in test_privileged.py, too
            pytest.param(
                *(name, 4_000, {"gamma": 0.0, "net_arch": [32], "learning_rate": 3e-3}),
                marks=pytest.mark.slow,
            )
            for name in ("sac", "td3")
        ),
    ],
)
def test_the_optimum_of_the_toy_is_learned(
    name: str, steps_: int, options: dict[str, Any], build: Any, toy: Any, tmp_path: Path
) -> None:
    algorithm = build(name, **options)
    learn(algorithm, tmp_path, steps_, progress=False)
    x = np.linspace(-0.9, 0.9, 19)
    actions, _ = algorithm.predict(np.stack([x, 3 * x + 5], axis=1), deterministic=True)
    assert toy.EPISODE * (1 - np.mean((actions[:, 0] - x) ** 2)) > 0.98 * toy.BEST


def test_checkpoints_come_on_time_and_hold_what_acts(build: Any, tmp_path: Path) -> None:
    algorithm = build("ppo")
    learn(algorithm, tmp_path, 1280, checkpoint_every=300, progress=False)
    assert steps(tmp_path) == [0, 384, 640, 1024, 1280]  # rollouts of 128
    saved = read_checkpoint(tmp_path).policy
    for name, tensor in algorithm.policy.state_dict().items():
        assert torch.equal(saved[name], tensor)


def test_nothing_is_left_to_do(build: Any, tmp_path: Path) -> None:
    algorithm = build("ppo")
    learn(algorithm, tmp_path, 256, progress=False)
    before = sorted(tmp_path.glob("events.out.*"))
    learn(algorithm, tmp_path, 256, progress=False)
    assert algorithm.num_timesteps == 256
    assert sorted(tmp_path.glob("events.out.*")) == before


@pytest.mark.parametrize("bad", [0, -5, 63, 1.5, True, "many"])
def test_bad_steps(bad: Any) -> None:
    with pytest.raises(UserError, match="at least one step of the 64 worlds"):
        whole(bad, 64)


def test_torch_threads_are_put_back(build: Any, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    learn(build("ppo"), tmp_path, 128, progress=False)
    assert torch.get_num_threads() == before
