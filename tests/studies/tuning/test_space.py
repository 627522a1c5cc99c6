from __future__ import annotations

import pytest

from sim2real.studies.tuning.space import Space, nested, parse_space


def test_the_words_of_domain_files() -> None:
    assert parse_space("a", {"uniform": [8, 64]}) == Space(8, 64)
    assert parse_space("a", {"log_uniform": [1e-5, 1e-2]}) == Space(1e-5, 1e-2, log=True)
    assert parse_space("a", {"choice": [[8], [64, 64]]}).choices == ([8], [64, 64])
    for space in ({"uniform": [8, 64]}, {"choice": ["tanh", None]}):
        assert parse_space("a", space).plain() == space


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (3, "a: expected one of uniform, log_uniform, choice"),
        ({"log_unifrom": [1, 2]}, "did you mean 'log_uniform'"),
        ({"log_uniform": [0, 1]}, "must be positive"),
        ({"uniform": [2, 1]}, "a: "),
        ({"uniform": [1, 1]}, "both ends are 1"),
        ({"uniform": "x"}, "a: "),
        ({"choice": []}, "a choice is a list of values"),
    ],
)
def test_what_is_no_space_is_refused(given: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_space("a", given)


def test_names_lead_into_options() -> None:
    given = {"recipe": {"gamma": 0.9}}
    found = nested(given, {"recipe.n_steps": 8, "recipe.gamma": 0.99, "warm_up": 0.1})
    assert found == {"recipe": {"gamma": 0.99, "n_steps": 8}, "warm_up": 0.1}
    assert given == {"recipe": {"gamma": 0.9}}
