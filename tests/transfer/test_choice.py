"""The method that is chosen where none is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import sim2real as s2r
from sim2real.files import read_json
from sim2real.transfer import choice
from sim2real.transfer.choice import choose
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS
from sim2real.transfer.find import load_method


@pytest.mark.parametrize(
    ("budget", "source_steps", "given", "method"),
    [
        (2_000, 5_000_000, {}, "identify"),
        (2_500_000, 5_000_000, {}, "retrain"),
        (2_500_000, 5_000_000, {"reward": False}, "identify"),
        (2_500_000, None, {}, "identify"),
        (2_500_000, 5_000_000, {"log": "robot.log"}, "identify"),
        (2_000, 5_000_000, {"match": "by_name"}, "fine_tune"),
        (2_000, 5_000_000, {"match": "by_name", "reward": False}, "statistics"),
    ],
)
def test_the_choice_follows_budget_and_reward(
    budget: int, source_steps: int | None, given: dict[str, Any], method: str
) -> None:
    found = choose(budget, source_steps, given)
    assert found.method == method
    assert load_method(found.method, given).name == method


@pytest.mark.parametrize(("reward", "context"), [(True, "searched"), (False, "identified")])
def test_a_policy_that_acts_on_the_context_gets_one(reward: bool, context: str) -> None:
    found = choose(2_000, 5_000_000, {"reward": reward}, acts_on_context=True)
    assert (found.method, found.options) == ("universal", {"context": context})
    load_method(found.method, {**found.options, "reward": reward})


@pytest.mark.usefixtures("short_cartpole")
def test_a_transfer_without_a_method_writes_why_it_chose_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = {"net_arch": [4], **SOURCE["ppo"]}
    source = s2r.pretrain(
        "cartpole",
        steps=160,
        num_envs=WORLDS,
        options=small,
        out=tmp_path / "source",
        progress=False,
    )
    run = s2r.transfer(
        source,
        "hard",
        budget=200,
        num_envs=WORLDS,
        options={"recipe": TARGET["ppo"]},
        out=tmp_path / "run",
    )
    found = read_json(run.path / choice.REPORT)
    assert found["method"] == run.config.method["name"] == "retrain"  # type: ignore[index]
    assert f"method retrain: {found['reason']}" in capsys.readouterr().err
