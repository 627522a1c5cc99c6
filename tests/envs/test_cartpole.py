"""The cart-pole swing-up, against what one can work out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sim2real.envs
from sim2real.registry import load_task
from sim2real.simulation import Simulation

G, CART, POLE, LENGTH, FORCE = 9.81, 1.0, 0.1, 1.0, 20.0  # m/s², kg, kg, m, N


def at(*states: tuple[float, float, float, float]) -> Simulation:
    """Worlds at the given (place, angle, velocity, angle rate)."""
    simulation = Simulation("cartpole", num_envs=len(states), threads=1)
    table = np.array(states)
    simulation.write_state(table[:, :2], table[:, 2:])
    return simulation


def test_it_starts_hanging_near_the_middle() -> None:
    simulation = Simulation("cartpole", num_envs=64, threads=1)
    np.testing.assert_allclose(simulation.qpos, np.broadcast_to([0, np.pi], (64, 2)), atol=0.1)
    assert np.abs(simulation.qvel).max() <= 0.1


def test_the_force_is_twenty_newton() -> None:
    """A thin rod hanging from a cart adds a quarter of its mass to the cart's inertia.

    In the first instant the rod's own acceleration takes m - (m L/2)² / (m L²/3) = m / 4.
    """
    simulation = at((0, np.pi, 0, 0))
    simulation.advance(np.ones((1, 1), dtype=np.float32))
    expected = FORCE / (CART + POLE / 4) * simulation.dt
    assert simulation.qvel[0, 0] == pytest.approx(expected, rel=0.02)


def test_it_swings_with_the_period_of_a_rod() -> None:
    """Small swings of a rod under a free cart: omega² = (3/2) g/L (M + m) / (M + m/4)."""
    simulation = at((0, np.pi + 0.02, 0, 0))
    omega = np.sqrt(1.5 * G / LENGTH * (CART + POLE) / (CART + POLE / 4))
    half_period = np.pi / omega
    for _ in range(round(half_period / simulation.dt)):
        simulation.advance(np.zeros((1, 1), dtype=np.float32))
    assert simulation.qpos[0, 1] == pytest.approx(np.pi - 0.02, abs=2e-3)


@pytest.mark.parametrize(
    ("angle", "upright"), [(0.0, 1.0), (np.pi / 2, 0.5), (np.pi, 0.0), (2 * np.pi, 1.0)]
)
def test_the_reward_states_how_far_up_the_pole_is(angle: float, upright: float) -> None:
    simulation = at((0, angle, 0, 0))
    terms = simulation.task.reward(simulation, np.zeros((1, 1), dtype=np.float32))
    assert terms["upright"] == pytest.approx(upright)
    assert terms["middle"] == pytest.approx(0.0)
    assert terms["spin"] == terms["effort"] == pytest.approx(0.0)


def test_it_fails_at_either_end_of_the_rail() -> None:
    simulation = at((0, 0, 0, 0), (1.99, 0, 0, 0), (2.01, 0, 0, 0), (-2.01, 0, 0, 0))
    assert simulation.task.failed(simulation).tolist() == [False, False, True, True]


def swing_up(state: np.ndarray) -> np.ndarray:
    """Pump energy until the pole is nearly up, then hold it there (Åström & Furuta 2000)."""
    cart, cosine, sine, speed, rate = state.T
    energy = (POLE * LENGTH**2 / 6) * rate**2 + POLE * G * LENGTH / 2 * (cosine - 1)  # 0 upright
    pump = 8.0 * energy * rate * cosine - 0.3 * cart - 0.2 * speed
    hold = 2.0 * sine + 0.5 * rate + 0.05 * cart + 0.12 * speed
    return np.clip(np.where(cosine > 0.9, hold, pump), -1, 1)[:, None]


def test_a_known_controller_scores_far_above_chance() -> None:
    simulation = Simulation("cartpole", num_envs=8, threads=1)
    rng = np.random.default_rng(0)
    random = Simulation("cartpole", num_envs=8, threads=1)
    skilled = 0.0
    chance = 0.0
    for _ in range(500):
        skilled += simulation.advance(swing_up(simulation.observation)).reward.mean()
        chance += random.step(rng.uniform(-1, 1, (8, 1))).reward.mean()
    assert not simulation.task.failed(simulation).any()
    assert skilled > 300 > 100 > chance


def test_it_is_the_same_by_name_by_path_and_by_class() -> None:
    file = Path(sim2real.envs.__file__).parent / "cartpole.py"
    references = ["cartpole", str(file), "sim2real.envs.cartpole:Cartpole"]
    worlds = [Simulation(load_task(reference), "hard", threads=1) for reference in references]
    action = np.full((1, 1), 0.3, dtype=np.float32)
    first, *others = [world.step(action).observation for world in worlds]
    for other in others:
        np.testing.assert_array_equal(other, first)
