"""Worlds of the source beside those of the target: one VecEnv, exact budgets, the same result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.runs.run import Run
from sim2real.runs.state import capture_worlds, restore_worlds
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS, check_method
from sim2real.transfer.side_by_side import SideBySide


def parts() -> tuple[SimVecEnv, SimVecEnv]:
    domains = (("nominal", 2), ("hard", 3))
    return tuple(SimVecEnv(Simulation("cartpole", name, n, seed=n)) for name, n in domains)  # type: ignore[return-value]


def test_it_gives_what_its_parts_give() -> None:
    env, (first, second) = SideBySide(*parts()), parts()
    assert env.num_envs == 5
    np.testing.assert_array_equal(env.reset(), np.concatenate([first.reset(), second.reset()]))
    actions = np.random.default_rng(0).uniform(-1, 1, (20, 5, 1))
    for action in actions:
        both, left, right = env.step(action), first.step(action[:2]), second.step(action[2:])
        for column in range(3):
            np.testing.assert_array_equal(
                both[column], np.concatenate([left[column], right[column]])
            )
        assert len(both[3]) == 5
    assert env.get_attr("dt", [4]) == second.get_attr("dt", [2])
    for change in (lambda: env.set_attr("dt", 1.0), lambda: env.env_method("close")):
        with pytest.raises(UserError, match="side by side"):
            change()


def test_its_worlds_continue_from_a_captured_state() -> None:
    env, again = SideBySide(*parts()), SideBySide(*parts())
    env.reset()
    again.reset()
    action = np.full((5, 1), 0.5)
    for _ in range(7):
        env.step(action)
    restore_worlds(again, *capture_worlds(env))
    for ours, theirs in zip(env.step(action)[:3], again.step(action)[:3], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_checks_of_a_method_pass_with_worlds_of_the_source() -> None:
    found = list(check_method("fine_tune", 200, {"source_worlds": 3, "verification": 0.2}))
    assert all(one.passed for one in found), [one for one in found if not one.passed]


@pytest.fixture
def source(short_cartpole: None, tmp_path: Path) -> Run:
    return pretrain(
        "cartpole",
        steps=160,
        num_envs=WORLDS,
        options={"net_arch": [4], **SOURCE["ppo"]},
        out=tmp_path / "source",
        progress=False,
    )


def move(source: Run, method: str, domain: str, out: Path, **options: Any) -> Run:
    given = {"recipe": TARGET["ppo"], **options}
    asked: dict[str, Any] = {"budget": 150, "num_envs": WORLDS, "out": out, "progress": False}
    return transfer(source, domain, method=method, options=given, **asked)


@pytest.mark.parametrize("method", ["fine_tune", "freeze", "adapter"])
def test_only_steps_of_the_target_are_charged(method: str, source: Run, tmp_path: Path) -> None:
    run = move(source, method, "hard", tmp_path / "run", source_worlds=6)
    ledger = read_json(run.path / "report/budget.json")
    assert ledger["used"]["steps"] == 150 // WORLDS * WORLDS
    assert ledger["source_steps"] == 150 // WORLDS * 6
    rows = read_json(run.path / "report/manifest.json")["tensors"]
    frozen = {
        row["action"] for row in rows if row["tensor"].startswith("mlp_extractor.policy_net.0")
    }
    assert ("frozen" in frozen) == (method != "fine_tune")


def test_what_cannot_be_mixed_is_refused(source: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'randomized' is the target"):
        move(source, "fine_tune", "randomized", tmp_path / "run", source_worlds=2)
    with pytest.raises(UserError, match="darc has source_ratio for that; allowed: 0"):
        move(source, "darc", "hard", tmp_path / "run", source_worlds=2)
    assert not (tmp_path / "run").exists()
