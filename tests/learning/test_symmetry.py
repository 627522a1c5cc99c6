"""Trainings with the mirror image of their rollouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sim2real.errors import UserError
from sim2real.learning.loop import learn
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore
from sim2real.runs.load import load_run
from sim2real.simulation.front_ends.vec_env import make_vec_env

SMALL = {"num_envs": 8, "n_steps": 16, "batch_size": 32, "net_arch": [6], "n_epochs": 2}
ROLLOUT = 8 * 16


@pytest.mark.parametrize(
    "options",
    [
        {"symmetry": "augment", "worst_share": 0.5, "worst_share_start": 0.4},
        {"symmetry": "loss", "lr_schedule": "kl"},
    ],
)
def test_a_resumed_training_equals_an_uninterrupted_one(
    options: dict[str, Any],
    short_cartpole: None,
    tmp_path: Path,
    curves: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = load_recipe("ppo", None, {**SMALL, **options})

    def made() -> Any:
        return build_algorithm(recipe, make_vec_env("cartpole", "randomized", 8), seed=0)

    whole, again = made(), made()
    learn(whole, tmp_path / "run", 12 * ROLLOUT, progress=False, checkpoint_every=ROLLOUT)
    expected = curves(tmp_path / "run")
    discard_after(tmp_path / "run", 10 * ROLLOUT)
    restore(again, read_checkpoint(tmp_path / "run", 10 * ROLLOUT))
    learn(again, tmp_path / "run", 12 * ROLLOUT, progress=False, checkpoint_every=ROLLOUT)
    for ours, theirs in zip(again.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert curves(tmp_path / "run") == expected
    assert "train/asymmetry" in expected
    assert ("worlds/worst_share/value" in expected) == ("worst_share" in options)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("hopper", {}, "task 'hopper' declares no mirror"),
        ("cartpole", {"privileged": True}, r"what the domain draws .* has no mirror image"),
    ],
)
def test_it_is_refused_before_a_run_begins(
    task: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    given = {"symmetry": "augment", **options}
    with pytest.raises(UserError, match=message):
        pretrain(task, "randomized", steps=1000, options=given, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_with_it_loads_and_has_a_critic_that_sees_more(tmp_path: Path) -> None:
    options = {**SMALL, "symmetry": "loss", "privileged": True, "history": 2}
    run = pretrain(
        "cartpole",
        "randomized",
        steps=ROLLOUT,
        options=options,
        out=tmp_path / "run",
        progress=False,
    )
    loaded = load_run(run.path)
    assert loaded.config.parsed_recipe().symmetry == "loss"  # type: ignore[union-attr]
    for ours, theirs in zip(loaded.policy.parameters(), run.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
