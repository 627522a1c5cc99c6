"""Each check of an exported policy finds the fault that it is for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sim2real import cli
from sim2real.deployment import preflight as checking
from sim2real.deployment.export import export
from sim2real.deployment.log_checks import LOG_CHECKS
from sim2real.deployment.preflight import CHECKS, preflight
from sim2real.deployment.robot_checks import ROBOT_CHECKS
from sim2real.errors import UserError
from sim2real.evaluation.rollout import simulation_for
from sim2real.files import sha256
from sim2real.identification.record import record
from sim2real.runs.load import load_run


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight") / "furuta"
    export("pretrained:furuta", folder)
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to spoil, on a computer that is never too slow."""
    monkeypatch.setattr(checking, "times", lambda session, inputs: [1e-4])
    return Path(shutil.copytree(good, tmp_path / "copy"))


def failed(folder: Path) -> dict[str, str]:
    return {one.name: one.message for one in preflight(folder) if not one.passed}


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    contract = json.loads((folder / "contract.json").read_text())
    change(contract)
    (folder / "contract.json").write_text(json.dumps(contract))


def spoil(folder: Path, name: str, change: Callable[[Any], None]) -> None:
    """Change the graph of an ONNX file; the contract has its new digest."""
    model = onnx.load(folder / name)
    change(model)
    onnx.save(model, folder / name)
    rewrite(folder, lambda contract: contract["files"].update({name: sha256(folder / name)}))


def test_what_was_exported_passes(folder: Path) -> None:
    assert [one.name for one in preflight(folder)] == list(CHECKS)
    assert failed(folder) == {}


def test_a_changed_file(folder: Path) -> None:
    with (folder / "policy.pt").open("ab") as file:
        file.write(b" ")
    assert "policy.pt is not the file that was exported" in failed(folder)["files"]


def test_a_missing_file(folder: Path) -> None:
    (folder / "controller.onnx").unlink()
    faults = failed(folder)
    assert set(faults) == {"files", "contract", "first call", "limits", "speed"}
    assert all("controller.onnx is missing; export again" in fault for fault in faults.values())


def test_a_changed_contract(folder: Path) -> None:
    rewrite(folder, lambda contract: contract.update(control_dt=0.01))
    assert failed(folder) == {
        "contract": "policy.onnx and contract.json differ in control_dt; export again"
    }


def heavier(model: Any) -> None:
    """The largest weights of the network are doubled."""
    largest = max(model.graph.initializer, key=lambda one: np.prod(one.dims))
    weights = 2.0 * onnx.numpy_helper.to_array(largest)
    largest.CopyFrom(onnx.numpy_helper.from_array(weights, largest.name))


def test_another_network(folder: Path) -> None:
    spoil(folder, "policy.onnx", heavier)
    assert set(failed(folder)) == {"test vectors"}


def test_commands_beyond_their_limits(folder: Path) -> None:
    def narrow(contract: dict[str, Any]) -> None:
        contract["action"]["command_limits"] = [[-0.1, 0.1]]

    rewrite(folder, narrow)
    found = failed(folder)
    assert found["limits"] == "controller.onnx gives commands beyond their limits"
    assert set(found) == {"contract", "limits"}


def test_a_state_that_is_read_at_the_first_call(folder: Path) -> None:
    """The graph never learns that an episode begins."""

    def swap(model: Any) -> None:
        for node in model.graph.node:
            if node.op_type == "Where":
                node.input[1] = node.input[2]

    spoil(folder, "controller.onnx", swap)
    found = failed(folder)
    assert found["first call"] == (
        "controller.onnx reads its state at the first control step of an episode"
    )


def test_a_slow_computer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "times", lambda session, inputs: [1e-4] * 98 + [3e-3] * 2)
    assert failed(folder) == {
        "speed": "1 % of the calls of controller.onnx take more than 3.00 ms; allowed: 2.00 ms, a "
        "tenth of the control step"
    }


def test_each_call_is_timed(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "CALLS", 7)
    exported = checking.read_exported(good)
    taken = checking.times(exported.controller, exported.readings(1))
    assert len(taken) == 7
    assert min(taken) > 0


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not an exported policy: it has no contract\.json"):
        preflight(tmp_path)
    with pytest.raises(UserError, match=r"is not an exported policy: it has no contract\.json"):
        preflight(Path(__file__))
    (tmp_path / "contract.json").write_text("[]")
    with pytest.raises(UserError, match="is not a contract; allowed: the format sim2real-policy/1"):
        preflight(tmp_path)


def test_the_verb(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["preflight", str(folder)]) == 0
    assert ": go " in " ".join(capsys.readouterr().out.split())
    (folder / "policy.pt").unlink()
    assert cli.main(["preflight", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.fixture
def side(tmp_path: Path) -> list[str]:
    """Options: a log of the robot, and a contract of it with faults."""
    run = load_run("pretrained:furuta")
    worlds = simulation_for(run.policy, run.task, run.domain, seed=9, threads=1)
    record(worlds, run.policy, 200).save(tmp_path / "log.safetensors")
    (tmp_path / "robot.yaml").write_text("{control_dt: 0.01, joints: [{name: shoulder}]}")
    names = {"--log": "log.safetensors", "--contract": "robot.yaml"}
    return [word for option, name in names.items() for word in (option, str(tmp_path / name))]


ROBOT_FAULTS = {"robot: rate", "robot: order", "robot: observations"}


def test_the_verb_with_a_log_and_a_robot(
    good: Path,
    side: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "times", lambda session, inputs: [1e-4])
    assert cli.main(["preflight", str(good), *side, "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)["checks"]
    failed = {one["name"]: one["message"] for one in checks if not one["passed"]}
    assert set(failed) == ROBOT_FAULTS
    assert failed["robot: rate"] == "the robot's control step is 10 ms; the policy's 20 ms"
    assert [*CHECKS, *ROBOT_CHECKS, *LOG_CHECKS] == [one["name"] for one in checks]
    assert cli.main(["preflight", str(good), "--mapping", "m.yaml"]) == 2
    assert "--mapping belongs to --log" in capsys.readouterr().err


RUNNER = {
    *("sim2real", "numpy", "onnxruntime", "tyro", "rich", "yaml"),
    *("docstring_parser", "markdown_it", "mdurl", "pygments", "typeguard", "typing_extensions"),
}
"""What the control loop needs; the second row is needed by the first."""
PYDANTIC = {"pydantic", "pydantic_core", "annotated_types", "typing_inspection"}


def alone(allowed: set[str], *words: str) -> subprocess.CompletedProcess[str]:
    """`sim2real preflight` in a process where no other package can be imported."""
    code = f"""
import importlib.abc, sys, zoneinfo  # the last reads the configuration of the interpreter
class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in {allowed!r} | set(sys.stdlib_module_names):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
from sim2real import cli
sys.exit(cli.main(["preflight", *sys.argv[1:], "--json"]))
"""
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


def results(done: subprocess.CompletedProcess[str]) -> tuple[list[str], set[str]]:
    """The names of the checks, and of those that failed whatever the computer's speed."""
    assert done.stdout, done.stderr
    checks = json.loads(done.stdout)["checks"]
    failed = {one["name"] for one in checks if not one["passed"]}
    return [one["name"] for one in checks], failed - {"speed"}


def test_it_needs_what_the_control_loop_needs(good: Path) -> None:
    assert results(alone(RUNNER, str(good))) == ([*CHECKS], set())


def test_a_log_and_a_robot_need_two_packages_more(good: Path, side: list[str]) -> None:
    done = alone(RUNNER | PYDANTIC | {"safetensors"}, str(good), *side)
    assert results(done) == ([*CHECKS, *ROBOT_CHECKS, *LOG_CHECKS], ROBOT_FAULTS)


@pytest.mark.parametrize(
    ("option", "named"), [("--log", "pydantic safetensors"), ("--contract", "pydantic")]
)
def test_the_packages_that_are_missing_are_named(option: str, named: str, good: Path) -> None:
    done = alone(RUNNER, str(good), option, "any")
    assert done.returncode == 2
    assert done.stderr.endswith(f"needs: python -m pip install {named}\n")


def test_an_export_without_statistics_is_named(folder: Path) -> None:
    rewrite(folder, lambda contract: contract.pop("statistics"))
    with pytest.raises(UserError, match="has no statistics of the training; export again"):
        preflight(folder, log=folder / "any")
