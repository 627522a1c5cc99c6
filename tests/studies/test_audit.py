"""A study audits its domains before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim2real import cli
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.audit import audits
from sim2real.registry import load_task
from sim2real.studies.audit import AuditFailed, audit_domains
from sim2real.studies.config import StudyConfig, load_study
from sim2real.studies.study import study

STUDY: dict[str, Any] = {
    "task": "inverted_pendulum",
    "source": {"steps": 4096, "domain": "mild"},
    "methods": ["fine_tune"],
    "budget": 2048,
    "oracle": {"steps": 4096},
}
FLAT = {"about": "Nothing.", "dynamics": [{"field": "opt.gravity", "component": "y", "add": 1.0}]}


def write(folder: Path, **more: Any) -> Path:
    (folder / "mine.yaml").write_text(yaml.safe_dump({"flat": FLAT}))
    targets = [f"{folder / 'mine.yaml'}:flat"]
    asked = STUDY | {"targets": targets, "out": str(folder / "out")} | more
    (folder / "study.yaml").write_text(yaml.safe_dump(asked))
    return folder / "study.yaml"


def check(folder: Path, **more: Any) -> Path:
    """Audit as a study with these options does; the file that it writes."""
    config = load_study(write(folder, **more))
    audit_domains(config, load_task("inverted_pendulum"), [Domain(name="flat", **FLAT)])
    return config.folder / "audit.json"


def test_errors_stop_a_study(tmp_path: Path) -> None:
    with pytest.raises(AuditFailed, match=r"flat: opt.gravity.y: has no effect.*audit: false") as e:
        study(write(tmp_path), workers=1, progress=False)
    assert [report.domain for report in e.value.reports] == ["flat"]
    assert not (tmp_path / "out" / "runs").exists()
    told = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert [(report["domain"], report["passed"]) for report in told] == [
        ("mild", True),
        ("flat", False),
    ]


def test_the_command_shows_the_table_of_the_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["study", str(write(tmp_path))]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "no joint lets anything move" in shown
    assert shown.index("no joint lets anything move") < shown.index("error: the audit")


def test_a_parameter_is_waived_by_name(tmp_path: Path) -> None:
    (report,) = json.loads(check(tmp_path, audit=["opt.gravity.y"]).read_text())
    assert report["findings"][0]["verdict"] == "waived"
    with pytest.raises(UserError, match="unknown waived parameter 'gravity'; did you mean"):
        check(tmp_path, audit=["gravity"])


def test_the_audit_can_be_left_out(tmp_path: Path) -> None:
    assert not check(tmp_path, audit=False).exists()


@pytest.mark.parametrize("given", ["yes please", 3, {"opt.gravity.y": 1}])
def test_nothing_else_is_taken(tmp_path: Path, given: Any) -> None:
    with pytest.raises(UserError, match="audit"):
        load_study(write(tmp_path, audit=given))


def test_a_study_without_a_word_is_audited() -> None:
    assert StudyConfig(**STUDY, targets=("medium",)).audit is True


def test_all_tasks_domains_are_audited_together() -> None:
    reports = audits("inverted_pendulum", ["mild", "medium"])
    assert [report.domain for report in reports] == ["mild", "medium"]
