"""A student acts as its teacher does, whichever loss it learns from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_algorithm
from sim2real.policies.encoders import policy_terms
from sim2real.policies.recipe import load_recipe
from sim2real.runs.load import load_run
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.simulation.history import frames_of
from sim2real.transfer.api import distill
from sim2real.transfer.distillation import Distillation, true_readings
from sim2real.transfer.methods.distill import Distill
from tests.transfer.methods.test_learning import LEARNING, RECIPES, return_of, taught

STEPS = 3_000
FAST = (("ppo", "reverse_kl"), ("sac", "nll"), ("td3", "huber"))
OF_DENSITIES = ("kl", "reverse_kl", "nll")
CASES = [
    slow_unless((algorithm, loss) in FAST, algorithm, loss)
    for algorithm in ALGORITHMS
    for loss in (*OF_DENSITIES, "mse", "huber")
    if algorithm != "td3" or loss not in OF_DENSITIES
]


def distilled(algorithm: str, toy: Any, loss: Any) -> Any:
    """A small student of a teacher whose best actions are known."""
    recipe = load_recipe(algorithm, None, {**RECIPES[algorithm], **LEARNING})
    teacher = taught(recipe, toy.ToyVecEnv(8))
    assert return_of(teacher, 1.0) > 9.9
    student = build_algorithm(recipe.model_copy(update={"net_arch": (8,)}), toy.ToyVecEnv(8), 0)
    method = Distill(updates=100, batch_size=128, learning_rate=5e-3, loss=loss)
    return Distillation(student, [teacher], method, 0).learn(STEPS).policy


@pytest.mark.parametrize(("algorithm", "loss"), CASES)
def test_a_student_acts_as_its_teacher(algorithm: str, loss: str, toy: Any) -> None:
    assert return_of(distilled(algorithm, toy, loss), 1.0) > 9.7


@pytest.mark.parametrize("loss", OF_DENSITIES)
def test_losses_of_densities_are_refused_for_a_deterministic_actor(loss: str, toy: Any) -> None:
    with pytest.raises(UserError, match=f"loss '{loss}': TD3's actor is deterministic; allowed"):
        distilled("td3", toy, loss)


BIAS = 0.5
SHIFTED = f"""
biased:
  about: An encoder of the rail that reads half a metre too much.
  sensing:
    - {{bias: {BIAS}, of: cart}}
"""


@pytest.fixture
def shifted(tmp_path: Path) -> str:
    """A domain of cartpole in which one sensor is wrong by a known constant."""
    (tmp_path / "shifted.yaml").write_text(SHIFTED)
    return f"{tmp_path / 'shifted.yaml'}:biased"


def test_true_readings_are_those_of_perfect_sensors(shifted: str) -> None:
    of_sensors = make_vec_env("cartpole", shifted, 4, history=3, privileged=True)
    perfect = make_vec_env("cartpole", "nominal", 4)
    terms = of_sensors.simulation.observation_terms
    newest = frames_of(policy_terms(terms), 1)[-1]
    of_sensors.reset(), perfect.reset()
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 4, 1)):
        seen, true = (env.step(action)[0] for env in (of_sensors, perfect))
        shown = true_readings(terms)(torch.from_numpy(seen)).numpy()
        assert shown.shape == seen.shape
        np.testing.assert_array_equal(shown[:, newest[:-1]], true)  # the last one is the action
        np.testing.assert_allclose(seen[:, newest[0]] - true[:, 0], BIAS)


@pytest.mark.parametrize(("sees", "ahead"), [("truth", 0.0), ("sensed", BIAS)])
def test_a_student_of_the_truth_corrects_its_sensors(
    sees: str, ahead: float, shifted: str, tmp_path: Path
) -> None:
    teacher = load_run("pretrained:cartpole").policy
    student = distill(
        "pretrained:cartpole",
        shifted,
        student="32",
        budget=4_000,
        num_envs=8,
        out=tmp_path / "student",
        options={"teacher_sees": sees, "updates": 300, "learning_rate": 5e-3, "loss": "mse"},
        progress=False,
    ).policy
    env = make_vec_env("cartpole", "nominal", 8, seed=1)
    state, errors = env.reset(), {0.0: 0.0, BIAS: 0.0}
    for _ in range(300):
        cart = np.eye(state.shape[1])[0]
        action = student.predict(state + BIAS * cart, deterministic=True)[0]
        for offset in errors:
            asked = teacher.predict(state + offset * cart, deterministic=True)[0]
            errors[offset] += float(np.square(action - asked).mean())
        state = env.step(teacher.predict(state, deterministic=True)[0])[0]
    assert errors[ahead] < 0.3 * errors[BIAS - ahead]


def test_a_teacher_with_a_memory_sees_no_true_past(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="teacher_sees 'truth': the teacher observes several"):
        distill(
            "pretrained:quadrotor",
            "nominal",
            budget=64,
            num_envs=4,
            out=tmp_path / "student",
            options={"teacher_sees": "truth"},
            progress=False,
        )
