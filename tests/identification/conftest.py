"""A pendulum on a cart that is moved at random: logs of it, and a family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.result import Identification
from sim2real.simulation import Simulation
from tests.training_fixtures import search_little

FAMILY = Domain(
    name="bearings",
    dynamics=[
        {"field": "body_mass", "of": "pole", "scale": {"log_uniform": [0.25, 4.0]}},
        {"field": "dof_damping", "of": "hinge", "scale": {"log_uniform": [0.1, 100.0]}},
    ],
    actuation=[{"delay": {"uniform": [0.0, 0.06]}}, {"strength": {"uniform": [0.5, 1.5]}}],
)
PROMPT = FAMILY.model_copy(update={"actuation": FAMILY.actuation[1:]})
"""The family without the delay, whose refinement takes longest."""
FACTOR = {"log_uniform": [0.25, 4.0]}
PROPORTIONS = Domain(
    name="proportions",
    dynamics=[
        {"field": "body_mass", "of": ["cart", "pole"], "scale": FACTOR},
        {"field": "dof_damping", "scale": {"log_uniform": [0.1, 100.0]}, "shared": True},
    ],
    actuation=[{"strength": FACTOR}],
)
"""A log shows only the proportions of these."""
TRUTH = {"body_mass:pole": 2.0, "dof_damping:hinge": 30.0, "delay": 0.03, "strength:drive": 0.8}


def target(noise: float = 0.0, **changed: Any) -> Domain:
    values = TRUTH | changed
    sensing = [{"noise": {"normal": [0.0, noise]}}] if noise else []
    return Domain(
        dynamics=[
            {"field": "body_mass", "of": "pole", "scale": values["body_mass:pole"]},
            {"field": "dof_damping", "of": "hinge", "scale": values["dof_damping:hinge"]},
            *values.get("more", []),
        ],
        actuation=[{"delay": values["delay"]}, {"strength": values["strength:drive"]}],
        sensing=sensing,
    )


def scaled(factor: float) -> Domain:
    """Masses, damping and strength, all `factor` times as large: it moves as with 1."""
    return Domain(
        dynamics=[
            {"field": "body_mass", "of": "cart", "scale": 1.2 * factor},
            {"field": "body_mass", "of": "pole", "scale": factor},
            {"field": "dof_damping", "scale": 20.0 * factor, "shared": True},
        ],
        actuation=[{"strength": 0.9 * factor}],
        sensing=[{"noise": {"normal": [0.0, 0.002]}}],
    )


def log_of(domain: Domain | str | None, steps: int = 600, seed: int = 0) -> Log:
    """A log of slow random forces."""
    rng = np.random.default_rng(seed)
    forces = np.repeat(rng.uniform(-1, 1, (steps // 2 // 5 + 1, 2, 1)), 5, axis=0)
    return record(Simulation("cartpole", domain, 2, seed=seed), forces, steps)


@pytest.fixture(autouse=True)
def _few_unknowns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The families of the fast tests are small; the slow ones search as users do."""
    if request.node.get_closest_marker("slow") is None:
        search_little(monkeypatch)


@pytest.fixture(scope="session")
def noisy() -> Identification:
    with pytest.MonkeyPatch.context() as patch:
        search_little(patch)
        return identify(log_of(target(noise=0.002), 400), "cartpole", FAMILY, seed=1)
