"""SAC with normalized critics and a delayed actor: resumed, transferred."""

from __future__ import annotations

from pathlib import Path

import pytest
from resumed import assert_resumed_equals

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.pretrain import pretrain
from sim2real.policies.recipe import load_recipe
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer


def train(out: Path, variant: str) -> Run:
    small = {"net_arch": [6, 5], "critic_net_arch": [7], "learning_starts": 40, "batch_size": 16}
    rounds = {"train_freq": 4, "gradient_steps": 5, "buffer_size": 1_000, "n_step": 3}
    return pretrain(
        "cartpole",
        "randomized",
        algorithm="sac",
        steps=320,
        num_envs=4,
        out=out,
        options={"variant": variant, **small, **rounds},
        checkpoint_every=160,
        progress=False,
    )


@pytest.mark.parametrize("variant", ["crossq", pytest.param("low_replay", marks=pytest.mark.slow)])
def test_a_resumed_run_equals_an_uninterrupted_one(variant: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", variant)
    assert_resumed_equals(whole, tmp_path / "parts", kept=2)


def test_it_is_transferred_with_its_critics(tmp_path: Path) -> None:
    source = train(tmp_path / "source", "crossq")
    moved = transfer(
        source, "hard", budget=64, num_envs=4, method="freeze", out=tmp_path / "run", progress=False
    )
    assert moved.config.parsed_recipe().model_dump()["critic_norm"] == "batch"
    assert "critic.qf0.1.running_var" in moved.checkpoint.policy
    assert len(evaluate(load_run(moved.path).policy, "cartpole", "hard", episodes=2)) == 2


def test_several_variants_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'crossq'"):
        load_recipe("sac", overrides={"variant": ["crossq"]})
