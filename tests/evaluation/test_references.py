from __future__ import annotations

from pathlib import Path

import gymnasium.spaces
import numpy as np
import pytest

from sim2real.domains import load_domain
from sim2real.evaluation.references import (
    References,
    UniformPolicy,
    cache_folder,
    cached,
    keep_references,
    known_references,
    random_rows,
)
from sim2real.evaluation.rollout import returns
from sim2real.evaluation.statistics import Estimate
from sim2real.registry import load_task


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_uniform_actions_fill_the_action_space() -> None:
    space = gymnasium.spaces.Box(np.array([-3, 0], np.float32), np.array([1, 2], np.float32))
    policy = UniformPolicy(space, np.random.default_rng(0))
    actions, state = policy.predict(np.zeros((10_000, 4)))
    assert state is None
    assert actions.shape == (10_000, 2)
    # of a uniform on [a, b]: mean (a + b) / 2, variance (b - a)^2 / 12
    np.testing.assert_allclose(actions.mean(axis=0), [-1, 1], atol=0.05)
    np.testing.assert_allclose(actions.var(axis=0), [16 / 12, 4 / 12], rtol=0.05)
    assert all(space.contains(action) for action in actions[:100])


def test_random_rows_come_from_the_cache_the_second_time(cache: Path) -> None:
    first = random_rows("inverted_pendulum", "hard", episodes=4)
    (entry,) = (cache / "random").iterdir()
    written = (entry / "rows.jsonl").stat().st_mtime_ns
    assert random_rows("inverted_pendulum", "hard", episodes=4) == first
    assert (entry / "rows.jsonl").stat().st_mtime_ns == written
    assert len(set(returns(first))) > 1
    same = load_domain("inverted_pendulum", "hard").model_copy(update={"name": "other"})
    other = random_rows("inverted_pendulum", same, episodes=4)
    assert {row.domain for row in other} == {"other"}  # the same entry, under its own name
    assert [row.total for row in other] == [row.total for row in first]
    random_rows("inverted_pendulum", "hard", episodes=5)
    assert len(list((cache / "random").iterdir())) == 2


def test_an_entry_that_fails_is_not_there(cache: Path) -> None:
    def make(folder: Path) -> None:
        (folder / "half").write_text("...")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        cached("oracle", "abc", make)
    assert list((cache / "oracle").iterdir()) == []


def test_the_first_of_two_makers_wins() -> None:
    def slow(folder: Path) -> None:
        cached("oracle", "abc", lambda other: (other / "who").write_text("first") and None)
        (folder / "who").write_text("second")

    assert (cached("oracle", "abc", slow) / "who").read_text() == "first"


def test_the_cache_is_where_it_is_set(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("SIM2REAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/sim2real")


def test_references_of_a_domain_are_found_again_and_the_better_oracle_stays() -> None:
    task = load_task("inverted_pendulum")
    hard = load_domain(task, "hard")
    assert known_references(task, hard) is None
    keep_references(task, hard, References(10.0, 110.0, "study a"))
    keep_references(task, hard, References(10.0, 60.0, "study b"))
    found = known_references(task, hard.model_copy(update={"name": "another"}))
    assert found == References(10.0, 110.0, "study a")
    assert found.score(Estimate(60.0)).value == 0.5
    assert known_references(task, load_domain(task, "medium")) is None
