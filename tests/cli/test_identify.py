"""The verb `identify` writes a domain file, and its tables name every unknown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from sim2real import cli
from sim2real.cli.identify import PHASES
from sim2real.domains import Domain, load_domain
from sim2real.identification.record import record
from sim2real.simulation import Simulation

FAMILY = """
motors:
  actuation:
    - {strength: {uniform: [0.5, 1.5]}}
    - {delay: {uniform: [0.0, 0.06]}}
"""


@pytest.mark.usefixtures("small_search")
def test_identify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "target.yaml").write_text("weak: {actuation: [{strength: 0.7}, {delay: 0.02}]}")
    (tmp_path / "family.yaml").write_text(FAMILY)
    target = Simulation("cartpole", f"{tmp_path}/target.yaml:weak", 1, seed=0)
    actions = np.random.default_rng(0).uniform(-1, 1, (300, 1))
    record(target, actions, 300).save(tmp_path / "log.safetensors")
    words = ["identify", str(tmp_path / "log.safetensors"), "--task", "cartpole"]
    words += ["--family", f"{tmp_path}/family.yaml:motors", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in (
        "strength:drive",
        "delay",
        "0.7",
        "0.02",
        "identification.html",
        "the family explains",
    ):
        assert word in shown
    report = json.loads((tmp_path / "out" / "identification.json").read_text())
    found = {row["name"]: row["value"] for row in report["table"]}
    assert found == pytest.approx({"strength:drive": 0.7, "delay": 0.02}, rel=1e-3)
    assert report["explained"]
    page = (tmp_path / "out" / "identification.html").read_text()
    assert "300 steps of cartpole (6 s) determine " in page
    assert page.count('<svg class="strip"') == 2
    domain = load_domain("cartpole", f"{tmp_path}/out/identified.yaml:identified")
    assert Simulation("cartpole", domain).contexts()[0] == pytest.approx(found)
    assert not (tmp_path / "out" / PHASES).exists()


@pytest.mark.parametrize("as_domain", [False, True])
def test_an_interruption_keeps_what_is_finished(
    as_domain: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object, phases: Path, **__: object) -> None:
        (phases / "of-this").mkdir(parents=True)
        raise KeyboardInterrupt

    module = "ranges.identify_ranges" if as_domain else "identify.identify"
    monkeypatch.setattr(f"sim2real.identification.{module}", interrupted)
    log = record(Simulation("cartpole", None, 1), np.zeros((9, 1)), 9)
    log.save(tmp_path / "log")
    words = ["identify", str(tmp_path / "log"), "--task", "cartpole", "--out", str(tmp_path / "o")]
    assert cli.main([*words, *["--as-domain"][:as_domain]]) == 130
    how = f"run the same command again, with --out {tmp_path}/o, to continue"
    assert how in capsys.readouterr().err
    assert (tmp_path / "o" / PHASES / "of-this").is_dir()


def test_units_need_names_and_a_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["identify", "a.npz", "b.npz", "--task", "cartpole", "--units", "one", "two"]
    assert cli.main(words) == 2
    assert "--units is for --as-domain" in capsys.readouterr().err
    assert cli.main([*words[:-1], "--as-domain"]) == 2
    assert "--units has 1 names; allowed: 2" in capsys.readouterr().err


@pytest.mark.slow
def test_identify_as_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "family.yaml").write_text(FAMILY)
    actions = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    paths = []
    for strength in (0.7, 0.8, 0.9):
        target = Domain(actuation=[{"strength": strength}, {"delay": 0.02}])
        paths.append(str(tmp_path / f"{strength}.safetensors"))
        record(Simulation("cartpole", target, 1, seed=0), actions, 200).save(paths[-1])
    words = ["identify", *paths, "--task", "cartpole", "--family", f"{tmp_path}/family.yaml:motors"]
    words += ["--as-domain", "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 logs of 3 units" in shown
    assert "of the family's randomization" in shown
    report = json.loads((tmp_path / "out" / "ranges.json").read_text())
    rows = {row["name"]: row for row in report["table"]}
    assert rows["strength:drive"]["value"] == pytest.approx(0.8, abs=0.02)
    assert rows["strength:drive"]["low"] < 0.7 < 0.9 < rows["strength:drive"]["high"]
    worlds = Simulation("cartpole", load_domain("cartpole", f"{tmp_path}/out/ranges.yaml:ranges"))
    assert "strength:drive" in worlds.context_names


@pytest.mark.usefixtures("short_cartpole", "nothing_missing", "quick")
def test_a_transfer_with_identify_shows_its_rounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "family.yaml").write_text(FAMILY)
    (tmp_path / "target.yaml").write_text("weak: {actuation: [{strength: 0.7}, {delay: 0.02}]}")
    words = ["transfer", "pretrained:cartpole", "--domain", f"{tmp_path}/target.yaml:weak"]
    words += ["--method", "identify"]
    options = ["simulated_steps=2048", "evaluations=1", "episodes=2", "attempts=1", "rounds=1"]
    words += ["--budget", "200", "--out", str(tmp_path / "run"), "--set", *options]
    assert cli.main([*words, f"family={tmp_path}/family.yaml:motors"]) == 0
    captured = capsys.readouterr()
    shown = " ".join(captured.out.split())
    for word in ("strength:drive", "round 1", "simulated return after", "adapted policy"):
        assert word in shown
    assert re.search(r"simulated return at home: \d+, simulated return before", captured.err)
    written = json.loads((tmp_path / "run" / "report" / "transfer.json").read_text())
    assert written["rounds"][0]["steps"] == 100
