"""Frozen tensors of a user's own stable-baselines3 model, with momentum and weight decay."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from stable_baselines3 import A2C, PPO, SAC, TD3

import sim2real as s2r
from sim2real.policies.anatomy import anatomy
from sim2real.policies.groups import GROUPS

MODELS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ppo": (PPO, {"n_steps": 32, "batch_size": 64}),
    "sac": (SAC, {"learning_starts": 32, "batch_size": 32, "gradient_steps": 4}),
    "td3": (TD3, {"learning_starts": 32, "batch_size": 32, "gradient_steps": 4}),
}
DECAY = {"momentum": 0.9, "weight_decay": 0.1}


def build(algorithm: str, toy: Any) -> Any:
    kind, options = MODELS[algorithm]
    networks = {"net_arch": [8, 7], "optimizer_class": torch.optim.SGD, "optimizer_kwargs": DECAY}
    env = toy.ToyVecEnv(8)
    return kind("MlpPolicy", env, policy_kwargs=networks, learning_rate=0.01, seed=0, **options)


def hashes(model: Any) -> dict[str, str]:
    tensors = model.policy.state_dict()
    return {
        name: hashlib.sha256(one.numpy().tobytes()).hexdigest() for name, one in tensors.items()
    }


@pytest.mark.parametrize("group", ["all_but_head", "head"])
@pytest.mark.parametrize("algorithm", MODELS)
def test_frozen_tensors_stay_when_trained_saved_and_loaded(
    algorithm: str, group: str, toy: Any, tmp_path: Path
) -> None:
    model = build(algorithm, toy)
    model.learn(256)  # the optimizers have momentum, target networks differ from their source
    first = hashes(model)
    frozen = set(s2r.freeze(model, [group]).names)
    parts = anatomy(model.policy)
    assert frozen == {name for name, part in parts.items() if GROUPS[group](part)}
    assert any(parts[name].follows for name in frozen) == (algorithm != "ppo")
    assert hashes(model) == first
    model.learn(256, reset_num_timesteps=False)
    trained = hashes(model)
    assert {name for name in first if trained[name] == first[name]} == frozen
    model.save(tmp_path / "model")
    again = MODELS[algorithm][0].load(tmp_path / "model", env=toy.ToyVecEnv(8))
    assert hashes(again) == trained
    assert set(s2r.freeze(again, [group]).names) == frozen
    again.learn(256, reset_num_timesteps=False)
    last = hashes(again)
    assert {name for name in first if last[name] == first[name]} == frozen


def test_the_summary_counts_every_number_once(toy: Any) -> None:
    model = build("ppo", toy)
    summary = s2r.freeze(model, ["mlp_extractor.policy_net.*", "log_std"])
    rows = {row.layer: (row.frozen, row.learning) for row in summary.layers}
    assert rows["mlp_extractor.policy_net.0"] == (2 * 8 + 8, 0)
    assert rows["mlp_extractor.policy_net.2"] == (8 * 7 + 7, 0)
    assert rows["value_net"] == (0, 7 + 1)
    assert rows["log_std"] == (1, 0)
    lines = str(summary).splitlines()
    assert lines[0].split() == ["layer", "frozen", "learning"]
    assert lines[-1].split() == ["all", "88", "103"]


def test_target_networks_are_not_counted(toy: Any) -> None:
    summary = s2r.freeze(build("sac", toy), ["features"])
    assert not [row.layer for row in summary.layers if "target" in row.layer]
    assert {row.layer for row in summary.layers if row.frozen} == {
        "actor.latent_pi.0",
        "actor.latent_pi.2",
    }


def test_a_target_network_is_frozen_with_what_it_follows(toy: Any) -> None:
    model = build("td3", toy)
    assert s2r.freeze(model, ["actor_target.mu.0.weight"]).names == (
        "actor.mu.0.weight",
        "actor_target.mu.0.weight",
    )


@pytest.mark.parametrize(
    ("algorithm", "patterns", "message"),
    [
        ("ppo", ["*"], "nothing is left to learn in the policy: every tensor of it is frozen"),
        ("sac", ["actor"], "nothing is left to learn in the actor"),
        ("td3", ["critic"], "nothing is left to learn in the critic"),
        ("ppo", ["all_but_heads"], "nearest: all_but_head"),
        ("ppo", ["statistics"], "no tensor of the group 'statistics'"),
    ],
)
def test_what_cannot_be_frozen(algorithm: str, patterns: Any, message: str, toy: Any) -> None:
    model = build(algorithm, toy)
    with pytest.raises(s2r.UserError, match=message):
        s2r.freeze(model, patterns)
    assert sum(one.requires_grad for one in model.policy.parameters()) == len(
        list(build(algorithm, toy).policy.parameters())
    )  # nothing was frozen before it was refused


def test_the_script_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "freeze.md").read_text()
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(script, {})
    assert (tmp_path / "tuned.zip").is_file()


def test_the_groups_of_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "methods" / "freeze.md").read_text()
    table = page.split("| group | tensors |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(GROUPS)


def test_another_algorithm_is_refused(toy: Any) -> None:
    with pytest.raises(s2r.UserError, match="A2C is no PPO, SAC or TD3"):
        s2r.freeze(A2C("MlpPolicy", toy.ToyVecEnv(2)), ["actor"])
