"""Distributions against scipy and against their plain form."""

import numpy as np
import pytest
import scipy.stats

from sim2real.domains.distributions.distribution import (
    LARGEST,
    LARGEST_SHAPE,
    SMALLEST,
    Uniform,
    Within,
    parse_distribution,
    plain_distribution,
)

U = np.linspace(0.0, 1.0, 101)[:-1]
INNER = U[1:]


@pytest.mark.parametrize(
    ("data", "reference"),
    [
        ({"uniform": [2.0, 5.0]}, scipy.stats.uniform(2.0, 3.0)),
        ({"log_uniform": [0.5, 2.0]}, scipy.stats.loguniform(0.5, 2.0)),
        (
            {"shifted_log_uniform": [0.0, 2.0, 0.02]},
            scipy.stats.loguniform(0.02, 2.02, loc=-0.02),
        ),
        ({"normal": [1.0, 0.3]}, scipy.stats.norm(1.0, 0.3)),
        (
            {"truncated_normal": [1.0, 0.3, 0.8, 1.5]},
            scipy.stats.truncnorm(-0.2 / 0.3, 0.5 / 0.3, 1.0, 0.3),
        ),
        ({"beta": [2.0, 5.0, -1.0, 3.0]}, scipy.stats.beta(2.0, 5.0, -1.0, 4.0)),
    ],
)
def test_quantiles_equal_scipy(data, reference):
    distribution = parse_distribution(data)
    np.testing.assert_allclose(distribution.quantile(INNER), reference.ppf(INNER), rtol=1e-9)
    low, high = distribution.support
    np.testing.assert_allclose([low, high], reference.support(), rtol=1e-12)
    assert plain_distribution(distribution) == data


def test_a_number_is_a_constant():
    distribution = parse_distribution(1.4)
    assert np.all(distribution.quantile(U) == 1.4)
    assert plain_distribution(distribution) == 1.4


def test_choice_takes_each_value_in_an_equal_share():
    values = parse_distribution({"choice": [3.0, 1.0, 2.0]}).quantile(np.array([0.0, 0.34, 0.99]))
    assert values.tolist() == [3.0, 1.0, 2.0]


def test_a_part_of_a_distribution_is_drawn_through_its_share():
    data = {"within": [{"log_uniform": [0.25, 4.0]}, {"uniform": [0.25, 0.75]}]}
    part = parse_distribution(data)
    assert plain_distribution(part) == data
    reference = scipy.stats.loguniform(0.5, 2.0)  # the middle half, in the logarithm
    np.testing.assert_allclose(part.quantile(INNER), reference.ppf(INNER), rtol=1e-9)
    np.testing.assert_allclose(part.support, (0.5, 2.0))
    whole = Within(Uniform(0.1, 0.3), Uniform(0.0, 1.0))
    np.testing.assert_array_equal(whole.quantile(U), Uniform(0.1, 0.3).quantile(U))
    assert whole.support == (0.1, 0.3)


def test_normal_is_finite_at_probability_zero():
    assert np.isfinite(parse_distribution({"normal": [0.0, 1.0]}).quantile(np.zeros(1))).all()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"uniform": [2.0, 1.0]}, r"inverted; did you mean \[1, 2\]"),
        ({"uniform": [1.0]}, "takes 2 numbers, got 1"),
        ({"unifrom": [1.0, 2.0]}, "did you mean 'uniform'"),
        ({"uniform": [0.0, float("nan")]}, "finite"),
        ({"log_uniform": [0.0, 1.0]}, "positive"),
        ({"shifted_log_uniform": [-1.0, 1.0, 1.0]}, "plus the shift"),
        ({"normal": [0.0, -1.0]}, "negative"),
        ({"truncated_normal": [5.0, 1.0, 0.0, 1.0]}, "mean 5"),
        ({"choice": []}, "at least one"),
        ({"beta": [0.0, 1.0, 0.0, 1.0]}, "shapes must be positive .* got 0 and 1"),
        ({"beta": [1e3, 1e9, 0.0, 1.0]}, "at most 1e.06, got 1000 and 1e.09"),  # its quantiles fall
        ({"within": [{"choice": [1, 2]}, {"uniform": [0, 1]}]}, "no order"),
        ({"within": [1.0, {"uniform": [0, 2]}]}, "within 0 to 1, got 0 to 2"),
        ({"within": [1.0]}, "takes two distributions, got 1"),
        (float("inf"), "finite"),
        ("1.0", "expected a number"),
        (True, "expected a number"),
        ({"uniform": 3}, "takes a list"),
        ({"uniform": [1, 2], "normal": [0, 1]}, "one distribution"),
    ],
)
def test_bad_data_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        parse_distribution(data)


@pytest.mark.parametrize(
    "data",
    [
        1e160,
        5e-324,
        10**400,
        float("inf"),
        {"uniform": [-1e308, 1e308]},
        {"log_uniform": [1e-300, 1e300]},
        {"normal": [0, 1e30]},
        {"choice": [1, 1e-30]},
        {"beta": [1, 1e30, 0, 1]},
        {"truncated_normal": [0, 1, -1e21, 1]},
        {"within": [{"uniform": [0, 1e21]}, 1]},
    ],
)
def test_absurd_numbers_are_refused(data):
    with pytest.raises(ValueError, match=r"absurd|finite"):
        parse_distribution(data)


def test_the_widest_ranges_stay_finite():
    u = np.array([0.0, 1e-16, 0.5, 1 - 1e-16])
    for data in (
        {"uniform": [-LARGEST, LARGEST]},
        {"log_uniform": [SMALLEST, LARGEST]},
        {"normal": [LARGEST, LARGEST]},
        {"truncated_normal": [0, SMALLEST, -LARGEST, LARGEST]},
        {"beta": [SMALLEST, SMALLEST, -LARGEST, LARGEST]},
        {"beta": [LARGEST_SHAPE, SMALLEST, 0, 1]},
    ):
        assert np.isfinite(parse_distribution(data).quantile(u)).all(), data
