"""The same study on each executor: the same cells with equal results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim2real.studies.config import ComparisonConfig
from sim2real.studies.study import study

SMALL: dict[str, Any] = {
    "name": "small",
    "task": "cartpole",
    "domain": "nominal",
    "targets": ["hard"],
    "seeds": [0],
    "episodes": 2,
    "steps": 512,
    "options": {"num_envs": 4, "n_steps": 32, "net_arch": [8], "batch_size": 32},
    "pretrainings": ["plain", {"quick": {"options": {"learning_rate": 0.003}}}],
    "audit": False,
}


def cells(place: Path, monkeypatch: pytest.MonkeyPatch, **how: Any) -> dict[str, bytes]:
    """The files of the finished cells of the small study, run in `place`."""
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("SIM2REAL_CACHE", str(place / "cache"))
    study(ComparisonConfig.model_validate(SMALL), out="study", progress=False, **how)
    return {file.name: file.read_bytes() for file in (place / "study" / "cells").iterdir()}


def test_local_processes_give_the_results_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim2real.studies.study.write_comparison", lambda *_: None)
    inline = cells(tmp_path / "inline", monkeypatch, executor="inline")
    assert len(inline) == 6
    assert cells(tmp_path / "local", monkeypatch, workers=1) == inline
