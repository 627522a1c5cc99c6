"""The output of an audit: plain data, tables and a figure."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from sim2real import cli
from sim2real.cli.audit import audited
from sim2real.domains import Domain
from sim2real.evaluation.audit import AuditReport, End, Finding, audit
from sim2real.evaluation.audit.figure import write_figure

SLIPPERY = """
slippery:
  about: A foot of less friction than the floor has.
  dynamics:
    - {field: geom_friction, of: foot_geom, component: sliding, set: 0.2}
"""


@pytest.fixture
def slippery(tmp_path: Path) -> str:
    (tmp_path / "mine.yaml").write_text(SLIPPERY)
    return f"{tmp_path / 'mine.yaml'}:slippery"


def test_the_verb_writes_what_it_prints_and_fails(
    slippery: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["audit", "hopper", "--domain", slippery]
    assert cli.main([*words, "--out", str(out)]) == 1
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "floor's friction 1.0 is larger, and MuJoCo takes the maximum" in shown
    written = json.loads((out / "audit.json").read_text())
    assert not written["passed"]
    with Image.open(out / "audit.png") as figure:
        assert figure.width > 1000
    assert cli.main([*words, "--json", "--waive", "geom_friction.sliding:foot_geom"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"]
    assert printed["findings"][0]["verdict"] == "waived"
    assert printed["findings"][0]["ends"] == written["findings"][0]["ends"]


def test_a_domain_that_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["audit", "cartpole", "--domain", "mild"]) == 0
    assert "every parameter has an effect, every world is stable" in capsys.readouterr().out
    assert cli.main(["audit", "cartpole", "--domain", "nominal"]) == 0


def test_what_is_not_finite_is_null() -> None:
    end = End("high", 2.0, {"acceleration": float("inf"), "trajectory": 0.123456}, float("nan"))
    report = AuditReport("task", "domain", (Finding("mass", "a mass", (end,)),), 1.0)
    (finding,) = report.plain()["findings"]
    assert finding["ends"][0]["changes"] == {"acceleration": None, "trajectory": 0.1235}
    assert finding["ends"][0]["times_noise"] is None
    json.dumps(report.plain(), allow_nan=False)


def test_the_columns_have_the_names_of_the_documentation() -> None:
    end = End("high", 2.0, {"observation": 0.25}, 3e5)
    report = AuditReport("task", "domain", (Finding("mass", "a mass", (end,)),), 1.0)
    effects = audited(report)[0]
    headers = [" ".join(str(column.header).split()) for column in effects.columns]
    shown = {
        name: list(column.cells) for name, column in zip(headers, effects.columns, strict=True)
    }
    assert shown["observation"] == ["25"]
    assert shown["times noise"] == ["3e+05"]
    page = (Path(__file__).parents[3] / "docs" / "howto" / "audit.md").read_text()
    assert all(f"`{name}`" in page for name in headers[2:])


def test_a_label_waives_all_its_elements() -> None:
    findings = tuple(Finding(f"mass:{name}", "", errors=("no",)) for name in ("a", "b"))
    report = AuditReport("task", "domain", findings, 1.0)
    assert report.errors == ("mass:a: no", "mass:b: no")
    assert report.waive(["mass"]).passed
    assert report.waive(["mass:a"]).errors == ("mass:b: no",)


def test_the_table_and_the_figure_hold_every_end(tmp_path: Path) -> None:
    drawn = {"field": "opt.gravity", "component": "z", "scale": {"uniform": [0.5, 2.0]}}
    report = audit("hopper", Domain(name="moon", dynamics=[drawn]))
    console = Console(file=io.StringIO(), width=80)
    for table in audited(report):
        console.print(table)
    text = console.file.getvalue()
    assert "hopper in moon" in text
    assert "0.5" in text
    assert "passed" in text
    curve = report.findings[0].curve
    assert curve is not None
    assert set(curve.lines) == {"nominal", "low", "high"}
    assert {len(line) for line in curve.lines.values()} == {len(curve.seconds)}
    write_figure(tmp_path / "figure.png", report)
    nothing = AuditReport("hopper", "nominal", (), 0.1)
    write_figure(tmp_path / "nothing.png", nothing)
    assert (tmp_path / "nothing.png").stat().st_size > 0
