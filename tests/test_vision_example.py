"""The example of images: its worlds are those of arm_reach, and its domains fit."""

from pathlib import Path

import numpy as np
import pytest

from sim2real.domains import load_domain
from sim2real.registry import load_task
from sim2real.simulation import Simulation

TASK = str(Path(__file__).parents[1] / "examples" / "vision" / "arm_reach_pixels.py")


@pytest.mark.usefixtures("opengl")
def test_the_physics_is_that_of_arm_reach_in_every_domain():
    plain = Simulation("arm_reach", "nominal", 2, 0, 1)
    actions = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 2, 5))
    expected = [plain.step(action).reward for action in actions]
    task = load_task(TASK)
    for name in ("nominal", "seen-anew", "other-room"):
        simulation = Simulation(task, load_domain(task, name), 2, 0, 1)
        for action, reward in zip(actions, expected, strict=True):
            np.testing.assert_array_equal(simulation.step(action).reward, reward)
        simulation.close()
