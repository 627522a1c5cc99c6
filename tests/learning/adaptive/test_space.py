"""Which context entries can be adapted, and the share of the domain that a value stands at."""

from pathlib import Path

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import (
    Beta,
    LogUniform,
    Normal,
    TruncatedNormal,
    Uniform,
)
from sim2real.errors import UserError
from sim2real.learning.adaptive.space import adaptable, share_of
from sim2real.simulation import Simulation

BANDIT = str(Path(__file__).with_name("bandit.py"))


@pytest.mark.parametrize(
    "distribution",
    [
        Uniform(0.7, 1.3),
        LogUniform(0.5, 2.0),
        Normal(1.0, 0.3),
        TruncatedNormal(1.0, 0.3, 0.8, 1.5),
        Beta(2.0, 5.0, -1.0, 3.0),
    ],
)
def test_the_share_is_the_inverse_of_the_quantile(distribution):
    shares = np.linspace(0.01, 0.99, 50)
    found = share_of(distribution, distribution.quantile(shares))
    np.testing.assert_allclose(found, shares, atol=1e-12)
    ends = share_of(distribution, np.array(distribution.support))
    assert ends.tolist() == [0.0, 1.0]


def test_ranges_can_be_adapted_and_start_at_the_nominal_value():
    space = adaptable(Simulation(BANDIT, "mixed"))
    assert space.names == ("body_mass:left", "dof_damping", "delay")
    # a factor of 1 is the middle of 0.5 to 2 in the logarithm; adding 0 lies below 0.5 to 2
    np.testing.assert_allclose(space.nominal, [0.5, 0.0, 0.0], atol=1e-12)


def test_parameters_are_chosen_by_entry_or_by_what_stands_before_the_colon():
    simulation = Simulation(BANDIT, "randomized")
    assert adaptable(simulation, ["body_mass"]).names == ("body_mass:left", "body_mass:right")
    assert adaptable(simulation, ["body_mass:right"]).names == ("body_mass:right",)


def test_a_value_that_is_set_starts_at_the_models():
    data = {"field": "body_mass", "of": "left", "set": {"uniform": [1.0, 5.0]}}
    space = adaptable(Simulation(BANDIT, Domain(dynamics=[data])))
    np.testing.assert_allclose(space.nominal, [0.25])  # the model has 2 kg


def test_shares_and_values_are_each_others_inverse():
    space = adaptable(Simulation(BANDIT, "mixed"))
    shares = np.array([0.2, 0.5, 0.9])
    context = dict(zip(space.names, space.values(shares).tolist(), strict=True))
    np.testing.assert_allclose(space.shares([context, context]), [shares, shares], atol=1e-12)


def test_without_ends_bounds_stop_at_a_hundredth():
    data = {"field": "body_ipos", "component": "x", "add": {"normal": [0.0, 0.01]}, "shared": True}
    space = adaptable(Simulation("hopper", Domain(dynamics=[data])))
    assert [limit.tolist() for limit in space.limits] == [[0.01], [0.99]]
    assert np.isfinite(space.values(np.array([1.0]))).all()


def test_what_is_correlated_can_be_adapted_together_alone():
    simulation = Simulation(BANDIT, "tied")
    assert len(adaptable(simulation).names) == 3
    with pytest.raises(UserError, match="body_mass:left of domain 'tied' is grouped or correlated"):
        adaptable(simulation, independent=True)
    assert adaptable(simulation, ["dof_damping"], independent=True).names == ("dof_damping",)


def test_geometry_stays_as_it_is():
    simulation = Simulation(BANDIT, "shaped")
    assert adaptable(simulation).names == ("body_mass:right",)
    with pytest.raises(UserError, match=r"geom_size.* of domain 'shaped' cannot be adapted"):
        adaptable(simulation, [simulation.context_names[0]])


@pytest.mark.parametrize(
    ("domain", "parameters", "message"),
    [
        ("constant", (), "domain 'constant' has nothing to adapt: no parameter is drawn"),
        ("nominal", (), "domain 'nominal' has nothing to adapt"),
        ("mixed", ("body_mas",), "unknown parameter .*'body_mas'; did you mean 'body_mass'"),
        ("mixed", ("strength",), "strength:push of domain 'mixed' cannot be adapted"),
        ("mixed", ("chosen",), "chosen:right of domain 'mixed' cannot be adapted"),
    ],
)
def test_what_cannot_be_adapted_is_reported(domain, parameters, message):
    with pytest.raises(UserError, match=message):
        adaptable(Simulation(BANDIT, domain), parameters)
