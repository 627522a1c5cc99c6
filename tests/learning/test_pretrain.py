"""Pretraining on the real simulation: run folder, exact resumption, bad input."""

from __future__ import annotations

import copy
import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import sim2real
from sim2real import files
from sim2real.errors import UserError
from sim2real.learning import pretrain as pretraining
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.runs.checkpoint import read_checkpoint, restore, steps
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.resume import resume

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 32, "batch_size": 128, "net_arch": [16]},
    "sac": {"net_arch": [16], "batch_size": 64, "learning_starts": 400},
    "td3": {"net_arch": [16], "batch_size": 64, "learning_starts": 400},
}
COMMON: dict[str, Any] = {"num_envs": 8, "pictures_every": 0, "progress": False}


def small(algorithm: str, out: Path, **changes: Any) -> Run:
    arguments = {"steps": 1500, "options": SMALL[algorithm], "checkpoint_every": 500} | COMMON
    return pretrain("hopper", algorithm=algorithm, out=out, **(arguments | changes))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run of PPO that no test changes."""
    return small("ppo", tmp_path_factory.mktemp("kept") / "run")


@pytest.fixture
def copied(kept: Run, tmp_path: Path) -> Run:
    """A copy of it."""
    return load_run(shutil.copytree(kept.path, tmp_path / "run"))


def test_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretraining.Pictures, "_show", lambda self: None)  # there may be no OpenGL
    run = small("ppo", tmp_path / "run", target="hard", pictures_every=None)
    assert sorted(path.name for path in run.path.iterdir() if "events" not in path.name) == [
        "checkpoints",
        "config.yaml",
        "domains.yaml",
        "manifest.json",
        "report",
        "task.json",
        "versions.json",
    ]
    assert run.step == 1496  # 1,500 is no multiple of 8 worlds
    assert run.steps[0] == 0
    config = yaml.safe_load((run.path / "config.yaml").read_text())
    assert config["recipe"]["net_arch"] == [16]
    assert config["recipe"]["gamma"] == 0.995
    task = json.loads((run.path / "task.json").read_text())
    assert task["reference"] == "hopper"
    assert task["control_dt"] == 0.008
    assert sum(term["size"] for term in task["observation_terms"]) == 11
    assert all({"name", "size", "unit"} <= set(term) for term in task["observation_terms"])
    assert task["action_space"]["low"] == [-1.0, -1.0, -1.0]
    assert list(run.domains) == ["randomized", "hard"]
    assert run.domains["hard"] == sim2real.load_domain("hopper", "hard")
    versions = json.loads((run.path / "versions.json").read_text())
    assert versions["mujoco"] == "4.0.0"
    assert not [file for file in run.path.rglob("*") if file.suffix in (".pkl", ".zip", ".pth")]


@pytest.mark.parametrize("algorithm", SMALL)
def test_loaded_policy_is_the_trained_one(algorithm: str, tmp_path: Path) -> None:
    run = small(algorithm, tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.config == run.config
    assert not again.policy.training
    assert again.algorithm.env is None
    names = [name for name in again.policy.state_dict() if name.endswith("normalizer.count")]
    assert {float(again.policy.state_dict()[name]) for name in names} == {1496.0}
    observations = np.random.default_rng(0).normal(size=(20, 11))
    actions, _ = again.policy.predict(observations, deterministic=True)
    early, _ = load_run(run.path, 0).policy.predict(observations, deterministic=True)
    assert actions.shape == (20, 3)
    assert not np.array_equal(actions, early)
    for name, tensor in again.policy.state_dict().items():
        assert torch.equal(tensor, run.policy.state_dict()[name])


STOPPED = """
import json, sys
from sim2real.learning.pretrain import pretrain
pretrain("hopper", algorithm=sys.argv[1], out=sys.argv[2], **json.loads(sys.argv[3]))
"""


@pytest.mark.parametrize(
    ("algorithm", "how"),
    [
        pytest.param("ppo", signal.SIGKILL, marks=pytest.mark.slow),  # fast: test_kills
        pytest.param("ppo", signal.SIGINT, marks=pytest.mark.slow),  # fast: test_cli
        pytest.param("sac", signal.SIGKILL, marks=pytest.mark.slow),  # fast: test_resume
        pytest.param("sac", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("td3", signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param("td3", signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_stopped_run_resumes_exactly(
    algorithm: str, how: signal.Signals, curves: Any, tmp_path: Path
) -> None:
    options = SMALL[algorithm]
    total = 4000 if algorithm == "ppo" else 1504
    arguments = COMMON | {"steps": total, "options": options, "checkpoint_every": 256, "seed": 3}
    stopped = tmp_path / "stopped"
    call = [sys.executable, "-c", STOPPED, algorithm, str(stopped), json.dumps(arguments)]
    process = subprocess.Popen(call, stderr=subprocess.DEVNULL)
    try:
        while len(steps(stopped)) < 2:
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        process.send_signal(how)
    assert process.wait() != 0
    assert steps(stopped)[-1] < total

    resumed = resume(stopped, progress=False)
    whole = pretrain("hopper", algorithm=algorithm, out=tmp_path / "whole", **arguments)
    assert resumed.step == whole.step == total
    _assert_same(whole, resumed)
    assert curves(stopped) == curves(tmp_path / "whole")


def _assert_same(one: Run, other: Run) -> None:
    for kind in ("policy", "training"):
        tensors, others = getattr(one.checkpoint, kind), getattr(other.checkpoint, kind)
        assert tensors.keys() == others.keys()
        assert not [name for name in tensors if not torch.equal(tensors[name], others[name])]
    states = [copy.deepcopy(run.checkpoint.state) for run in (one, other)]
    for state in states:
        for episode in state["episodes"]:
            episode.pop("t")  # wall clock
    assert states[0] == states[1]


def test_finished_run_is_left_alone(kept: Run) -> None:
    run = kept
    before = {file: file.stat().st_mtime_ns for file in run.path.rglob("*") if file.is_file()}
    assert resume(run.path, progress=False).step == run.step
    assert before == {f: f.stat().st_mtime_ns for f in run.path.rglob("*") if f.is_file()}


def test_run_without_a_checkpoint_begins_anew(curves: Any, kept: Run, copied: Run) -> None:
    run = copied
    for folder in (run.path / "checkpoints").iterdir():
        (folder / "manifest.json").unlink()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    resumed = resume(run.path, progress=False)
    _assert_same(kept, resumed)
    assert curves(run.path) == curves(kept.path)


def test_damaged_newest_checkpoint_is_made_again(kept: Run, copied: Run) -> None:
    file = copied.checkpoint.path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"is damaged: .*; using step 1000 instead"):
        resumed = resume(copied.path, progress=False)
    _assert_same(kept, resumed)


def test_other_versions_are_reported(copied: Run) -> None:
    run = copied
    versions = json.loads((run.path / "versions.json").read_text())
    (run.path / "versions.json").write_text(json.dumps(versions | {"mujoco": "3.0.0"}))
    with pytest.warns(UserWarning, match=r"other versions: mujoco 3\.0\.0 -> 4\.0\.0"):
        resume(run.path, progress=False)


def test_existing_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        small("ppo", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_full_disk_at_the_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(files, "write_bytes", full)
    with pytest.raises(UserError, match="No space left on device; nothing was written"):
        small("ppo", tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 7}, "steps is 7; allowed: a whole number, at least one step of the 8 worlds"),
        ({"domain": "randomised"}, "unknown domain .*'randomised'; did you mean 'randomized'"),
        ({"target": "heard"}, "unknown domain .*'heard'; did you mean 'hard'"),
        ({"algorithm": "pppo"}, "unknown algorithm 'pppo'; did you mean 'ppo'"),
        ({"options": {"n_step": 4}}, "unknown ppo option 'n_step'; did you mean 'n_steps'"),
        ({"num_envs": 0}, "num_envs: .* at least 1, got 0"),
        ({"seed": -1}, "seed: .* at least 0, got -1"),
        ({"checkpoint_every": 0}, "checkpoint_every: .* at least 1"),
        ({"pictures_every": -1}, "pictures_every: .* at least 0"),
    ],
)
def test_bad_input_leaves_nothing(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    arguments = {"algorithm": "ppo", "steps": 1500} | COMMON | changes
    with pytest.raises(UserError, match=message) as raised:
        pretrain("hopper", out=tmp_path / "run", **arguments)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_what_is_not_a_run(copied: Run, tmp_path: Path) -> None:
    for read in (load_run, resume):
        with pytest.raises(UserError, match=r"is not a run: it has no config\.yaml"):
            read(tmp_path)
    run = copied
    text = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(text.replace("seed: 0", "sead: 0"))
    with pytest.raises(UserError, match="unknown key 'sead'; did you mean 'seed'"):
        load_run(run.path)
    (run.path / "config.yaml").write_text("!!python/object/apply:os.system [exit]")
    with pytest.raises(UserError, match="not valid YAML"):
        load_run(run.path)


def test_checkpoint_of_another_task_names_both(kept: Run) -> None:
    recipe = load_recipe("ppo", None, SMALL["ppo"] | {"num_envs": 8})
    cheetah = build_algorithm(recipe, make_vec_env("half_cheetah", num_envs=8), 0)
    expected = r"it has observation \(11,\) .* action \(3,\) .*, needed are observation \(17,\)"
    with pytest.raises(UserError, match=expected):
        restore(cheetah, read_checkpoint(kept.path))


def test_robot_in_a_file_of_ones_own(tmp_path: Path) -> None:
    source = load_task("cartpole").file
    for suffix in (".py", ".xml", ".yaml"):
        (tmp_path / f"my_robot{suffix}").write_text(source.with_suffix(suffix).read_text())
    run = pretrain(
        str(tmp_path / "my_robot.py"), "nominal", steps=600, out=tmp_path / "run", **COMMON
    )
    assert run.config.task == str(tmp_path / "my_robot.py")
    assert load_run(run.path).task.name == "my_robot"
    assert resume(run.path, progress=False).step == 600


def test_a_source_and_a_target_of_one_name_are_both_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretraining.Pictures, "_show", lambda self: None)  # there may be no OpenGL
    for name, scale in (("a", 2.0), ("b", 3.0)):
        text = f"windy: {{dynamics: [{{field: body_mass, scale: {scale}}}]}}"
        (tmp_path / f"{name}.yaml").write_text(text)
    run = pretrain(
        "cartpole",
        f"{tmp_path}/a.yaml:windy",
        target=f"{tmp_path}/b.yaml:windy",
        steps=128,
        num_envs=4,
        options={"n_steps": 16, "batch_size": 16},
        out=tmp_path / "run",
        progress=False,
    )
    scales = {name: domain.describe() for name, domain in run.domains.items()}
    assert list(scales) == ["a.yaml:windy", "b.yaml:windy"]
    assert run.domain.describe() == scales["a.yaml:windy"] != scales["b.yaml:windy"]
