"""Augmentation: the scales of the samples, and what they make a policy insensitive to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sim2real.errors import UserError
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.transfer.anchor import Anchor
from sim2real.transfer.api import transfer
from sim2real.transfer.augmentation import Augmentation, in_scales
from sim2real.transfer.conformance import METHOD_CHECKS, Trial
from tests.training_fixtures import SMALL

COUNT = 50_000


def test_the_scales_are_uniform_and_one_a_sample() -> None:
    torch.manual_seed(0)
    ones = torch.ones(COUNT, 3)
    found = in_scales(
        ReplayBufferSamples(ones, ones[:, :1], 2 * ones, ones[:, :1], ones[:, :1]), 0.3
    )
    scales = found.observations[:, 0]
    assert torch.equal(found.observations, scales[:, None].expand(-1, 3))
    assert torch.equal(found.next_observations, 2 * found.observations)
    assert 0.7 <= float(scales.min()) < 0.71
    assert 1.29 < float(scales.max()) <= 1.3
    assert float(scales.mean()) == pytest.approx(1.0, abs=0.003)
    assert float(scales.var()) == pytest.approx(0.3**2 / 3, rel=0.02)
    assert torch.equal(found.actions, ones[:, :1])


@pytest.mark.parametrize("with_anchor", [False, True])
def test_the_algorithm_draws_scaled_samples_while_it_learns(with_anchor: bool, toy: Any) -> None:
    """Of a toy that shows (x, 3 x + 5) unscaled samples lie on that line, scaled ones do not."""
    recipe = load_recipe("sac", None, SMALL["sac"])
    learner: Any = build_algorithm(recipe, toy.ToyVecEnv(recipe.num_envs), 0)
    drawn = []

    class Watching(Augmentation):
        def _on_training_start(self) -> None:
            super()._on_training_start()
            drawn.append(self.model.replay_buffer.sample)  # type: ignore[attr-defined]

    callbacks: list[Any] = [Watching(0.2)]
    if with_anchor:
        callbacks.append(Anchor(learner.policy, 1.0, "actions", 256))
    learner.learn(256, callback=callbacks)

    def off_the_line(samples: ReplayBufferSamples) -> float:
        seen = samples.observations
        return float((seen[:, 1] - 3 * seen[:, 0] - 5).abs().max())

    assert off_the_line(drawn[0](64)) > 0.1
    assert off_the_line(learner.replay_buffer.sample(64)) < 1e-5


@pytest.mark.usefixtures("short_cartpole")
def test_the_checks_of_a_method_pass(tmp_path: Path) -> None:
    trial = Trial("fine_tune", "td3", tmp_path, 150, {"augmentation": 0.2})
    for check in METHOD_CHECKS.values():
        check(trial)


def test_ppo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"augmentation: PPO compares .*; allowed: sac, td3"):
        transfer(
            "pretrained:cartpole",
            "hard",
            budget=100,
            method="fine_tune",
            num_envs=4,
            out=tmp_path / "run",
            options={"augmentation": 0.1},
            progress=False,
        )
    assert not (tmp_path / "run").exists()
