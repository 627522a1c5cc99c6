"""Statistics of VecNormalize without unpickling, and from arrays."""

from __future__ import annotations

import contextlib
import os
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import gymnasium
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sim2real.errors import UserError
from sim2real.runs.vec_normalize import read_statistics


def normalized(**options: Any) -> VecNormalize:
    env = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Hopper-v5")]), **options)
    env.reset()
    for _ in range(50):
        env.step([env.action_space.sample()])
    return env


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., tuple[VecNormalize, Path]]:
    def save(**options: Any) -> tuple[VecNormalize, Path]:
        env = normalized(**options)
        env.save(str(tmp_path / "vec.pkl"))
        return env, tmp_path / "vec.pkl"

    return save


def test_it_normalizes_as_sb3_does(saved: Callable[..., tuple[VecNormalize, Path]]) -> None:
    env, path = saved(epsilon=1e-4)
    found = read_statistics(path, 11)
    assert found.count == pytest.approx(env.obs_rms.count)  # type: ignore[union-attr]
    seen = np.random.default_rng(0).normal(size=(20, 11)) * 3
    ours = (seen - found.mean) / np.sqrt(found.variance + 1e-8)
    np.testing.assert_allclose(np.clip(ours, -10, 10), env.normalize_obs(seen), rtol=1e-5)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    env = normalized()
    (tmp_path / "vec.pkl").write_bytes(cloudpickle.dumps(env, protocol=protocol))
    found = read_statistics(tmp_path / "vec.pkl", 11)
    np.testing.assert_array_equal(found.mean, env.obs_rms.mean)  # type: ignore[union-attr]


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.proof),)


def test_nothing_in_it_is_executed(tmp_path: Path) -> None:
    env: Any = normalized()
    env.extra = Bomb(tmp_path / "proof")
    data = cloudpickle.dumps(env)
    assert any(argument == "mkdir" for _, argument, _ in pickletools.genops(data))
    (tmp_path / "vec.pkl").write_bytes(data)
    assert read_statistics(tmp_path / "vec.pkl", 11).mean.shape == (11,)
    (tmp_path / "bomb.pkl").write_bytes(cloudpickle.dumps(Bomb(tmp_path / "proof")))
    with pytest.raises(UserError, match="it is no VecNormalize"):
        read_statistics(tmp_path / "bomb.pkl", 11)
    assert not (tmp_path / "proof").exists()


def test_arrays_may_be_typed_in(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mean=np.arange(3.0), var=np.ones(3), epsilon=0.5)
    found = read_statistics(tmp_path / "s.npz", 3)
    assert found.mean.tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.variance, 1.5)


@pytest.mark.parametrize(
    ("arrays", "match"),
    [
        ({"mean": np.zeros(3)}, "holds no statistics"),
        ({"mean": np.zeros(3), "var": np.ones(4)}, r"var has the shape \(4,\), the observation"),
        ({"mean": np.zeros(3), "var": -np.ones(3)}, "must be finite, and var not negative"),
        ({"mean": np.full(3, np.nan), "var": np.ones(3)}, "must be finite"),
        ({"mean": np.zeros(3), "var": np.ones(3), "clip_obs": 5.0}, "clip_obs is 5; allowed: 10"),
        ({"mean": np.array([Bomb] * 3, dtype=object), "var": np.ones(3)}, "holds no statistics"),
        ({"mean": np.zeros(10_000_000), "var": np.ones(3)}, "unpacks to more than 64,000,000"),
    ],
)
def test_bad_arrays_are_one_line(arrays: dict[str, Any], match: str, tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "s.npz", **arrays)
    with pytest.raises(UserError, match=match) as caught:
        read_statistics(tmp_path / "s.npz", 3)
    assert "\n" not in str(caught.value)


def test_other_bad_files_are_one_line(
    saved: Callable[..., tuple[VecNormalize, Path]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_statistics(tmp_path / "missing", 3)
    _, path = saved()
    with pytest.raises(UserError, match=r"mean has the shape \(11,\), the observation \(3,\)"):
        read_statistics(path, 3)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for cut in range(0, len(whole), 97):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=re.escape(str(path))) as caught:
            read_statistics(path, 11)
        assert "\n" not in str(caught.value)
    for _ in range(200):  # flipped bytes: the statistics, or one line
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with contextlib.suppress(UserError):
            read_statistics(path, 11)
    _, path = saved(norm_obs=False)
    with pytest.raises(UserError, match="normalizes no observations"):
        read_statistics(path, 11)
