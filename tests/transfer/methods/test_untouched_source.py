"""Methods that leave weights of the source as they are, whatever is done to the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless

from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.files import read_json, read_yaml
from sim2real.learning.pretrain import pretrain
from sim2real.plain import dump_yaml
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import anatomy
from sim2real.policies.modifiers import merge
from sim2real.policies.recipe import Recipe
from sim2real.runs.checkpoint import read_checkpoint, steps
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.runs.seal import seal
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume

SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 2},
    "sac": {"batch_size": 8},
    "td3": {"batch_size": 8},
}
CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "adapter": ("adapter", {"layers": ["*"]}, "lora_B"),
    "adapter of the actor": ("adapter", {}, "lora_B"),
    "residual": ("residual", {"net_arch": [4]}, "bias"),
    "lateral": ("residual", {"net_arch": None, "lateral": True}, "bias"),
    "input": ("features", {"learn": "input"}, "input_weight"),
}
"""Method, options, and the end of the names of what has moved when it has learned."""


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


@pytest.fixture
def weight_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optimizers that pull every weight that they know to zero, beside Adam's momentum."""
    plain = Recipe.policy_options

    def with_decay(recipe: Recipe) -> dict[str, Any]:
        return plain(recipe) | {"optimizer_kwargs": {"weight_decay": 0.1}}

    monkeypatch.setattr(Recipe, "policy_options", with_decay)


def go(source: Run, out: Path, method: str = "adapter", **options: Any) -> Run:
    options = {"recipe": SMALL[source.config.algorithm], "num_envs": 4, **options}
    given: dict[str, Any] = {"budget": 100, "checkpoint_every": 32, "progress": False}
    return transfer(source, "hard", method=method, out=out, options=options, **given)


def equal(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def hashes(tensors: Any, names: Any) -> dict[str, str]:
    return {name: hashlib.sha256(tensors[name].numpy().tobytes()).hexdigest() for name in names}


@pytest.mark.parametrize(
    ("algorithm", "case"),
    [
        slow_unless(algorithm == "ppo" or case == "adapter", algorithm, case)
        for algorithm in ALGORITHMS
        for case in CASES
    ],
)
@pytest.mark.usefixtures("weight_decay")
def test_the_source_stays_and_the_run_is_loaded_merged_resumed_and_evaluated(
    algorithm: str,
    case: str,
    sources: dict[str, Run],
    tmp_path: Path,
    killed_after: Callable[[int], AbstractContextManager[None]],
) -> None:
    source, (method, options, moving) = sources[algorithm], CASES[case]
    base = [
        name
        for name, part in anatomy(source.policy).items()
        if part.place == "statistics"
        or (part.place != "noise" and (part.role == "actor" or case == "adapter"))
    ]
    before = hashes(source.checkpoint.policy, base)
    run = go(source, tmp_path / "run", method, **options)
    assert len(steps(run.path)) >= 4
    for step in steps(run.path):
        assert hashes(read_checkpoint(run.path, step).policy, base) == before
    added = run.checkpoint.policy.keys() - source.checkpoint.policy.keys()
    moved = [run.checkpoint.policy[name] for name in added if name.endswith(moving)]
    first = read_checkpoint(run.path, 0).policy
    assert any(not torch.equal(first[name], run.checkpoint.policy[name]) for name in added)
    assert moved
    assert set(run.config.frozen) >= set(base)
    rows = read_json(run.path / "report" / "manifest.json")["tensors"]
    actions = {row["tensor"]: row["action"] for row in rows}
    assert {actions[name] for name in base if name in actions} == {"frozen"}
    assert {one for name, one in actions.items() if name in added} == {"fresh"}
    again = load_run(run.path)
    assert not any(again.policy.state_dict(keep_vars=True)[n].requires_grad for n in base)
    assert hashes(again.policy.state_dict(), base) == before
    scores = [
        [row.total for row in evaluate(policy, "cartpole", "hard", episodes=3)]
        for policy in (run.policy, again.policy, merge(again.policy), source.policy)
    ]
    assert scores[0] == scores[1] == scores[2] != scores[3]
    with killed_after(15):
        go(source, tmp_path / "killed", method, **options)
    torch.manual_seed(123)
    resumed = resume(tmp_path / "killed", progress=False)
    assert equal(resumed.checkpoint.policy, run.checkpoint.policy)
    assert equal(resumed.checkpoint.training, run.checkpoint.training)
    assert resumed.config.modifiers == run.config.modifiers


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_critic_learns_in_full_unless_it_has_adapters(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources[algorithm], tmp_path / "run", critic="fresh")
    parts = anatomy(run.policy)
    lora = {name for name in parts if ".lora_" in name}
    assert {parts[name].role for name in lora} == {"actor"}
    frozen = {name for name in run.config.frozen if parts[name].place != "statistics"}
    acting = {n for n, p in parts.items() if p.role == "actor" and p.place in ("trunk", "head")}
    assert frozen == acting - lora


@pytest.mark.parametrize(
    ("algorithm", "method"),
    [
        slow_unless(algorithm == "ppo" or method == "fine_tune", algorithm, method)
        for algorithm in ALGORITHMS
        for method in ("fine_tune", "adapter", "features", "distill")
    ],
)
def test_a_residual_policy_is_transferred_on_with_its_source(
    method: str, algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources[algorithm], tmp_path / "run", "residual", net_arch=[4])
    options: dict[str, Any] = {"learn": "input"} if method == "features" else {}
    if method == "distill":
        options = {"student": [6, 5], "rollout": 8, "updates": 2}
    moved = go(run, tmp_path / "moved", method, **options)
    first = load_run(moved.path, step=0)
    added = any(".residual." in name for name in first.checkpoint.policy)
    assert added == (method != "distill")
    seen = np.random.default_rng(0).normal(size=(9, 5))
    given = [one.policy.predict(seen, deterministic=True)[0] for one in (run, first)]
    assert np.array_equal(*given) == (method != "distill")
    with pytest.raises(UserError, match="has a residual policy already; allowed: one"):
        go(run, tmp_path / "twice", "residual")


@pytest.mark.parametrize("method", ["fine_tune", "freeze", "distill", "adapter"])
def test_an_adapted_run_is_transferred_on_with_merged_weights(
    method: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources["ppo"], tmp_path / "run")
    options = {"student": [6, 5], "rollout": 8, "updates": 2} if method == "distill" else {}
    moved = go(run, tmp_path / "moved", method, **options)
    first = load_run(moved.path, step=0).checkpoint.policy
    assert any("lora" in name for name in first) == (method == "adapter")
    if method != "distill":
        name = "mlp_extractor.policy_net.0.weight"
        assert torch.equal(first[name], merge(run.policy).state_dict()[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank: must be at least 1"),
        ({"rank": 9}, "rank 9 does not fit layer mlp_extractor.policy_net.0 .*; allowed: 1 to 5"),
        ({"rank": 9, "layers": ["*"]}, "rank 9 does not fit layer .*; allowed: 1 to 5"),
        ({"layers": ["action_net"], "rank": 2}, "rank 2 does not fit layer action_net of"),
        ({"layers": ["action_nett"]}, "unknown layer 'action_nett'; did you mean 'action_net'"),
        ({"layers": []}, "layers: "),
        ({"layers": ["value_net"], "rank": 1}, "no layer of the actor"),
        (
            {"critic": "fresh", "layers": ["*"]},
            "critic 'fresh' has no weights of the source to adapt",
        ),
        ({"alpha": 0.0}, "alpha: must be greater than 0"),
    ],
)
def test_bad_options_cost_no_step(
    options: dict[str, Any],
    message: str,
    sources: dict[str, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SimVecEnv, "step_wait", None)  # a step would be another error
    with pytest.raises(UserError, match=message) as caught:
        go(sources["ppo"], tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen": ["*"]}, "every layer of the actor is frozen, so the policy could not change"),
        ({"frozen": ["actor"]}, "every layer of the actor is frozen"),
        ({"frozen": ["actr"]}, "no group or tensor is named like 'actr'; nearest: actor"),
        ({"frozen": ["noise"]}, "log_std cannot be frozen: it is adapted"),
        ({"learning_rates": {"statistics": 2.0}}, "nothing that it matches learns"),
        ({"learning_rates": {"head": 0.0}}, "learning_rates.head: must be greater than 0"),
        ({"gradual": 1.0}, "gradual: must be less than 1"),
    ],
)
def test_bad_options_of_freeze_cost_no_step(
    options: dict[str, Any],
    message: str,
    sources: dict[str, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SimVecEnv, "step_wait", None)
    with pytest.raises(UserError, match=message):
        go(sources["ppo"], tmp_path / "run", "freeze", **options)
    assert not (tmp_path / "run").exists()


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
