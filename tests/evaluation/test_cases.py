"""Episodes in given contexts against `evaluate` in domains that have these values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.cases import Case, evaluate_cases
from sim2real.evaluation.rollout import evaluate
from sim2real.registry import load_task

TASK = load_task("cartpole")


class Push:
    def predict(self, observation: Any, state: Any = None, **_: Any) -> Any:
        return np.clip(observation[:, 1:2] + 0.3 * observation[:, 4:5], -1.0, 1.0), None


def test_given_values_are_those_of_a_domain_that_has_them() -> None:
    """Weak motors and no delay of `hard`, and nothing given, in one batch of fewer worlds."""
    hard = load_domain("cartpole", "hard")
    weak = hard.model_copy(update={"actuation": (hard.actuation[1],)})
    cases = [Case(k, given) for given in ({"delay": 0.0}, {}) for k in (2, 0, 1)]
    rows = evaluate_cases(Push(), TASK, hard, cases, seed=5, num_envs=4)
    assert [row.episode for row in rows] == [2, 0, 1, 2, 0, 1]
    for found, domain in ((rows[:3], weak), (rows[3:], hard)):
        alone = evaluate(Push(), TASK, domain, episodes=3, seed=5)
        assert [row.total for row in found] == [alone[k].total for k in (2, 0, 1)]
    assert rows[0].context["delay"] == 0.0
    assert rows == evaluate_cases(Push(), TASK, hard, cases, seed=5)


def test_a_label_stands_for_all_elements() -> None:
    domain = load_domain("cartpole", "randomized")
    (row,) = evaluate_cases(Push(), TASK, domain, [Case(0, {"body_mass": 1.1})])
    given = [value for name, value in row.context.items() if name.startswith("body_mass")]
    assert given == [1.1, 1.1]


def test_wrong_names_are_refused() -> None:
    domain = load_domain("cartpole", "hard")
    with pytest.raises(UserError, match="'delai'; did you mean 'delay'"):
        evaluate_cases(Push(), TASK, domain, [Case(0, {"delai": 1.0})])
    once: Any = [{"strength": {"uniform": [0.5, 1.0]}, "when": "startup"}]
    with pytest.raises(UserError, match="strength: it is drawn at startup"):
        evaluate_cases(Push(), TASK, Domain(actuation=once), [Case(0, {"strength": 0.7})])
