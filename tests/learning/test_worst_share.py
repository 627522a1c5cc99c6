"""Learning from the worlds of the lowest returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.errors import UserError
from sim2real.learning.extension import differences
from sim2real.learning.loop import learn
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import load_method

WEIGHING = str(Path(__file__).parents[1] / "robots" / "weighing.py")
SMALL = {"num_envs": 32, "n_steps": 20, "batch_size": 160, "net_arch": [4], "n_epochs": 2}
ROLLOUT = 32 * 20


def made(**options: Any) -> Any:
    recipe = load_recipe("ppo", None, {**SMALL, **options})
    return build_algorithm(recipe, make_vec_env(WEIGHING, "drawn", recipe.num_envs), seed=0)


@pytest.mark.parametrize(("share", "best"), [(1.0, 0.5), (0.25, 0.125)])
def test_it_finds_what_is_best_in_the_worst_worlds(
    share: float, best: float, tmp_path: Path
) -> None:
    """The mean of (a - c)^2 is least at 1/2; below the quantile q, c is uniform: at q / 2."""
    fast = {"learning_rate": 0.01, "log_std_init": -1.0, "target_kl": None}
    algorithm = made(worst_share=share, worst_share_start=0.0, **fast)
    learn(algorithm, tmp_path, 80 * ROLLOUT, progress=False)
    action, _ = algorithm.predict(np.zeros((1, 1)), deterministic=True)
    assert action == pytest.approx(best, abs=0.08)


class Contexts(BaseCallback):
    """The context of every step of the last rollout, (steps, worlds), in order."""

    def _on_rollout_start(self) -> None:
        self.rows = [self.model.env.simulation.context[:, 0].copy()]

    def _on_step(self) -> bool:
        self.rows.append(self.model.env.simulation.context[:, 0].copy())
        return True


def test_it_selects_the_lightest_masses_after_its_start(tmp_path: Path) -> None:
    algorithm, contexts = made(worst_share=0.25, worst_share_start=0.4), Contexts()
    learn(algorithm, tmp_path, 3 * ROLLOUT, callbacks=[contexts], progress=False)
    selected, masses = algorithm.rollout_buffer.selected, np.array(contexts.rows[:-1])
    assert selected.mean() == 0.25
    assert masses[selected].max() <= masses[~selected].min()


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path, curves: Any) -> None:
    options = {"worst_share": 0.25, "worst_share_start": 0.25}
    whole, again = made(**options), made(**options)
    learn(whole, tmp_path / "run", 6 * ROLLOUT, progress=False, checkpoint_every=ROLLOUT)
    expected = curves(tmp_path / "run")
    discard_after(tmp_path / "run", 3 * ROLLOUT)
    restore(again, read_checkpoint(tmp_path / "run", 3 * ROLLOUT))
    learn(again, tmp_path / "run", 6 * ROLLOUT, progress=False, checkpoint_every=ROLLOUT)
    for ours, theirs in zip(again.policy.parameters(), whole.policy.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert curves(tmp_path / "run") == expected
    steps, values = zip(*expected["worlds/worst_share/explained"], strict=True)
    assert (steps[0], steps[-1]) == (2 * ROLLOUT, 6 * ROLLOUT)
    assert min(values) > 0.9


@pytest.mark.parametrize("domain", ["nominal", "heavy"])
def test_worlds_that_are_all_alike_are_refused_before_a_run_begins(
    domain: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"worst_share needs a domain that draws .* '{domain}'"):
        pretrain(WEIGHING, domain, steps=100, options={"worst_share": 0.5}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_worlds_of_which_nothing_is_known_are_refused(build: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="worst_share needs an environment of make_vec_env"):
        learn(build("ppo", worst_share=0.5), tmp_path, 128, progress=False)


def test_a_transfer_learns_from_every_world() -> None:
    source = load_recipe("ppo", None, {"worst_share": 0.25})
    assert load_method("fine_tune").target_recipe(source, Budget(1000)).worst_share == 1.0
    assert load_method("identify").target_recipe(source, Budget(1000)).worst_share == 1.0
    with pytest.raises(UserError, match="worst_share is of a pretraining"):
        load_method("fine_tune", {"recipe": {"worst_share": 0.5}})


def test_a_start_that_moves_with_the_length_is_told(tmp_path: Path) -> None:
    options = {"worst_share": 0.5, "worst_share_start": 0.5, **SMALL}
    run = pretrain(
        WEIGHING, "drawn", steps=ROLLOUT, options=options, out=tmp_path / "run", progress=False
    )
    config, recipe = run.config, run.config.parsed_recipe()
    (told,) = differences(config, recipe, 2 * ROLLOUT, ROLLOUT)
    assert told == "its worst share was to begin at 0.5 of 640 steps"
    late = recipe.model_copy(update={"worst_share_start": 0.0})
    assert differences(config, late, 2 * ROLLOUT, ROLLOUT) == []
