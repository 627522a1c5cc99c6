"""Export the policy of a run: ONNX and TorchScript files, and the contract beside them.

The network alone, from observations to actions; and the controller around it, from readings to
commands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.policies import BasePolicy

from sim2real import files
from sim2real.deployment.actor import Actor
from sim2real.deployment.contract import contract_of_run
from sim2real.deployment.control import controller_of, controller_onnx, described, follow
from sim2real.deployment.graph import (
    from_torchscript,
    program,
    require_packages,
    to_onnx,
    to_torchscript,
)
from sim2real.deployment.names import CONTRACT as CONTRACT
from sim2real.deployment.names import CONTROLLER as FILE
from sim2real.deployment.names import TORCHSCRIPT
from sim2real.deployment.parity import (
    Rows,
    actions_of,
    difference,
    one_by_one,
    recorded,
    training_worlds,
)
from sim2real.deployment.runner_keys import runner_keys
from sim2real.deployment.statistics import statistics
from sim2real.deployment.training_logs import recorded_in_training
from sim2real.runs.load import load_run
from sim2real.runs.pretrained import new_run_path
from sim2real.runs.run import Run
from sim2real.runs.session import ACTIONS, KEY, OBSERVED, ONNX, Session

VECTORS = 8
"""Observations with their actions that are stored as test vectors."""


def export(run: Run | Path | str, out: Path | str) -> dict[str, Any]:
    """Write the policy of `run` to the new folder `out`; returns what contract.json contains.

    The files are compared with `predict` on 1,000 recorded observations. Raises UserError if `out`
    exists, if a package of the extra [export] is missing, and if a file acts otherwise than the
    policy; then nothing is written.
    """
    require_packages()
    source = run if isinstance(run, Run) else load_run(run)
    place = new_run_path(out)
    policy, task, domain = source.policy, source.task, source.domain
    worlds = training_worlds(policy, task, domain)
    seen = recorded(policy, worlds)
    controller = controller_of(policy, task, domain)
    contract = contract_of_run(source) | {"controller": described(controller)}
    trained = recorded_in_training(policy, task, domain)
    contract |= {"statistics": statistics(trained, contract)}
    contract |= {"test_vectors": _vectors(seen, actions_of(policy, seen))}
    own = {KEY: json.dumps(contract)}
    contents, measured = exported(policy, seen, runner_keys(contract, source.path.name) | own)
    contents[FILE] = controller_onnx(controller, own)
    measured["controller"] = follow(policy, worlds, controller, Session(contents[FILE]))
    worlds.close()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    written = contract | {"files": digests, "measured": measured}
    with files.new_folder(place) as folder:
        for name, content in contents.items():
            files.write_bytes(folder / name, content)
        files.write_json(folder / CONTRACT, written)
    return written


def exported(
    policy: BasePolicy, seen: Rows, properties: Mapping[str, str]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The contents of the files by name, and how far they are from `predict` on what is `seen`.

    Raises UserError if a file acts otherwise than the policy.
    """
    examples = [torch.from_numpy(seen[:2])]
    graph = program(Actor(policy), examples)
    onnx = to_onnx(graph, [OBSERVED], [ACTIONS], properties)
    script = to_torchscript(graph, examples)
    answers, latency = one_by_one(Session(onnx), seen)
    scripted = from_torchscript(script, [torch.from_numpy(seen)]).numpy()
    given = {ONNX: answers, TORCHSCRIPT: scripted}
    off = {name: difference(policy, seen, found, name) for name, found in given.items()}
    measured = {
        "observations": len(seen),
        "difference": off,
        "latency_us": round(1e6 * latency, 1),
    }
    return {ONNX: onnx, TORCHSCRIPT: script}, measured


def _vectors(seen: Rows, expected: Rows) -> dict[str, Any]:
    """Observations, spread over the recording, and the actions of the policy."""
    chosen = slice(None, None, len(seen) // VECTORS)
    rows = {"observations": seen[chosen], "actions": expected[chosen]}
    return {name: values[:VECTORS].astype(float).tolist() for name, values in rows.items()}
