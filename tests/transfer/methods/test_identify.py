"""The method identify: its phases, its decision, its counts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sim2real.domains.library import load_domains
from sim2real.files import read_json
from sim2real.policies.recipe import ALGORITHMS
from sim2real.transfer.api import SOURCE_STEPS
from sim2real.transfer.conformance import Trial, same_policy
from sim2real.transfer.methods.identify import DOMAINS, REPORT
from sim2real.transfer.resume import resume
from sim2real.transfer.work import PHASES

TINY: dict[str, Any] = {
    "simulated_steps": 96,
    "evaluations": 2,
    "episodes": 2,
    "attempts": 2,
    "verify": 2,
}
BUDGET = 240


FAMILY = """
strengths:
  actuation: [{strength: {uniform: [0.3, 1.7]}}]
  dynamics: [{field: body_mass, of: [pole], scale: {uniform: [0.3, 3.0]}}]
"""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("identify")
    (folder / "family.yaml").write_text(FAMILY)
    options = {**TINY, "family": f"{folder}/family.yaml:strengths"}
    return {
        algorithm: Trial("identify", algorithm, folder / algorithm, BUDGET, options)
        for algorithm in ALGORITHMS
    }


def untimed(path: Path) -> Any:
    """A report without the seconds that an identification took."""
    found = read_json(path)
    for one in found.get("rounds", []):
        del one["seconds"]
    return found


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_run_resumed_after_any_phase_equals_it(algorithm: str, trials: dict[str, Trial]) -> None:
    trial = trials[algorithm]
    count = len(list((trial.moved.path / PHASES).glob("*")))
    for kept in range(2, count, 3) if algorithm == "ppo" else [count // 2]:
        path = trial.folder / f"cut-{kept}"
        shutil.copytree(trial.moved.path, path)
        for phase in sorted((path / PHASES).glob("*"))[kept:]:
            shutil.rmtree(phase)
        shutil.rmtree(path / "report")
        shutil.rmtree(path / "checkpoints")
        resumed = resume(path, progress=False)
        assert same_policy(resumed, trial.moved)
        for name in ("report/budget.json", SOURCE_STEPS, REPORT):
            assert untimed(path / name) == untimed(trial.moved.path / name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_report_has_what_was_done(algorithm: str, trials: dict[str, Trial]) -> None:
    path = trials[algorithm].moved.path
    (only,) = read_json(path / REPORT)["rounds"]
    used = read_json(path / "report/budget.json")["used"]["steps"]
    assert only["steps"] == BUDGET // 2
    assert BUDGET // 2 <= used <= BUDGET
    assert set(load_domains(path / DOMAINS)) == {"identified", "posterior"}
    simulated = read_json(path / SOURCE_STEPS)["steps"]
    assert simulated > only["simulated_steps"] + 96
