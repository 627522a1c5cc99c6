"""Studies that start from runs and zips that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.runs.load import load_run
from sim2real.studies.config import StudyConfig
from sim2real.studies.plan import StudyPlan
from sim2real.studies.work import run_cell


def config(folder: Path, *runs: Path, **source: Any) -> StudyConfig:
    return StudyConfig.model_validate(
        {
            "name": "given",
            "task": "cartpole",
            "source": {"run": [str(run) for run in runs], **source},
            "targets": ["hard"],
            "methods": ["fine_tune"],
            "budget": 256,
            "seeds": 1,
            "oracle": {"steps": 256, "seeds": 1},
            "out": str(folder / "out"),
        }
    )


def test_a_study_starts_from_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))
    env = s2r.make_vec_env("cartpole", "nominal", num_envs=2)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=16, device="cpu")
    model.save(tmp_path / "plain.zip")
    plan = StudyPlan(config(tmp_path, tmp_path / "plain.zip", domain="nominal"))
    assert plan.source.name == "nominal"
    result = run_cell(plan.trained(0).work)
    copy = load_run(result["run"])
    seen = np.random.default_rng(0).normal(size=(9, 5))
    expected, _ = model.predict(seen, deterministic=True)
    np.testing.assert_allclose(copy.policy.predict(seen, deterministic=True)[0], expected)


def test_a_run_of_another_contract_is_refused_at_the_start(tmp_path: Path) -> None:
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [6]}
    path = tmp_path / "run"
    pretrain("cartpole", "nominal", steps=64, options=options, out=path, num_envs=4, progress=False)
    assert StudyPlan(config(tmp_path, path)).source.name == "nominal"
    info = json.loads((path / "task.json").read_text())
    info["observation_terms"].reverse()
    (path / "task.json").write_text(json.dumps(info))
    with (
        pytest.warns(UserWarning, match=r"edited since it was made: task\.json"),
        pytest.raises(UserError, match="observation order is velocity pole cart in the run") as one,
    ):
        StudyPlan(config(tmp_path, path))
    assert "accept" not in str(one.value)
    assert "train the run again, or restore the task" in str(one.value)


def test_a_run_whose_policy_acts_otherwise_is_refused_at_the_start(tmp_path: Path) -> None:
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [6]}
    path = tmp_path / "run"
    pretrain("cartpole", "nominal", steps=64, options=options, out=path, num_envs=4, progress=False)
    (path / "config.yaml").write_text((path / "config.yaml").read_text().replace("tanh", "relu"))
    with (
        pytest.warns(UserWarning, match=r"edited since it was made: config\.yaml"),
        pytest.raises(UserError, match=r"acts otherwise.*; a study starts from runs of its task"),
    ):
        StudyPlan(config(tmp_path, path))
