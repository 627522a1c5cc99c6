"""From a log to a world: what is found, what is not, and what is told of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.identification.family import family_of
from sim2real.identification.identify import _Study, identify
from sim2real.identification.log import Log
from sim2real.identification.replay import Replay
from sim2real.identification.result import Identification
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from tests.identification.conftest import FAMILY, PROMPT, PROPORTIONS, TRUTH, log_of, scaled, target


def values(found: Identification) -> dict[str, float]:
    return {row.name: row.value for row in found.table}


def test_noisy_logs_give_the_world_back(noisy: Identification) -> None:
    for row in noisy.table:
        assert row.value == pytest.approx(TRUTH[row.name], rel=0.06), row
        assert row.low - 0.02 * row.value <= TRUTH[row.name] <= row.high + 0.02 * row.value, row
        assert row.status == "identified"
    assert noisy.explained
    assert noisy.missing == ()
    assert noisy.steps == 400


def test_held_out_windows_are_predicted(noisy: Identification) -> None:
    check = noisy.validation
    assert check.windows >= 4
    assert check.many_steps < 0.2 * check.many_steps_nominal
    assert check.one_step <= check.one_step_nominal


def test_the_noise_is_in_the_domain(noisy: Identification) -> None:
    noises = {one.of: one.distribution.std for one in noisy.domain.sensing}
    assert noises.keys() == {("cart",), ("pole",), ("velocity",)}
    assert all(std == pytest.approx(0.002, rel=0.4) for std in noises.values())


def test_the_domain_file_is_read_and_drawn_from(noisy: Identification, tmp_path: Path) -> None:
    file = noisy.save(tmp_path / "new")
    point = Simulation("cartpole", load_domain("cartpole", f"{file}:identified"), 1, threads=1)
    assert point.contexts()[0] == pytest.approx(values(noisy))
    wide = Simulation("cartpole", load_domain("cartpole", f"{file}:posterior"), 400, threads=1)
    for row in noisy.table:
        place = wide.context_names.index(row.name)
        column = wide.context[:, place]
        assert column.mean() == pytest.approx(row.value, abs=0.3 * row.std), row
        assert column.std() == pytest.approx(row.std, rel=0.2), row
    json.dumps(noisy.plain(), allow_nan=False)


@pytest.mark.usefixtures("quick", "nothing_missing")
def test_the_same_seed_gives_the_same_bits() -> None:
    log = log_of(target(noise=0.002, delay=0.0), 100)
    found, again, other = (identify(log, "cartpole", PROMPT, seed, threads=1) for seed in (1, 1, 2))
    assert again.table == found.table
    assert again.domain == found.domain
    assert other.table != found.table


def test_what_the_family_has_not_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim2real.identification.identify.STARTS", 1)
    monkeypatch.setattr("sim2real.identification.score.FITTED", 2)
    monkeypatch.setattr("sim2real.identification.residual.SURE", 0.5)  # 4 windows are held out
    dry = [{"field": "dof_frictionloss", "of": "slider", "set": 6.0}]
    log = log_of(target(delay=0.0, more=dry), 300)
    found = identify(log, "cartpole", PROMPT, threads=1, residual=True)
    assert not found.explained
    assert found.residual is not None
    assert found.residual.is_used
    assert len(found.domain.disturbances) == found.residual.units
    assert found.plain()["residual"]["joints"] == ("slider",)
    assert any("the family does not explain this log" in note for note in found.notes)
    assert found.missing[0].name == "dof_frictionloss"
    assert found.missing[0].explains > 0.5
    assert any("adding dof_frictionloss explains" in note for note in found.notes)
    assert not found.plain()["explained"]


@pytest.mark.usefixtures("nothing_missing")
def test_a_truth_beyond_a_range_is_at_its_boundary() -> None:
    log = log_of(target(delay=0.0, **{"strength:drive": 0.3}), 300)
    found = identify(log, "cartpole", PROMPT, threads=1)
    assert {row.name: row.status for row in found.table}["strength:drive"] == (
        "at the boundary of its range"
    )
    assert "strength:drive: at the boundary of its range" in found.notes


def test_what_does_not_show_keeps_its_prior() -> None:
    family = PROMPT.model_copy(update={"dynamics": (*PROMPT.dynamics, *_friction())})
    found = identify(log_of(None, 300), "cartpole", family, threads=1)
    rows = {row.name: row for row in found.table}
    assert rows["geom_friction.sliding"].status == "no effect"
    assert rows["geom_friction.sliding"].value == pytest.approx(1.0)
    prior = family.dynamics[-1].distribution
    kept = [one for one in found.posterior.dynamics if one.field == "geom_friction"]
    assert [one.distribution for one in kept] == [prior]
    # the target is the source: 1 lies in every interval
    for row in found.table:
        assert row.low - 1e-3 <= row.nominal <= row.high + 1e-3, row


def test_the_last_steps_are_made_on_all_windows() -> None:
    family = family_of(load_task("cartpole"), FAMILY)
    replay = Replay(family, 64, threads=1)
    study = _Study(replay, [log_of(target(), 2_000)], 15, 0, lambda what, done: None, 1)
    found, whole = study.problem.windows, study.whole.windows
    assert len(found) == 64
    assert len(whole) > 90
    assert (whole.first[:64] == found.first).all()
    assert not set(study.held_out.first) & set(whole.first)
    replay.close()


@pytest.mark.slow
def test_a_longer_log_says_more(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(target(noise=0.005), 4_000)
    of_all = identify(log, "cartpole", FAMILY, threads=1)
    monkeypatch.setattr("sim2real.identification.identify.REPLAYED", 0)
    of_some = identify(log, "cartpole", FAMILY, threads=1)
    for row, other in zip(of_all.table, of_some.table, strict=True):
        if row.name != "delay":
            assert row.std < 0.75 * other.std, row
            # a tenth of the intervals miss the truth, as they should
            assert abs(row.value - TRUTH[row.name]) < 3.0 * row.std, row


def test_what_only_proportions_show_is_as_large_as_the_prior_prefers() -> None:
    found = identify(log_of(scaled(1.5), 300), "cartpole", PROPORTIONS)
    names = ("body_mass:cart", "body_mass:pole", "dof_damping", "strength:drive")
    ratios = np.array([values(found)[name] for name in names]) / [1.2, 1.0, 20.0, 0.9]
    assert ratios / ratios.mean() == pytest.approx(1.0, rel=0.05)
    # the least sum of squared shares along (1.2 s, s, 20 s, 0.9 s): shares are logarithmic
    spans = np.log([16.0, 16.0, 1000.0, 16.0])
    prior = -np.sum(np.log([1.2, 1.0, 20.0, 0.9]) / spans**2) / np.sum(1 / spans**2)
    assert np.log(ratios.mean()) == pytest.approx(prior, abs=0.04)
    for row, value in zip(found.table, np.array([1.2, 1.0, 20.0, 0.9]) * 1.5, strict=True):
        assert row.low < value < row.high, row
    assert any("only their proportions" in note for note in found.notes)


def _friction():  # type: ignore[no-untyped-def]
    entry = {"field": "geom_friction", "component": "sliding", "shared": True}
    return Domain(dynamics=[{**entry, "scale": {"uniform": [0.5, 2.0]}}]).dynamics


def still() -> Log:
    log = log_of(None, 200)
    quiet = {name: np.zeros_like(one) for name, one in log.observations.items()}
    return dataclasses.replace(log, observations=quiet)


def test_bad_logs_are_refused() -> None:
    with pytest.raises(UserError, match="no sensor of the log ever changes"):
        identify(still(), "cartpole", FAMILY)
    with pytest.raises(UserError, match="the log commands drive; task 'hopper' has"):
        identify(log_of(None, 200), "hopper")
    with pytest.raises(UserError, match="there is no log"):
        identify([], "cartpole")
    with pytest.raises(UserError, match="horizon is 1; allowed: 2 to"):
        identify(log_of(None, 200), "cartpole", horizon=1)


@pytest.mark.usefixtures("nothing_missing")
def test_a_dead_channel_is_named() -> None:
    log = log_of(target(delay=0.0), 300)
    dead = log.observations | {"cart": np.zeros((len(log), 1))}
    found = identify(dataclasses.replace(log, observations=dead), "cartpole", PROMPT, threads=1)
    assert "cart[0]: the channel never changes" in found.notes
    assert values(found)["body_mass:pole"] == pytest.approx(2.0, rel=0.15)
