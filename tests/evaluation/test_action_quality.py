"""The measures of actions against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.evaluation.action_quality import ActionQuality
from sim2real.evaluation.rollout import Row, evaluate
from sim2real.evaluation.row_files import load_rows, save_rows
from sim2real.evaluation.summary import summary
from sim2real.simulation import Simulation


def driven(given: Any, task: str = "cartpole", **options: Any) -> dict[str, float]:
    """The measures of an episode with given actions (t, nu)."""
    simulation = Simulation(task, threads=1, **options)
    quality, active = ActionQuality(simulation), np.ones(1, dtype=bool)
    for action in given:
        simulation.advance(action[None])
        quality.add(action[None], active)
    return quality.of(0)


def test_a_constant_action_is_smooth() -> None:
    found = driven(np.full((10, 1), 0.25))
    assert found["change"] == found["jitter"] == found["saturation"] == 0.0


def test_an_alternating_action() -> None:
    """From -1 to 1 and back: each change is 2, each second difference 4, all at an end."""
    found = driven(np.tile([[1.0], [-1.0]], (5, 1)))
    assert found["change"] == pytest.approx(2.0)
    assert found["jitter"] == pytest.approx(4.0)
    assert found["saturation"] == 1.0


def test_a_ramp_has_no_jitter() -> None:
    found = driven(np.linspace(-0.5, 0.5, 11)[:, None])
    assert found["change"] == pytest.approx(0.1)
    assert found["jitter"] == pytest.approx(0.0, abs=1e-12)


def test_half_of_the_range_is_the_unit() -> None:
    """The motors of the pusher have ranges of ±2."""
    shares = np.random.default_rng(0).uniform(-1, 1, (8, 7))
    own, normalized = driven(2 * shares, "pusher"), driven(shares, "pusher", actions="normalized")
    assert own == pytest.approx(normalized)
    assert own["change"] == pytest.approx(np.sqrt(np.mean(np.diff(shares, axis=0) ** 2)))


def test_force_and_energy_are_those_of_the_actuator() -> None:
    simulation = Simulation("cartpole", threads=1)
    quality, active = ActionQuality(simulation), np.ones(1, dtype=bool)
    forces, work = [], 0.0
    for value in (0.5, -0.3, 0.8):
        simulation.advance([[value]])
        quality.add(np.array([[value]]), active)
        force = 20.0 * value  # N, of the gear
        forces.append(force)
        work += abs(force * simulation.joint("slider").qvel[0, 0]) * 0.02
    found = quality.of(0)
    ratio = found["force"] / np.sqrt(np.mean(np.square(forces)))
    gear = simulation.model.actuator_gear[0, 0]
    assert ratio == pytest.approx(1.0 / gear)  # MuJoCo's force is before the gear
    assert found["energy"] == pytest.approx(work, rel=1e-9)


def test_a_world_that_is_not_active_adds_nothing() -> None:
    simulation = Simulation("cartpole", num_envs=2, threads=1)
    quality = ActionQuality(simulation)
    for active in ([True, True], [True, False]):
        quality.add(np.ones((2, 1)), np.array(active))
    assert quality.of(1)["saturation"] == 1.0
    quality.begin(np.array([1]))
    quality.add(np.zeros((2, 1)), np.array([False, True]))
    assert quality.of(1)["saturation"] == 0.0
    assert quality.of(0)["saturation"] == 1.0


def test_feet_that_slide_slip() -> None:
    """The quadruped is pushed over the floor: its feet move as fast as the trunk."""
    simulation = Simulation("quadruped", threads=1)
    for _ in range(25):
        simulation.advance(np.zeros((1, 12)))
    standing = simulation.task.slip(simulation)
    qvel = simulation.qvel.copy()
    qvel[:, 0] = 2.0
    simulation.write_state(simulation.qpos.copy(), qvel)
    simulation.advance(np.zeros((1, 12)))
    pushed = simulation.task.slip(simulation)
    assert standing is not None
    assert pushed is not None
    assert standing[0] < 0.05
    assert 0.5 < pushed[0] < 2.5


class Still:
    """Actions of 0."""

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        return np.zeros((len(observation), 1)), None


def test_rows_have_the_measures(tmp_path: Any) -> None:
    rows = evaluate(Still(), "cartpole", "nominal", episodes=3, num_envs=2)
    assert {tuple(row.quality) for row in rows} == {
        ("change", "jitter", "saturation", "force", "energy")
    }
    assert rows == evaluate(Still(), "cartpole", "nominal", episodes=3, num_envs=1)
    save_rows(tmp_path / "rows.jsonl", rows)
    assert load_rows(tmp_path / "rows.jsonl") == rows
    assert summary("nominal", rows)["quality"]["force"] == 0.0


def test_rows_of_before_have_none() -> None:
    row = Row("nominal", 0, 0, 1.0, 10, False, True, False, {}, {})
    assert row.quality == {}
    assert summary("nominal", [row])["quality"] == {}
