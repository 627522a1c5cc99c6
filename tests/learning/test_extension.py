"""A finished run that is extended equals a longer one, or says why it does not."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.extension import differences
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.load import CURVE
from sim2real.runs.run import Run, RunConfig
from sim2real.transfer.method import Method
from sim2real.transfer.methods.distill import Distill
from sim2real.transfer.resume import resume

PPO = {"num_envs": 4, "n_steps": 16, "net_arch": [8], "batch_size": 16, "n_epochs": 2}
SAC = {"num_envs": 4, "net_arch": [8], "batch_size": 16, "learning_starts": 32}


def pretrain(out: Path, steps: int, algorithm: str = "ppo", **options: Any) -> Run:
    small = (PPO if algorithm == "ppo" else SAC) | options
    return s2r.pretrain(
        "cartpole", algorithm=algorithm, steps=steps, options=small, out=out, progress=False
    )


def require_equal(extended: Run, longer: Run) -> None:
    """The weights, the training's tensors and what its callbacks remember, bit for bit."""
    assert extended.step == longer.step
    for part in ("policy", "training"):
        got, expected = getattr(extended.checkpoint, part), getattr(longer.checkpoint, part)
        assert got.keys() == expected.keys()
        assert [name for name in got if not torch.equal(got[name], expected[name])] == []
    assert extended.checkpoint.state["callbacks"] == longer.checkpoint.state["callbacks"]


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_extended_equals_longer(algorithm: str, tmp_path: Path) -> None:
    pretrain(tmp_path / "short", 256, algorithm)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extended = resume(tmp_path / "short", progress=False, steps=512)
    longer = pretrain(tmp_path / "long", 512, algorithm)
    assert extended.step == 512
    require_equal(extended, longer)
    assert extended.config.steps == 512
    assert extended.config.extended == (256,)
    assert s2r.load_run(tmp_path / "short", 256).step == 256  # what was finished is kept


ADR = {"name": "adr", "low": 5.0, "high": 10.0, "buffer": 1, "boundary_probability": 1.0}


@pytest.mark.slow
def test_an_adaptive_training_that_is_extended_equals_a_longer_one(tmp_path: Path) -> None:
    def adapt(out: Path, steps: int) -> Run:
        how: dict[str, Any] = {"options": PPO, "randomization": ADR, "progress": False}
        return s2r.pretrain("hopper", "randomized", steps=steps, out=out, **how)

    before = adapt(tmp_path / "short", 512).checkpoint.state["callbacks"]["ADR"]["method"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extended = resume(tmp_path / "short", progress=False, steps=1024)
    require_equal(extended, adapt(tmp_path / "long", 1024))
    after = extended.checkpoint.state["callbacks"]["ADR"]["method"]
    assert 0 < sum(before["moved"].values()) < sum(after["moved"].values())


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fine_tune", {"warm_up": 0.0}),
        pytest.param("freeze", {"warm_up": 0.0}, marks=pytest.mark.slow),
        pytest.param("scratch", {}, marks=pytest.mark.slow),
        ("distill", {"rollout": 16, "updates": 2, "batch_size": 16}),
    ],
)
def test_a_transfer_that_is_extended_equals_one_of_the_larger_budget(
    method: str, options: dict[str, Any], tmp_path: Path
) -> None:
    pretrain(tmp_path / "source", 64)

    def move(out: str, budget: int) -> Run:
        recipe = {"n_steps": 16, "batch_size": 16}
        how: dict[str, Any] = {"options": {**options, "recipe": recipe}, "num_envs": 4}
        return s2r.transfer(
            tmp_path / "source", "hard", method=method, budget=budget, out=tmp_path / out,
            progress=False, **how,
        )  # fmt: skip

    move("short", 128)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extended = resume(tmp_path / "short", progress=False, steps=256)
    require_equal(extended, move("long", 256))


def test_a_method_that_plans_by_its_budget_says_so(tmp_path: Path) -> None:
    """SAC from scratch begins with random actions for a 20th of its budget."""
    pretrain(tmp_path / "source", 64, "sac")
    recipe = {"batch_size": 16, "train_freq": 1, "gradient_steps": 1}
    s2r.transfer(
        tmp_path / "source", "hard", method="scratch", budget=64, out=tmp_path / "moved",
        options={"recipe": recipe}, num_envs=4, progress=False,
    )  # fmt: skip
    with pytest.warns(UserWarning, match="its method was prepared for a budget of 64 steps"):
        resume(tmp_path / "moved", progress=False, steps=128)


def test_differences_are_named(tmp_path: Path) -> None:
    course = {"initial_gamma": 0.9, "final_log_std": -1.0, "initial_ent_coef": 0.1}
    pretrain(tmp_path / "run", 256, lr_schedule="linear", **course)
    with pytest.warns(UserWarning, match="differs from a run of 400 steps from the start") as found:
        extended = resume(tmp_path / "run", progress=False, steps=400)
    assert extended.step == 400
    words = " ".join(str(one.message) for one in found)
    assert "its learning rate was to fall to 0 at 256 steps" in words
    assert "its discount was to rise until half of 256 steps" in words
    assert "its entropy bonus was to end its course at 256 steps" in words
    assert "its noise was to end its course at 256 steps" in words
    assert "its rollouts were cut to end at 256 steps" in words  # 7 of about 57 instead of 4 of 64


def test_cut_rollouts_are_noticed() -> None:
    def config(*steps: int) -> RunConfig:
        recipe = {"algorithm": "ppo", "num_envs": 4, "n_steps": 16}
        asked = {"task": "cartpole", "algorithm": "ppo", "domain": "nominal", "num_envs": 4}
        return RunConfig(**asked, recipe=recipe, steps=steps[-1], extended=steps[:-1])

    def found(*steps: int, method: Method | None = None, done: int | None = None) -> list[str]:
        *before, more = steps
        run = config(*before)
        recipe = run.parsed_recipe()
        learner = method.of_learner(recipe) if method else recipe
        return differences(run, learner, more, before[-1] if done is None else done)

    cut = ["its rollouts were cut to end at 240 steps"]
    assert found(256, 512) == []  # 4 rollouts of 16 steps, then 4 more
    assert found(240, 480) == []  # of 15 each, in both
    assert found(240, 512) == cut
    assert found(240, 600) == []
    assert found(240, 600, method=Distill(rollout=64)) == cut  # one of 60 instead of 3 of 50
    assert found(240, 512, method=Distill(rollout=12)) == []
    assert found(240, 512, 1024) == cut  # the first extension still shows
    assert found(256, 512, 1024) == []
    assert found(184, 512) == ["its rollouts were cut to end at 184 steps"]  # of 16, 15 and 15
    assert found(184, 512, done=64) == []  # interrupted after that of 16


def test_a_second_extension_names_what_differs_since_the_first(tmp_path: Path) -> None:
    """Rollouts that were cut for 240 steps, and a warm-up that was planned for them."""
    pretrain(tmp_path / "source", 64)
    s2r.transfer(
        tmp_path / "source", "hard", budget=240, out=tmp_path / "moved", num_envs=4,
        options={"recipe": {"n_steps": 16, "batch_size": 16}}, progress=False,
        method="fine_tune")  # fmt: skip
    for more in (512, 1024):
        with pytest.warns(UserWarning, match=f"of {more} steps") as found:
            resume(tmp_path / "moved", progress=False, steps=more)
        words = " ".join(str(one.message) for one in found)
        assert f"from a run of {more} steps from the start: its rollouts were cut" in words
        assert "its method was prepared for a budget of 240 steps" in words


def test_an_interrupted_run_that_is_extended_equals_a_longer_one(tmp_path: Path) -> None:
    """No rollout was cut yet for the 184 steps that it was asked for first."""
    run = pretrain(tmp_path / "short", 184)
    for step in checkpoints.steps(run.path):
        if step > 64:
            shutil.rmtree(run.path / "checkpoints" / f"{step:09d}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extended = resume(run.path, progress=False, steps=512)
    require_equal(extended, pretrain(tmp_path / "long", 512))


def test_fewer_steps_are_refused_and_as_many_are_made_already(tmp_path: Path) -> None:
    before = pretrain(tmp_path / "run", 256)
    for steps in (252, 1):
        refused = f"was asked for 256 steps already; allowed: as many or more, got {steps}"
        with pytest.raises(UserError, match=refused):
            resume(tmp_path / "run", progress=False, steps=steps)
    for steps in (256, 259):  # 4 worlds make no step more for 3 more
        require_equal(resume(tmp_path / "run", progress=False, steps=steps), before)
    assert s2r.load_run(tmp_path / "run").config == before.config


def test_an_extension_does_not_hide_an_edit(tmp_path: Path) -> None:
    pretrain(tmp_path / "run", 256)
    domains = tmp_path / "run" / "domains.yaml"
    domains.write_text(domains.read_text() + "# edited\n")
    edited = "edited since it was made: domains.yaml"
    with pytest.warns(UserWarning, match=edited):
        resume(tmp_path / "run", progress=False, steps=512)
    with pytest.warns(UserWarning, match=edited):
        s2r.load_run(tmp_path / "run")


def test_extended_transfer_charges_the_larger_budget(tmp_path: Path) -> None:
    pretrain(tmp_path / "source", 256)
    s2r.transfer(
        tmp_path / "source", "hard", budget=256, out=tmp_path / "moved", curve=1,
        curve_episodes=2, num_envs=4, progress=False,
        method="fine_tune")  # fmt: skip
    with pytest.warns(UserWarning, match="its method was prepared for a budget of 256 steps"):
        resume(tmp_path / "moved", progress=False, steps=512)
    used = read_json(tmp_path / "moved" / "report" / "budget.json")
    assert (used["budget"], used["used"]["steps"]) == (512, 512)
    rows = read_json(tmp_path / "moved" / CURVE)["rows"]
    assert [row["steps"] for row in rows] == [0, 256, 512]
