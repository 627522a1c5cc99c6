"""An exported policy acts as the policy does, and says what a robot must know of it."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from conformance_cases import slow_unless
from policies_at_random import KINDS, MODIFIED, made

from sim2real import cli
from sim2real.deployment import export as exporting
from sim2real.deployment.actor import Actor
from sim2real.deployment.export import export, exported
from sim2real.deployment.parity import actions_of
from sim2real.envs.quadruped import ACTION_SCALE, POSE
from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.registry import task_names
from sim2real.runs.session import Session
from sim2real.simulation import Simulation

ALGORITHMS = ("ppo", "sac", "td3")
EVERY_KIND = [*KINDS, *MODIFIED]


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_actor_alone_gives_what_predict_gives(algorithm: str, kind: str) -> None:
    policy, seen = made("cartpole", algorithm, kind)
    given = Actor(policy)(torch.from_numpy(seen)).numpy()
    np.testing.assert_allclose(given, actions_of(policy, seen), rtol=0, atol=2e-7)
    assert np.ptp(given) > 0.1


CASES = [
    (task, algorithm, kind) for task in task_names() for algorithm in ALGORITHMS for kind in KINDS
]
FAST = {
    ("cartpole", "ppo", "privileged_conv"),
    ("quadrotor", "sac", "history"),
    ("arm_reach", "td3", "conv"),
}


@pytest.mark.parametrize(
    ("task", "algorithm", "kind"), [slow_unless(case in FAST, *case) for case in CASES]
)
def test_the_files_act_as_the_policy(task: str, algorithm: str, kind: str) -> None:
    policy, seen = made(task, algorithm, kind)
    contents, measured = exported(policy, seen, {})
    assert set(contents) == set(measured["difference"])
    wide = task == "humanoid"  # sums of 1,000 numbers: `predict` itself is rounded by 2e-6
    assert max(measured["difference"].values()) <= (4e-6 if wide else 1e-6)


FAST_MODIFIED = (("sac", "lateral"), ("ppo", "residual_and_adapter"))


@pytest.mark.parametrize(
    ("algorithm", "kind"),
    [
        slow_unless((algorithm, kind) in FAST_MODIFIED, algorithm, kind)
        for algorithm in ALGORITHMS
        for kind in MODIFIED
    ],
)
def test_adapters_and_residual_policies_are_in_the_files(algorithm: str, kind: str) -> None:
    policy, seen = made("cartpole", algorithm, kind)
    contents, _ = exported(policy, seen, {})
    names = [one.name for one in onnx.load_from_string(contents["policy.onnx"]).graph.initializer]
    assert not [name for name in names if "lora" in name or "input_weight" in name]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [8], "history": 3}
    pretrain(
        "quadruped",
        "randomized",
        steps=128,
        num_envs=4,
        options=options,
        out=folder,
        progress=False,
    )
    return folder


@pytest.fixture(scope="module")
def folder(run: Path) -> Path:
    out = run.parent / "exported"
    export(run, out)
    return out


def test_the_files_and_their_digests(folder: Path) -> None:
    contract = json.loads((folder / "contract.json").read_text())
    assert {path.name for path in folder.iterdir()} == {*contract["files"], "contract.json"}
    for name, digest in contract["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert contract["measured"]["observations"] == 1000


def test_the_test_vectors_are_in_the_file(folder: Path) -> None:
    session = Session((folder / "policy.onnx").read_bytes())
    vectors = json.loads(session.metadata["sim2real"])["test_vectors"]
    seen = np.array(vectors["observations"], np.float32)
    given = session({"obs": seen})["actions"]
    np.testing.assert_allclose(given, vectors["actions"], rtol=0, atol=1e-6)
    assert len(seen) == 8
    assert len(np.unique(seen, axis=0)) == 8


def test_the_contract_of_a_quadruped(folder: Path) -> None:
    contract = json.loads((folder / "contract.json").read_text())
    action, terms = contract["action"], contract["observation"]["terms"]
    assert contract["control_dt"] == 0.02
    assert [term["name"] for term in terms][:3] == ["gyro", "gravity", "joint_positions"]
    assert [term["first"] for term in terms] == list(np.cumsum([0, 9, 9, 36, 36, 36]))
    assert {term["history"] for term in terms} == {3}
    assert action["joints"][:3] == ["FR_hip_joint", "FR_thigh_joint", "FR_calf_joint"]
    np.testing.assert_allclose(action["command"]["offset"], POSE, rtol=1e-12)
    np.testing.assert_allclose(action["command"]["scale"], ACTION_SCALE, rtol=1e-12)
    positions = terms[2]
    first = {"joint": "FR_hip_joint", "quantity": "position", "scale": 1.0, "offset": 0.0}
    assert positions["joints"][0] == first
    assert positions["joints"][1]["offset"] == -POSE[1]
    assert terms[0]["joints"] == [None] * 3
    assert positions["unit"] == "rad"
    assert [next(iter({*entry} - {"of"})) for entry in positions["sensing"]] == ["noise", "bias"]
    assert not terms[5]["sensing"]
    assert terms[5]["commanded"]
    assert action["longest_delay_s"] == 0.02
    assert len(contract["normalizer"]["mean"]) == 3 * 45
    assert contract["domain"]["name"] == "randomized"
    stored = Session((folder / "policy.onnx").read_bytes()).metadata
    assert json.loads(stored["sim2real"]).items() <= contract.items()


def test_the_keys_of_other_runners(folder: Path) -> None:
    found = Session((folder / "policy.onnx").read_bytes()).metadata
    assert found["observation_terms_history_length"] == "3,3,3,3,3,3"
    assert found["command_names"] == "last_action,command"
    assert found["joint_names"].split(",")[0] == "FR_hip_joint"
    assert [float(one) for one in found["default_joint_pos"].split(",")] == POSE.tolist()
    scale = [float(one) for one in found["action_scale"].split(",")]
    assert scale == pytest.approx([ACTION_SCALE] * 12, rel=1e-12)
    model = Simulation("quadruped", threads=1).model
    gains = [float(one) for one in found["joint_stiffness"].split(",")]
    assert gains == model.actuator_gainprm[:, 0].tolist()


def test_a_file_that_acts_otherwise_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Actor):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return super().forward(observations) + 3e-6

    monkeypatch.setattr(exporting, "Actor", Wrong)
    with pytest.raises(UserError, match=r"policy\.onnx: its actions differ .* by 3\.\de-06"):
        export(run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"onnxscript: python -m pip install 'sim2real\[export\]'"):
        export(run, run.parent / "never")


def test_the_verb(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "joint_positions" in shown
    assert "policy.onnx" in shown
    assert cli.main(["export", str(run), "--out", str(tmp_path / "out")]) == 2
    assert "exists already" in capsys.readouterr().err
