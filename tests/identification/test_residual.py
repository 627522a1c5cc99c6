"""Residual forces: what they find, when they are used, and the domain that has them."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.domains import load_domain
from sim2real.domains.domain import dump_domains
from sim2real.identification.family import family_of
from sim2real.identification.fit import start
from sim2real.identification.log import Log
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.replay import Replay, Windows
from sim2real.identification.residual import (
    REACH,
    UNITS,
    Residual,
    fit_residual,
    hidden_units,
)
from sim2real.identification.windows import channels_of, cut
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY, TRUTH, log_of, target

SPRING = {"field": "jnt_stiffness", "of": "slider", "set": 40.0}
"""What the family does not have."""


def fitted(log: Log) -> tuple[Problem, Windows, Fit]:
    """The windows of a log, those held out, and the fit at the true values of the family."""
    replay = Replay(family_of(load_task("cartpole"), FAMILY), 64, 1)
    channels = channels_of(log, replay)
    windows = cut(log, replay, channels, 10)
    order = np.random.default_rng(0).permutation(len(windows))
    problem = Problem(replay, windows.take(order[30:]), channels)
    shares = replay.family.space.shares([TRUTH])[0]
    return problem, windows.take(order[:30]), start(problem, shares)


def residual_of(log: Log) -> Residual:
    problem, held_out, fit = fitted(log)
    found = fit_residual(
        problem, held_out, fit, lambda family: Replay(family, 64, 1), np.random.default_rng(1)
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def spring() -> Residual:
    return residual_of(log_of(target(noise=0.002, more=[SPRING]), 1_200))


def test_it_predicts_what_the_family_does_not_explain(spring: Residual) -> None:
    assert spring.joints == ("slider",)
    assert spring.units == UNITS
    assert spring.windows == 30
    assert spring.error < 0.7 * spring.error_before
    assert spring.is_used
    assert "it is part of the domain" in spring.sentence


def test_its_forces_are_those_of_the_spring(spring: Residual) -> None:
    """The network is compared with F = -k x, where the log has been."""
    x = np.linspace(-0.2, 0.2, 9)
    force = np.zeros_like(x)
    for entry in spring.entries:
        options = entry["options"]
        force += entry["residual"] * np.tanh(options["position"] * x + options["offset"])
    assert np.polyfit(x, force, 1)[0] == pytest.approx(-40.0, rel=0.4)


def test_a_log_that_is_explained_needs_none() -> None:
    found = residual_of(log_of(target(noise=0.002), 1_200))
    assert not found.is_used
    assert "it is left out" in found.sentence
    domain = target()
    assert found.added_to(domain) is domain


def test_the_domain_has_it_and_can_be_read(spring: Residual, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "found.yaml"
    file.write_text(dump_domains({"found": spring.added_to(target())}))
    domain = load_domain("cartpole", f"{file}:found")
    assert len(domain.disturbances) == UNITS
    simulation = Simulation("cartpole", domain, threads=1)
    simulation.advance(np.zeros((1, 1)))
    assert abs(simulation.qfrc_applied[0, 0]) > 0


def test_a_unit_reaches_a_share_of_the_force_of_its_actuator() -> None:
    log = log_of(target(), 600)
    problem, _, fit = fitted(log)
    units = hidden_units(problem, fit, np.random.default_rng(0))
    low, high = units[0]["residual"]["uniform"]
    gear = problem.replay.model.actuator_gear[0, 0]
    rms = gear * TRUTH["strength:drive"] * np.sqrt(np.mean(log.commands**2))
    assert -low == high == pytest.approx(REACH * rms, rel=0.15)
