"""A family lists what may differ, and writes domains in which it does."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from sim2real.domains import Domain, load_domain
from sim2real.domains.distributions.distribution import Constant
from sim2real.errors import UserError
from sim2real.identification.candidates import candidates
from sim2real.identification.family import (
    PRIOR_PRECISION,
    default_family,
    family_of,
    replayable,
)
from sim2real.learning.adaptive.space import share_of
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY


def test_shares_are_places_in_the_ranges() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    assert family.names == ("body_mass:pole", "dof_damping:hinge", "delay", "strength:drive")
    assert family.values(np.zeros((1, 4)))[0] == pytest.approx([0.25, 0.1, 0.0, 0.5])
    assert family.values(np.ones((1, 4)))[0] == pytest.approx([4.0, 100.0, 0.06, 1.5])
    assert family.values(np.full((1, 4), 0.5))[0] == pytest.approx([1.0, 10**0.5, 0.03, 1.0])
    assert family.nominal == pytest.approx([0.5, 1 / 3, 0.0, 0.5])
    assert family.nominal_values == pytest.approx([1.0, 1.0, 0.0, 1.0])


def test_contexts_are_those_of_the_worlds() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    contexts = family.contexts(np.array([[0.5, 0.0, 0.5, 1.0]]))
    assert dict(zip(family.plan.names, contexts[0], strict=True)) == pytest.approx(
        {"body_mass:pole": 1.0, "dof_damping:hinge": 0.1, "delay": 0.03, "strength:drive": 1.5}
    )


def test_delays_are_rounded_to_physics_steps() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    step = family.timestep
    values = np.array([1.0, 1.0, 1.7 * step, 1.0])
    assert family.rounded(values).tolist() == [1.0, 1.0, 2 * step, 1.0]
    assert family.rounded(np.array([1.0, 1.0, 2 * step, 1.0]))[2] == 2 * step


def test_what_a_replay_cannot_repeat_is_left_out() -> None:
    domain = Domain(
        dynamics=[{"field": "body_mass", "of": "pole", "scale": {"uniform": [1, 2]}}],
        actuation=[{"noise": 0.1}, {"dropped": 0.1}],
        sensing=[
            {"noise": {"normal": [0.0, 0.1]}, "of": "pole"},
            {"bias": {"uniform": [-0.1, 0.1]}, "of": "pole[0]"},
        ],
        disturbances=[{"push": 1.0, "of": "pole", "every": 1.0}],
    )
    kept = replayable(domain)
    assert [one.kind.name for one in kept.sensing] == ["bias"]
    assert not kept.actuation
    assert not kept.disturbances
    assert family_of(load_task("cartpole"), domain).names == (
        "body_mass:pole",
        "sensor_bias:pole[0]",
    )


def test_a_domain_without_ranges_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to identify"):
        family_of(load_task("hopper"), "hard")


def test_a_group_is_one_unknown() -> None:
    domain = Domain(
        dynamics=[
            {"field": "body_mass", "of": name, "scale": {"uniform": [1, 2]}, "group": "all"}
            for name in ("cart", "pole")
        ]
    )
    family = family_of(load_task("cartpole"), domain)
    assert len(family.names) == 1
    assert family.contexts(np.array([[0.25]])).tolist() == [[1.25, 1.25]]


@pytest.mark.parametrize("name", task_names())
def test_default_families_contain_the_nominal_world_and_write_domains(name: str) -> None:
    task = load_task(name)
    family = family_of(task)
    assert ((family.nominal >= 0) & (family.nominal <= 1)).all()
    values = dict(
        zip(family.names, family.values(np.full((1, len(family.names)), 0.4))[0], strict=True)
    )
    constants = {one: Constant(value) for one, value in values.items()}
    simulation = Simulation(task, family.with_distributions(constants, "point"), 1, threads=1)
    context = simulation.contexts()[0]
    assert set(context) == set(family.plan.names)
    assert {one: context[one] for one in family.names} == pytest.approx(values)
    simulation.close()


def test_a_default_family_is_wider_than_randomized() -> None:
    task = load_task("hopper")
    narrow, wide = load_domain(task, "randomized"), default_family(task)
    for one, other in zip(narrow.dynamics, wide.dynamics, strict=False):
        low, high = one.distribution.support
        assert other.distribution.support == pytest.approx((low / 2, high * 2))
    assert wide.actuation[0].distribution.support == pytest.approx((0.0, 0.032))


@pytest.mark.parametrize("name", ["hopper", "reacher", "furuta", "inverted_pendulum"])
def test_a_default_family_has_friction_armature_and_delay(name: str) -> None:
    family = family_of(load_task(name))
    kinds = [one.partition(":")[0] for one in family.names]
    for kind in ("dof_frictionloss", "dof_armature", "delay"):
        assert kind in kinds, kind
    nominal = dict(zip(family.names, family.nominal_values, strict=True))
    assert nominal["delay"] == 0.0
    added = "dof_frictionloss" if name != "furuta" else "dof_armature"
    assert nominal[added] == 0.0


def test_one_factor_on_masses_strengths_and_armature_is_a_straight_line() -> None:
    family = family_of(load_task("hopper"))
    own = [name.startswith(("body_mass", "strength", "dof_damping")) for name in family.names]
    armature, scaled = family.names.index("dof_armature"), np.flatnonzero(own)
    nominal = float(load_task("hopper").compile().dof_armature[-1])
    values = family.nominal_values
    rows = []
    for factor in (1.1, 1.1**2, 1.1**3, 1.1**4):
        row = values.copy()
        row[scaled] *= factor
        row[armature] = (nominal + row[armature]) * factor - nominal
        rows.append(
            [share_of(base, row[k : k + 1])[0] for k, base in enumerate(family.space.bases)]
        )
    steps = np.diff(np.array(rows), axis=0)
    assert np.abs(steps[0, [*scaled, armature]]).min() > 0.01
    np.testing.assert_allclose(steps, np.tile(steps[0], (3, 1)), atol=1e-9)


def test_a_task_without_domains_has_a_family_of_what_has_an_effect(tmp_path: Path) -> None:
    for suffix in (".py", ".xml"):
        source = Path(inspect.getfile(type(load_task("cartpole")))).with_suffix(suffix)
        (tmp_path / f"mine{suffix}").write_text(source.read_text())
    names = family_of(load_task(str(tmp_path / "mine.py"))).names
    assert {"body_mass:cart", "body_mass:pole", "strength:drive", "delay"} < set(names)
    assert not any(name.startswith("geom_friction") for name in names)  # nothing touches


def test_candidates_leave_the_nominal_world_as_it_is() -> None:
    task = load_task("hopper")
    for name, sections in candidates(task).items():
        family = family_of(task, Domain.model_validate(sections))
        assert np.abs(family.nominal_values).max() < 1e-9, name


def test_the_prior_is_narrow_for_what_the_nominal_world_does_not_have() -> None:
    family = family_of(load_task("hopper"))
    precision = family.precision(family.nominal)
    narrow = {n for n, p in zip(family.names, precision, strict=True) if p > PRIOR_PRECISION}
    assert narrow == {"dof_frictionloss", "dof_armature"}


def test_the_prior_is_spike_and_slab_for_what_the_nominal_world_does_not_have() -> None:
    family = family_of(load_task("hopper"))
    row = family.names.index("dof_frictionloss")

    def density(share: float) -> float:
        shares = family.nominal
        shares[row] = share
        return float(np.exp(-family.prior_cost(shares)))

    def expected(share: float) -> float:
        return sum(norm.pdf(share, scale=scale) for scale in (0.1, 3.0**-0.5))

    for share in (0.03, 0.1, 0.2, 0.8):
        ratio = density(share) / density(0.5)
        assert ratio == pytest.approx(expected(share) / expected(0.5), rel=1e-6)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.14, 0.3, 0.9])
def test_the_gradient_of_the_prior_is_its_precision_times_the_share(share: float) -> None:
    family = family_of(load_task("hopper"))
    row = family.names.index("dof_frictionloss")
    low, high = (family.nominal for _ in range(2))
    low[row], high[row] = share - 1e-6, share + 1e-6
    slope = (family.prior_cost(high) - family.prior_cost(low)) / 2e-6
    middle = family.nominal
    middle[row] = share
    assert slope == pytest.approx(family.precision(middle)[row] * share, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_prior_information_is_that_of_the_mean_variance_of_spike_and_slab(share: float) -> None:
    family = family_of(load_task("hopper"))
    row = family.names.index("dof_frictionloss")
    shares = family.nominal
    shares[row] = share
    scales = np.array([0.1, 3.0**-0.5])
    densities = norm.pdf(share, scale=scales)
    variance = densities @ scales**2 / densities.sum()
    information = family.prior_information(shares)
    assert information[row] == pytest.approx(1 / variance, rel=1e-6)
    assert np.all(information[~family.is_absent] == PRIOR_PRECISION)
