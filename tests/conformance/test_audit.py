"""Every domain that is shipped passes its audit: each parameter acts, no world is broken."""

from __future__ import annotations

import functools

import pytest
from conformance_cases import AUDITED

from sim2real.domains.presets import preset_names
from sim2real.evaluation.audit import Auditor
from sim2real.registry import load_task, task_names

PRESETS = [(task, preset) for task in task_names() for preset in preset_names(load_task(task))]
QUICK = {
    ("hopper", "odrl:friction-0.1"),
    ("hopper", "odrl:morph-foot-hard"),
    *((task, "rwrl:hard") for task in ("hopper", "furuta", "pusher")),
}


@functools.cache
def auditor(task: str) -> Auditor:
    """What is nominal is probed once for all domains of the task."""
    return Auditor(task)


@pytest.mark.parametrize(("task", "domain"), [*AUDITED, *sorted(QUICK)])
def test_it_passes_its_audit(task: str, domain: str) -> None:
    report = auditor(task).audit(domain)
    assert report.errors == ()
    assert [(one.parameter, one.warnings) for one in report.findings if one.warnings] == []


@pytest.mark.slow
@pytest.mark.parametrize(("task", "preset"), sorted(set(PRESETS) - QUICK))
def test_the_other_presets_pass_too(task: str, preset: str) -> None:
    assert auditor(task).audit(preset).errors == ()
