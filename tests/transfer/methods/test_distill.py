"""A student acts as its teacher does, whichever loss it learns from."""

from __future__ import annotations

from typing import Any

import pytest
from conformance_cases import slow_unless

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.transfer.methods.distill import Distill, Distillation
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
    return Distillation(student, teacher, method, 0).learn(STEPS).policy


@pytest.mark.parametrize(("algorithm", "loss"), CASES)
def test_a_student_acts_as_its_teacher(algorithm: str, loss: str, toy: Any) -> None:
    assert return_of(distilled(algorithm, toy, loss), 1.0) > 9.7


@pytest.mark.parametrize("loss", OF_DENSITIES)
def test_losses_of_densities_are_refused_for_a_deterministic_actor(loss: str, toy: Any) -> None:
    with pytest.raises(UserError, match=f"loss '{loss}': TD3's actor is deterministic; allowed"):
        distilled("td3", toy, loss)
