"""An exported policy acts as the policy does, and says what a robot must know of it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conformance_cases import slow_unless
from stable_baselines3.common.policies import BasePolicy

from sim2real import cli
from sim2real.deployment import export as exporting
from sim2real.deployment.actor import Actor
from sim2real.deployment.export import export, exported
from sim2real.deployment.graph import Session
from sim2real.deployment.parity import actions_of
from sim2real.deployment.probing import TRIED, commands_of
from sim2real.envs.quadruped import ACTION_SCALE, POSE
from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import InputLayer, LowRank, Modifier, Residual, apply_modifiers
from sim2real.policies.normalizer import update_normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.registry import task_names
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env

ALGORITHMS = ("ppo", "sac", "td3")
KINDS: dict[str, dict[str, Any]] = {
    "flat": {},
    "not_normalized": {"normalize_observations": False},
    "history": {"history": 3},
    "conv": {"history": 5, "encoder": "conv", "encoding": 3},
    "privileged_critic": {"privileged": True, "history": 2},
    "privileged_conv": {"privileged": True, "history": 4, "encoder": "conv", "encoding": 3},
    "teacher": {"privileged_actor": True},
    "context": {"privileged_actor": True, "context_encoder": [8, 2]},
}
MODIFIED: dict[str, Sequence[Modifier]] = {
    "adapter": [LowRank(rank=1)],
    "input_layer": [InputLayer()],
    "residual": [Residual(net_arch=(4,))],
    "lateral": [Residual(net_arch=(4, 3), lateral=True)],
    "residual_and_adapter": [LowRank(rank=1, layers=("*0",)), Residual(net_arch=(4,))],
}


def made(task: str, algorithm: str, kind: str) -> tuple[BasePolicy, np.ndarray]:
    """A policy with weights and statistics drawn at random, and observations of its scale."""
    options = {"net_arch": [8, 3], "num_envs": 4, **KINDS.get(kind, {})}
    recipe = load_recipe(algorithm, None, options)
    env = make_vec_env(task, "randomized", num_envs=4, **recipe.observed)
    policy = build_algorithm(recipe, env, 0).policy
    apply_modifiers(policy, MODIFIED.get(kind, ()))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for one in policy.parameters():
            inputs = one[0].numel() if one.ndim > 1 else 9  # of a bias: a third
            one.copy_(torch.from_numpy(rng.normal(0.0, inputs**-0.5, one.shape)))
    (size,) = env.observation_space.shape or (0,)
    center, spread = rng.normal(size=size), np.exp(rng.normal(size=size))
    seen = (center + spread * rng.normal(size=(40, size))).astype(np.float32)
    update_normalizers(policy, torch.from_numpy(seen))
    policy.set_training_mode(False)
    return policy, seen[:, : Actor(policy).inputs]


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
    assert max(measured["difference"].values()) <= 1e-6


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


@pytest.mark.parametrize("actions", ["own", "normalized"])
@pytest.mark.parametrize("task", ["furuta", "quadrotor", "pusher"])
def test_commands_are_those_of_the_task(task: str, actions: Any) -> None:
    simulation = Simulation(task, num_envs=TRIED, threads=1, actions=actions)
    found = commands_of(simulation)
    assert found is not None
    space = simulation.action_range
    given = np.random.default_rng(1).uniform(space.low, space.high, (TRIED, len(space.low)))
    expected = simulation.task.control(simulation, given)
    np.testing.assert_allclose(found.offset + found.scale * given, expected, rtol=1e-12)


def test_servos_that_are_moved_in_steps_have_no_affine_command() -> None:
    assert commands_of(Simulation("arm_reach", num_envs=TRIED, threads=1)) is None


def test_a_file_that_acts_otherwise_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(Actor):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return super().forward(observations) + 3e-6

    monkeypatch.setattr(exporting, "Actor", Wrong)
    with pytest.raises(UserError, match=r"policy\.onnx of the policy acts otherwise .* 3\.\de-06"):
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
