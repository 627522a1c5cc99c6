"""The page of an identification: one file, every unknown, and numbers that agree with the fit."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from sim2real.identification import report
from sim2real.identification.evidence import behind
from sim2real.identification.replay import Windows
from sim2real.identification.report import headlines, page
from sim2real.identification.result import Identification
from sim2real.identification.score import Missing
from tests.identification.conftest import FAMILY, TRUTH


@pytest.fixture(scope="session")
def shown(noisy: Identification) -> str:
    return noisy.page()


def test_the_page_is_one_file(shown: str) -> None:
    assert not re.search(r"<(script|link|img)\b", shown)
    addresses = re.findall(r'(?:href|src)="([^"]+)"', shown)
    assert addresses
    assert all(one.startswith(("#", "data:image/png")) for one in addresses)


def test_the_page_names_all_that_was_found(noisy: Identification, shown: str) -> None:
    for row in noisy.table:
        assert f'<th scope="row">{row.name}</th>' in shown
    for name in noisy.evidence.names:
        assert f'aria-label="measured against simulated: {name}' in shown
    for heading in ("Correlations of the posterior", "By part of the motion", "Over time"):
        assert f"{heading}</h" in shown
    assert "The checks of the log (constant, saturated and wrapped channels) found nothing" in shown
    assert shown.count('<td class="left worse">') == 0


def test_the_headlines_say_what_is_known(noisy: Identification) -> None:
    first, check, last = headlines(noisy.plain(), noisy.evidence)
    known = "determine 4 of the 4 unknowns of the family bearings."
    assert first == f"400 steps of cartpole (8 s) {known}"
    assert f"{noisy.validation.windows} windows held out, 15 steps ahead" in check
    assert last == "The family explains this log down to its noise."


def test_a_log_that_is_not_explained_is_shown_so(
    noisy: Identification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "svg", lambda *_: "")  # drawn in another test
    odd = dataclasses.replace(noisy.misfit, correlation=np.full(5, 0.9))
    rows = (dataclasses.replace(noisy.table[0], status="hardly determined"), *noisy.table[1:])
    lacking = (Missing("backlash", 0.61),)
    found = dataclasses.replace(
        noisy,
        table=rows,
        misfit=dataclasses.replace(odd, unexplained=odd.change),
        missing=lacking,
        evidence=dataclasses.replace(noisy.evidence, findings=("cart[0]: is saturated",)),
    )
    _, care, _, last = headlines(found.plain(), found.evidence)
    assert care == "Take with care: body_mass:pole (hardly determined)."
    assert last.startswith("The family does not explain this log: 5 of 5 channels differ")
    assert last.endswith("adding backlash explains 61% of the rest.")
    shown = page(found.plain(), found.evidence)
    assert shown.count('<td class="left worse">') == 1 + 5
    assert '<th scope="row">backlash</th><td>61 %</td>' in shown
    assert "their intervals say little" in shown
    assert "<li>cart[0]: is saturated</li>" in shown


def test_the_evidence_agrees_with_the_fit(noisy: Identification) -> None:
    found = noisy.evidence
    assert found.measured.shape == (noisy.validation.windows, 16, len(found.names))
    missed = np.abs(found.measured - found.identified) / noisy.misfit.change
    assert np.median(missed[:, -1]) == pytest.approx(noisy.validation.many_steps)
    missed = np.abs(found.measured - found.nominal) / noisy.misfit.change
    assert np.median(missed[:, -1]) == pytest.approx(noisy.validation.many_steps_nominal)
    rest = np.hypot(noisy.misfit.unexplained, noisy.misfit.noise) / noisy.misfit.change
    whole = found.parts[0].residual
    assert whole == pytest.approx(rest, rel=0.5)
    assert np.sqrt(np.mean(found.residuals**2, axis=0)) == pytest.approx(whole)
    assert 0 < min(found.times) < max(found.times) < 602 * found.dt


def test_unknowns_have_their_places_in_the_prior(noisy: Identification) -> None:
    mass = noisy.evidence.shares["body_mass:pole"]  # between 1/4 and 4, logarithmic
    assert noisy.evidence.ranges["body_mass:pole"] == (0.25, 4.0)
    assert mass[0] == pytest.approx(0.5)  # nominal
    assert mass[3] == pytest.approx(0.75, abs=0.02)  # twice the nominal mass
    assert mass[1] < mass[3] < mass[2]
    assert set(noisy.evidence.shares) == set(TRUTH)
    assert noisy.evidence.family == FAMILY.name


def test_motion_has_a_slow_and_a_fast_part(noisy: Identification) -> None:
    parts = {part.name: part.residual for part in noisy.evidence.parts}
    assert set(parts) >= {"all steps", "slowest third", "fastest third", "largest commands"}
    assert "steady contact" not in parts
    plain = noisy.plain()["parts"]
    assert [part["name"] for part in plain] == list(parts)
    assert plain[1]["share"] == pytest.approx(1 / 3, abs=0.01)
    shares = [parts[name] ** 2 for name in ("slowest third", "fastest third")]
    assert (sum(shares) / 3 <= parts["all steps"] ** 2 * (1 + 1e-9)).all()


def test_windows_of_a_second_log_come_behind() -> None:
    nothing = np.zeros((2, 3, 1))
    windows = Windows(nothing, nothing, nothing[:, 0], nothing[:, 0], {}, np.array([5, 9]), 0)
    assert behind(windows, 100).first.tolist() == [105, 109]
