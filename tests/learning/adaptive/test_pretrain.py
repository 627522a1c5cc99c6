"""Adaptive randomization in a run: kept in its config, resumed exactly, refused if impossible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sim2real import cli
from sim2real.errors import UserError
from sim2real.learning import ADAPTIVE
from sim2real.learning.adaptive import RANDOMIZATIONS, build_randomization, load_randomization
from sim2real.learning.pretrain import pretrain
from sim2real.runs.checkpoint import discard_after
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.resume import resume

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 128, "net_arch": [8], "n_epochs": 1},
    "sac": {"net_arch": [8], "batch_size": 32, "learning_starts": 200, "gradient_steps": 1},
}
HOPPER: list[dict[str, Any]] = [
    {"name": "adr", "low": 5.0, "high": 20.0, "buffer": 2, "boundary_probability": 0.9},
    {"name": "doraemon", "success_return": 15.0, "episodes": 16},
    {"name": "curriculum", "stages": 6, "until": 0.9},
    {"name": "curriculum", "threshold": 10.0, "episodes": 12},
]


def small(out: Path, randomization: Any, algorithm: str = "ppo", **changes: Any) -> Run:
    arguments: dict[str, Any] = {"steps": 4000, "num_envs": 8, "checkpoint_every": 1000} | changes
    return pretrain(
        "hopper",
        algorithm=algorithm,
        options=SMALL[algorithm],
        randomization=randomization,
        out=out,
        pictures_every=0,
        progress=False,
        **arguments,
    )


def state_of(run: Run) -> dict[str, Any]:
    """Of the callback, at the end."""
    name = RANDOMIZATIONS[(run.config.randomization or {})["name"]].__name__
    state: dict[str, Any] = run.checkpoint.state["callbacks"][name]
    return state


@pytest.mark.parametrize(
    ("algorithm", "randomization"),
    [
        ("ppo", HOPPER[0]),
        ("ppo", HOPPER[3]),
        ("sac", HOPPER[1]),
        *(pytest.param("ppo", one, marks=pytest.mark.slow) for one in HOPPER[1:3]),
        pytest.param("sac", HOPPER[0], marks=pytest.mark.slow),
    ],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_a_resumed_run_equals_one_never_stopped(
    algorithm: str, randomization: Any, curves: Any, tmp_path: Path
) -> None:
    steps = 2400 if algorithm == "ppo" else 1200
    every = steps // 4
    whole = small(tmp_path / "whole", randomization, algorithm, steps=steps, checkpoint_every=every)
    stopped = shutil.copytree(whole.path, tmp_path / "stopped")
    discard_after(stopped, whole.steps[2])
    before, after = state_of(load_run(stopped)), state_of(whole)
    assert before["method"] != after["method"]  # something has moved since
    resumed = resume(stopped, progress=False)
    assert state_of(resumed) == after
    for kind in ("policy", "training"):
        tensors, others = getattr(whole.checkpoint, kind), getattr(resumed.checkpoint, kind)
        assert not [name for name in tensors if not torch.equal(tensors[name], others[name])]
    expected, got = curves(whole.path), curves(stopped)
    assert "worlds/randomization/entropy" in expected
    assert got == expected


def test_what_is_logged_and_kept(curves: Any, tmp_path: Path) -> None:
    run = small(tmp_path / "run", HOPPER[1])
    config = yaml.safe_load((run.path / "config.yaml").read_text())["randomization"]
    assert config == {
        "name": "doraemon",
        "parameters": [],
        "success_return": 15.0,
        "success_rate": 0.5,
        "divergence": 0.3,
        "episodes": 16,
        "concentration": 30.0,
    }
    names = state_of(run)["names"]
    assert {"body_mass:torso", "geom_friction.sliding", "delay"} <= set(names)
    tags = curves(run.path)
    for name in names:
        lows, highs, entropies = (
            np.array([value for _, value in tags[f"worlds/randomization/{kind}/{name}"]])
            for kind in ("low", "high", "entropy")
        )
        assert np.all(lows < highs)
        assert np.all(entropies < 0)
    assert tags["worlds/randomization/entropy"][-1][1] > tags["worlds/randomization/entropy"][0][1]
    names = {"success_rate", "expected_success_rate", "divergence", "effective_episodes"}
    assert {f"worlds/randomization/{name}" for name in names} <= set(tags)


def test_the_first_episodes_are_near_nominal_already(curves: Any, tmp_path: Path) -> None:
    run = small(tmp_path / "run", {"name": "adr", "low": -1.0, "high": 1e9}, steps=1024)
    context = run.checkpoint.training["worlds/1/context"]
    nominal = [0.0 if name == "delay" else 1.0 for name in state_of(run)["names"]]
    np.testing.assert_allclose(context.numpy(), np.tile(nominal, (8, 1)), atol=1e-12)
    low = curves(run.path)["worlds/context/body_mass:torso"][0][1][-1]
    assert low == pytest.approx(1.0)


def test_defaults_are_tuned_by_task() -> None:
    hopper = load_randomization("adr", "hopper")
    assert hopper is not None
    assert hopper["low"] < hopper["high"]
    asked = load_randomization({"name": "adr", "low": 1, "high": 2}, "hopper")
    assert asked is not None
    assert (asked["low"], asked["high"], asked["buffer"]) == (1.0, 2.0, 10)
    assert load_randomization(None) is None
    assert load_randomization("uniform") is None
    assert build_randomization(None) is None


@pytest.mark.parametrize("task", ["hopper", "ant", "cartpole"])
@pytest.mark.parametrize("name", ["doraemon", "curriculum"])
def test_two_methods_need_no_thresholds(task: str, name: str) -> None:
    assert build_randomization(load_randomization(name, task)) is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"randomization": "ard"}, "unknown randomization 'ard'; did you mean 'adr'"),
        ({"randomization": {"low": 3}}, "unknown randomization None; allowed: uniform, adr"),
        ({"randomization": {"name": "uniform", "low": 3}}, "'uniform' has no options, got low"),
        ({"randomization": {"name": "adr", "hihg": 3}}, "adr options: hihg: .* mean 'high'"),
        ({"randomization": {"name": "adr", "low": 900}}, "low 900 must not be above high 600"),
        ({"randomization": "adr", "domain": "hard"}, "domain 'hard' has nothing to adapt"),
        (
            {"randomization": {"name": "doraemon", "parameters": ["body_mas"]}},
            "unknown parameter .*'body_mas'; did you mean 'body_mass'",
        ),
    ],
)
def test_bad_input_leaves_nothing(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as raised:
        small(tmp_path / "run", **changes)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_a_task_without_thresholds_asks_for_them(bandit: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="adr options: low: must be given; high: must be given"):
        pretrain(bandit, steps=256, randomization="adr", out=tmp_path / "run", progress=False)


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["randomizations"] == ["adr", "doraemon", "curriculum"]
    arguments = ["pretrain", "hopper", "--steps", "512", "--num-envs", "8", "--json"]
    arguments += ["--set", "n_steps=32", "batch_size=64", "--out", str(tmp_path / "run")]
    arguments += ["--randomization", "curriculum", "--randomization-options", "stages=4"]
    assert cli.main(arguments) == 0
    randomization = load_run(tmp_path / "run").config.randomization
    assert randomization is not None
    assert (randomization["name"], randomization["stages"]) == ("curriculum", 4)


def test_each_method_is_listed_under_its_name() -> None:
    assert {name: kind.name for name, kind in RANDOMIZATIONS.items()} == {
        name: name for name in ADAPTIVE
    }
