"""A low-rank adapter in one file, given by path."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sim2real.evaluation.rollout import evaluate
from sim2real.files import read_json, read_yaml
from sim2real.learning.pretrain import pretrain
from sim2real.plain import dump_yaml
from sim2real.policies import ALGORITHMS
from sim2real.policies.modifiers import merge
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.runs.seal import seal
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume

METHOD = str(Path(__file__).parent / "methods" / "low_rank.py")
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 2},
    "sac": {"batch_size": 8},
    "td3": {"batch_size": 8},
}


@pytest.fixture(scope="module")
def sources(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("sources")
    starts = {"ppo": {}, "sac": {"learning_starts": 8}, "td3": {"learning_starts": 8}}
    return {
        algorithm: pretrain(
            "cartpole",
            algorithm=algorithm,
            steps=64,
            num_envs=4,
            out=folder / algorithm,
            options={"net_arch": [6, 5], **SMALL[algorithm], **starts[algorithm]},
            progress=False,
        )
        for algorithm in ALGORITHMS
    }


def go(source: Run, out: Path, method: str = METHOD) -> Run:
    options = {"recipe": SMALL[source.config.algorithm], "num_envs": 4}
    given: dict[str, Any] = {"budget": 100, "checkpoint_every": 32, "progress": False}
    return transfer(source, "hard", method=method, out=out, options=options, **given)


def equal(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_base_stays_and_the_run_is_loaded_and_evaluated(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    source = sources[algorithm]
    run = go(source, tmp_path / "run")
    found, base = run.checkpoint.policy, source.checkpoint.policy
    assert equal({name: found[name] for name in base}, base)
    ups = [tensor for name, tensor in found.items() if name.endswith("adapter_up")]
    assert all(tensor.any() for tensor in ups[:2])
    assert [one["kind"] for one in run.config.modifiers] == ["low_rank", "frozen"]
    rows = read_json(run.path / "report" / "manifest.json")["tensors"]
    actions = {row["tensor"]: row["action"] for row in rows}
    assert {actions[name] for name in base if name in actions} == {"frozen"}
    assert {one for name, one in actions.items() if ".adapter_" in name} == {"fresh"}
    again = load_run(run.path)
    assert not any(again.policy.get_parameter(n).requires_grad for n in base if "weight" in n)
    scores = [
        [row.total for row in evaluate(policy, "cartpole", "hard", episodes=3)]
        for policy in (run.policy, again.policy, merge(again.policy), source.policy)
    ]
    assert scores[0] == scores[1] == scores[2] != scores[3]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_kill_in_the_middle_changes_nothing(
    algorithm: str,
    sources: dict[str, Run],
    tmp_path: Path,
    killed_after: Callable[[int], AbstractContextManager[None]],
) -> None:
    whole = go(sources[algorithm], tmp_path / "whole")
    with killed_after(15):
        go(sources[algorithm], tmp_path / "killed")
    torch.manual_seed(123)
    resumed = resume(tmp_path / "killed", progress=False)
    assert equal(resumed.checkpoint.policy, whole.checkpoint.policy)
    assert equal(resumed.checkpoint.training, whole.checkpoint.training)
    assert resumed.config.modifiers == whole.config.modifiers
    actions = [
        run.policy.predict(np.ones((1, 5)), deterministic=True)[0] for run in (resumed, whole)
    ]
    assert np.array_equal(*actions)


@pytest.mark.parametrize("method", ["fine_tune", "freeze", "distill"])
def test_an_adapted_run_is_transferred_on_with_merged_weights(
    method: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources["ppo"], tmp_path / "run")
    options = {"student": [6, 5], "rollout": 8, "updates": 2} if method == "distill" else {}
    moved = transfer(
        run, "mild", method=method, budget=64, num_envs=4, out=tmp_path / "moved",
        options={"recipe": SMALL["ppo"], **options}, progress=False,
    )  # fmt: skip
    first = load_run(moved.path, step=0).checkpoint.policy
    assert not any("adapter" in name for name in first)
    if method != "distill":
        name = "mlp_extractor.policy_net.0.weight"
        assert torch.equal(first[name], merge(run.policy).state_dict()[name])


def test_runs_of_older_versions_have_the_key_frozen(
    sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources["ppo"], tmp_path / "run", method="freeze")
    config = read_yaml(run.path / "config.yaml")
    (modifier,) = config.pop("modifiers")
    config["frozen"] = modifier["names"]
    (run.path / "config.yaml").write_text(dump_yaml(config))
    seal(run.path)
    old = load_run(run.path)
    assert old.config.frozen == run.config.frozen != ()
    assert not any(
        old.policy.state_dict(keep_vars=True)[n].requires_grad for n in old.config.frozen
    )
