"""What is known of each log: gains that differ between logs of one target."""

from __future__ import annotations

from typing import Any

import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification.identify import identify
from sim2real.identification.log import Log
from tests.identification.conftest import log_of

MASS, STRENGTH = "body_mass:pole", "strength:drive"
FAMILY = Domain(
    dynamics=[{"field": "body_mass", "of": "pole", "scale": {"log_uniform": [0.25, 4.0]}}],
    actuation=[{"strength": {"uniform": [0.5, 1.5]}, "of": "drive"}],
)
STRENGTHS = (0.6, 1.4)


def logs() -> list[Log]:
    mass = {"field": "body_mass", "of": "pole", "scale": 2.0}
    worlds = [Domain(dynamics=[mass], actuation=[{"strength": one}]) for one in STRENGTHS]
    return [log_of(world, 200, seed=seed) for seed, world in enumerate(worlds)]


@pytest.mark.usefixtures("nothing_missing")
def test_logs_of_different_known_gains_give_the_mass() -> None:
    known = [{STRENGTH: one} for one in STRENGTHS]
    found = identify(logs(), "cartpole", FAMILY, threads=1, known=known)
    rows = {row.name: row for row in found.table}
    assert rows[MASS].value == pytest.approx(2.0, rel=0.01)
    assert rows[STRENGTH].status == "no effect"
    assert found.explained
    swapped = identify(logs(), "cartpole", FAMILY, threads=1, known=known[::-1])
    assert found.validation.many_steps < 0.1 * swapped.validation.many_steps


@pytest.mark.slow
def test_logs_of_different_worlds_are_not_explained_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise is that of the windows that are explained, here of one log."""
    monkeypatch.undo()  # a small search ends between the two worlds
    found = identify(logs(), "cartpole", FAMILY, threads=1)
    assert not found.explained
    assert found.misfit.log in (1, 2)
    (note,) = [one for one in found.notes if "does not explain" in one]
    assert f"does not explain log {found.misfit.log} together with the others" in note
    assert found.plain()["misfit"]["log"] == found.misfit.log


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([{STRENGTH: 1.0}], "known has 1 entries; allowed: 2"),
        ([{STRENGTH: 1.0}, {}], "one log has"),
        ([{"strenght:drive": 1.0}] * 2, "strength:drive"),
        ([{STRENGTH: 9.0}] * 2, "strength:drive is 9.0; allowed by the family: 0.5 to 1.5"),
        ([{STRENGTH: float("nan")}] * 2, "allowed by the family"),
    ],
)
def test_what_is_known_is_checked(known: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        identify(logs(), "cartpole", FAMILY, known=known)
