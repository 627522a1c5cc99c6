"""Groups and correlations of draws."""

import numpy as np
import pytest

from sim2real.domains import Domain, dump_domains, load_domains
from sim2real.domains.distributions.correlation import Correlated
from sim2real.errors import UserError
from sim2real.simulation import Simulation

DAMPING = {"field": "dof_damping", "shared": True, "scale": {"uniform": [0.5, 2]}, "name": "drag"}
GRAVITY = {"field": "opt.gravity", "component": "z", "scale": {"uniform": [0.9, 1.1]}, "name": "g"}
LEGS = {"field": "geom_friction", "component": "sliding", "scale": {"uniform": [0.5, 2.0]}}


def plan_of(*dynamics, **options):
    return Simulation("hopper", Domain(dynamics=dynamics, **options), threads=1).plan


def bounded(entry):
    """A normal entry that the physics allows: one of the gravity's components."""
    return {
        "field": "opt.gravity",
        "component": entry,
        "add": {"normal": [1.0, 0.5]},
        "name": entry,
    }


def test_normal_entries_are_a_multivariate_normal():
    matrix = [[1.0, 0.8, -0.3], [0.8, 1.0, 0.1], [-0.3, 0.1, 1.0]]
    plan = plan_of(
        *map(bounded, "xyz"), correlated=[{"parameters": list("xyz"), "correlation": matrix}]
    )
    n = 200_000
    draws = plan.draw(np.random.default_rng(0).random((n, 3)))
    np.testing.assert_allclose(draws.mean(axis=0), 1.0, atol=4 * 0.5 / np.sqrt(n))
    np.testing.assert_allclose(np.cov(draws.T), 0.25 * np.array(matrix), atol=4 * 0.5 / np.sqrt(n))


def test_one_number_is_the_correlation_of_all_pairs_and_ranges_stay():
    plan = plan_of(DAMPING, GRAVITY, correlated=[{"parameters": ["drag", "g"], "correlation": 0.9}])
    draws = plan.draw(np.random.default_rng(0).random((20_000, 2)))
    # Spearman's rho of a Gaussian copula is 6 / pi arcsin(r / 2)
    ranks = draws.argsort(axis=0).argsort(axis=0)
    assert np.corrcoef(ranks.T)[0, 1] == pytest.approx(6 / np.pi * np.arcsin(0.45), abs=0.01)
    assert draws[:, 0].min() >= 0.5
    assert draws[:, 0].max() <= 2.0
    # each is still uniform: mean and deviation
    assert draws[:, 1].mean() == pytest.approx(1.0, abs=4 * 0.2 / np.sqrt(12 * 20_000))
    assert draws[:, 1].std() == pytest.approx(0.2 / np.sqrt(12), rel=0.02)


def test_a_group_is_one_draw():
    plan = plan_of({**DAMPING, "group": "age"}, {**GRAVITY, "group": "age"})
    draws = plan.draw(np.random.default_rng(0).random((100, 2)))
    np.testing.assert_allclose((draws[:, 0] - 0.5) / 1.5, (draws[:, 1] - 0.9) / 0.2, rtol=1e-12)


def test_other_entries_keep_their_draws_bit_for_bit():
    uniforms = np.random.default_rng(0).random((100, 7))
    free = plan_of(DAMPING, LEGS, GRAVITY).draw(uniforms)
    tied = plan_of(
        DAMPING, LEGS, GRAVITY, correlated=[{"parameters": ["drag", "g"], "correlation": 0.5}]
    ).draw(uniforms)
    np.testing.assert_array_equal(tied[:, :6], free[:, :6])  # the first keeps its own draw too
    assert (tied[:, 6] != free[:, 6]).all()


def test_a_parameter_of_many_elements_stands_for_all_of_its_entries():
    plan = plan_of(LEGS, correlated=[{"parameters": "geom_friction.sliding", "correlation": 0.99}])
    draws = plan.draw(np.random.default_rng(0).random((1000, 5)))
    assert (np.corrcoef(draws.T) > 0.97).all()


def test_correlations_survive_a_file(tmp_path):
    domain = Domain(
        name="tied",
        dynamics=[DAMPING, {**GRAVITY, "group": "a"}],
        correlated=[{"parameters": ["drag", "g"], "correlation": [[1.0, 0.5], [0.5, 1.0]]}],
    )
    (tmp_path / "a.yaml").write_text(dump_domains({"tied": domain}))
    assert load_domains(tmp_path / "a.yaml")["tied"] == domain


@pytest.mark.parametrize(
    ("correlated", "message"),
    [
        ({"parameters": ["drag", "gg"], "correlation": 0.5}, "unknown context entry 'gg'; did you"),
        ({"parameters": ["drag"], "correlation": 0.5}, "needs two entries, got 'drag'"),
        ({"parameters": ["drag", "g"], "correlation": [[1.0]]}, r"is \(1, 1\), but 2 entries"),
        (
            {"parameters": ["geom_friction.sliding"], "correlation": -0.5},
            "not positive definite",
        ),
    ],
)
def test_impossible_correlations_are_refused(correlated, message):
    with pytest.raises(UserError, match=message):
        plan_of(DAMPING, GRAVITY, LEGS, correlated=[correlated])


@pytest.mark.parametrize(
    ("correlation", "message"),
    [
        (1.0, "between -1 and 1"),
        ([[1.0, 0.5], [0.4, 1.0]], "symmetric"),
        ([[1.0, 0.5]], "square"),
        ([[1.0, 0.9, 0.9], [0.9, 1.0, -0.9], [0.9, -0.9, 1.0]], "contradict each other"),
    ],
)
def test_impossible_matrices_are_refused(correlation, message):
    with pytest.raises(ValueError, match=message):
        Correlated(parameters=("a", "b"), correlation=correlation)


def test_two_correlations_of_one_entry_and_groups_of_one_are_refused():
    pair = {"parameters": ["drag", "g"], "correlation": 0.5}
    with pytest.raises(UserError, match="'drag' is correlated twice"):
        plan_of(DAMPING, GRAVITY, correlated=[pair, pair])
    with pytest.raises(UserError, match="group 'a' has one entry, 'drag', alone"):
        plan_of({**DAMPING, "group": "a"}, GRAVITY)
