"""Start states have the distributions of Gymnasium's, seen from many samples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sim2real.simulation import Simulation

SAMPLES = 2_000
UNIFORM = {
    "hopper": 5e-3,
    "humanoid": 0.01,
    "inverted_pendulum": 0.01,
    "swimmer": 0.1,
    "walker2d": 5e-3,
}
NORMAL = {"ant": 0.1, "half_cheetah": 0.1, "inverted_double_pendulum": 0.1}


def starts(name: str, num_envs: int = SAMPLES) -> Simulation:
    return Simulation(name, num_envs=num_envs, seed=11, threads=1)


def is_uniform(values: np.ndarray, low: float, high: float) -> bool:
    return bool(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3)


@pytest.mark.parametrize("name", UNIFORM | NORMAL)
def test_noise_around_the_models_pose(name: str) -> None:
    noise = (UNIFORM | NORMAL)[name]
    simulation = starts(name)
    offset = simulation.qpos - simulation.model.qpos0
    assert is_uniform(offset[:, 0], -noise, noise)
    assert is_uniform(offset[:, -1], -noise, noise)
    velocity = simulation.qvel[:, -1]
    if name in UNIFORM:
        assert is_uniform(velocity, -noise, noise)
    else:
        assert stats.kstest(velocity, stats.norm(0, noise).cdf).pvalue > 1e-3


def test_targets_of_the_reacher_fill_a_disk() -> None:
    simulation = starts("reacher")
    x, y = simulation.qpos[:, 2:].T
    assert is_uniform((x**2 + y**2) / 0.2**2, 0.0, 1.0)  # equal areas are equally likely
    assert is_uniform(np.arctan2(y, x), -np.pi, np.pi)
    assert is_uniform(simulation.qpos[:, 0], -0.1, 0.1)
    assert is_uniform(simulation.qvel[:, 1], -0.005, 0.005)
    assert not simulation.qvel[:, 2:].any()


def test_cylinders_of_the_pusher_keep_clear_of_the_goal() -> None:
    simulation = starts("pusher")
    place = simulation.qpos[:, 7:9]
    assert np.linalg.norm(place, axis=1).min() > 0.17
    assert place.min(axis=0) == pytest.approx([-0.3, -0.2], abs=5e-3)
    assert place.max(axis=0) == pytest.approx([0.0, 0.2], abs=5e-3)
    # Where the circle does not reach, the density is even: the strip x < -0.17 is a third of the
    # rectangle's area 0.3 x 0.4, of which half a disk of radius 0.17 is cut away.
    strip = 0.13 * 0.4 / (0.3 * 0.4 - np.pi * 0.17**2 / 2)
    assert np.mean(place[:, 0] < -0.17) == pytest.approx(strip, abs=0.04)
    assert not simulation.qpos[:, 9:].any()
    assert not simulation.qvel[:, 7:].any()


def test_a_start_depends_on_its_episode_alone() -> None:
    many, one = starts("pusher", 5), starts("pusher", 1)
    one.reset(episodes=[3])
    np.testing.assert_array_equal(many.qpos[3], one.qpos[0])
