"""Low-rank adapters: the source's weights stay as they are, whatever is done to the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

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
ACTOR = {"ppo": "mlp_extractor.policy_net.*", "sac": "actor.latent_pi.*", "td3": "actor.mu.[02]"}


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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.usefixtures("weight_decay")
def test_the_source_stays_and_the_run_is_loaded_merged_and_evaluated(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    source = sources[algorithm]
    base = [name for name in source.checkpoint.policy if name != "log_std"]
    before = hashes(source.checkpoint.policy, base)
    run = go(source, tmp_path / "run")
    assert len(steps(run.path)) >= 4
    for step in steps(run.path):
        assert hashes(read_checkpoint(run.path, step).policy, base) == before
    ups = [one for name, one in run.checkpoint.policy.items() if name.endswith("lora_B")]
    assert all(tensor.any() for tensor in ups[:2])
    assert [one["kind"] for one in run.config.modifiers] == ["low_rank", "frozen"]
    rows = read_json(run.path / "report" / "manifest.json")["tensors"]
    actions = {row["tensor"]: row["action"] for row in rows}
    assert {actions[name] for name in base if name in actions} == {"frozen"}
    assert {one for name, one in actions.items() if ".lora_" in name} == {"fresh"}
    again = load_run(run.path)
    assert not any(again.policy.get_parameter(n).requires_grad for n in base if "weight" in n)
    assert hashes(again.policy.state_dict(), base) == before
    scores = [
        [row.total for row in evaluate(policy, "cartpole", "hard", episodes=3)]
        for policy in (run.policy, again.policy, merge(again.policy), source.policy)
    ]
    assert scores[0] == scores[1] == scores[2] != scores[3]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.usefixtures("weight_decay")
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
    seen = np.ones((1, 5))
    actions = [run.policy.predict(seen, deterministic=True)[0] for run in (resumed, whole)]
    assert np.array_equal(*actions)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_critic_without_adapters_learns_in_full(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources[algorithm], tmp_path / "run", layers=[ACTOR[algorithm]], critic="fresh")
    parts = anatomy(run.policy)
    lora = {name for name in parts if ".lora_" in name}
    assert {parts[name].role for name in lora} == {"actor"}
    frozen = {name for name in run.config.frozen if parts[name].place != "statistics"}
    assert frozen == {n for n, p in parts.items() if p.role == "actor"} - lora - {"log_std"} - {
        name for name, part in parts.items() if part.place == "statistics"
    }


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
        ({"rank": 9}, "rank 9 does not fit layer .*; allowed: 1 to 5"),
        ({"layers": ["action_net"], "rank": 2}, "rank 2 does not fit layer action_net of"),
        ({"layers": ["action_nett"]}, "unknown layer 'action_nett'; did you mean 'action_net'"),
        ({"layers": []}, "layers: "),
        ({"layers": ["value_net"], "rank": 1}, "no layer of the actor"),
        ({"critic": "fresh"}, "critic 'fresh' has no weights of the source to adapt"),
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
