"""Recipes with a `history`: training, evaluation, resuming, transfer, distillation."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resumed import assert_resumed_equals

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, simulation_for
from sim2real.learning.pretrain import pretrain
from sim2real.policies.asymmetric import Asymmetric
from sim2real.policies.normalizer import normalizers
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.runs.contract import terms_of
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import labels
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.columns import in_columns_of

slow = functools.partial(pytest.param, marks=pytest.mark.slow)
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}
TEACHER = {"privileged_actor": True, "context_encoder": [4, 2]}
STUDENT = {"rollout": 8, "updates": 2, "batch_size": 16, "teacher_rounds": 1}


def train(out: Path, algorithm: str = "ppo", history: int = 3, **options: Any) -> Run:
    return pretrain(
        "cartpole",
        "randomized",
        algorithm=algorithm,
        steps=320,
        num_envs=4,
        out=out,
        history=history,
        options={"net_arch": [6, 5], **SMALL[algorithm], **options},
        checkpoint_every=160,
        progress=False,
    )


@pytest.fixture(scope="module")
def remembers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tmp_path_factory.mktemp("memory") / "run")


def equal(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), "td3"])
@pytest.mark.parametrize("privileged", [False, slow(True)])
@pytest.mark.parametrize("encoder", ["stacked", "conv", slow("gru")])
def test_a_run_is_loaded_with_its_memory(
    algorithm: str, privileged: bool, encoder: str, tmp_path: Path
) -> None:
    run = load_run(train(tmp_path / "run", algorithm, privileged=privileged, encoder=encoder).path)
    plain = Simulation("cartpole").policy_terms
    size = 3 * (sum(term.size for term in plain) + 1)
    found = [term for term in terms_of(run.task_info) if term.group == "policy"]
    assert [term.name for term in found] == [*(term.name for term in plain), "last_action"]
    assert sum(term.size for term in found) == size
    assert len(evaluate(run.policy, "cartpole", ["randomized", "hard"], episodes=2)) == 4


def test_the_policy_acts_on_what_it_would_be_given(remembers: Run) -> None:
    """Episodes by hand, in a simulation made by hand, with the noise and delay of the target."""
    task = load_task("cartpole")
    simulation = Simulation(
        task, "hard", 2, 7, 1, history=3, actions=remembers.policy.action_map or "own"
    )
    observation, total = simulation.reset(episodes=[0, 1]), np.zeros(2)
    active = np.ones(2, dtype=bool)
    while active.any():
        action, _ = remembers.policy.predict(observation, deterministic=True)
        transition = simulation.advance(action, active)
        total += np.where(active, transition.reward, 0.0)
        observation, active[transition.ended] = transition.observation, False
    rows = evaluate(remembers.policy, task, "hard", episodes=2, seed=7)
    np.testing.assert_allclose([row.total for row in rows], total, rtol=1e-5)
    assert simulation_for(remembers.policy, task, simulation.domain).policy_terms == (
        simulation.policy_terms
    )


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("ppo", {"encoder": "conv"}),
        ("ppo", {"encoder": "gru"}),
        ("ppo", TEACHER),
        slow("ppo", {}),
        slow("sac", {}),
        slow("sac", {"encoder": "conv"}),
        slow("td3", TEACHER),
    ],
)
def test_a_resumed_run_equals_an_uninterrupted_one(
    algorithm: str, options: dict[str, Any], tmp_path: Path
) -> None:
    whole = train(tmp_path / "whole", algorithm, **options)
    assert_resumed_equals(whole, tmp_path / "parts", kept=1)


@pytest.mark.parametrize("method", ["fine_tune", "freeze"])
def test_a_transfer_keeps_the_memory(method: str, remembers: Run, tmp_path: Path) -> None:
    options = {"recipe": {"n_steps": 16, "batch_size": 32}}
    moved = transfer(
        remembers,
        "hard",
        method=method,
        budget=128,
        num_envs=4,
        options=options,
        out=tmp_path / "moved",
        progress=False,
    )
    assert moved.config.recipe["history"] == 3
    assert labels(terms_of(moved.task_info)) == labels(terms_of(remembers.task_info))
    assert len(evaluate(load_run(moved.path).policy, "cartpole", "hard", episodes=2)) == 2


def test_a_transfer_to_another_memory_is_refused(remembers: Run, tmp_path: Path) -> None:
    for history in (1, 5):
        with pytest.raises(UserError, match=f"^history is {history}, .*; allowed .*'fine_tune': 3"):
            transfer(
                remembers,
                "hard",
                budget=128,
                options={"recipe": {"history": history}},
                out=tmp_path / "moved",
                method="fine_tune",
            )
    with pytest.raises(UserError, match=r"^history is 2, .* 'distill': 3 or more$"):
        distill(remembers, "hard", history=2, budget=128, out=tmp_path / "moved")


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), slow("td3")])
@pytest.mark.parametrize(
    ("teacher", "options"),
    [
        (1, {}),
        pytest.param(2, {"privileged": True}, marks=pytest.mark.slow),
        (1, {"privileged_actor": True}),
    ],
)
def test_a_student_remembers_more_than_its_teacher(
    algorithm: str, teacher: int, options: dict[str, Any], tmp_path: Path
) -> None:
    source = train(tmp_path / "teacher", algorithm, teacher, **options)
    student = distill(
        source,
        "randomized",
        student=(4,),
        history=3,
        budget=96,
        num_envs=4,
        options=STUDENT,
        out=tmp_path / "student",
        progress=False,
    )
    loaded = load_run(student.path)
    assert loaded.config.recipe["history"] == 3
    assert len(evaluate(loaded.policy, "cartpole", ["nominal", "hard"], episodes=2)) == 4
    actor = min(normalizers(loaded.policy), key=lambda one: len(one.running_mean))
    assert len(actor.running_mean) == 3 * (5 + 1)
    assert 0 < int(actor.count) <= 96  # its own
    assert (actor.running_var > 0).any()


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("ppo", {"privileged": True}),
        ("ppo", {"privileged_actor": True}),
        ("ppo", TEACHER),
        ("ppo", {"encoder": "conv"}),
        ("ppo", {"encoder": "gru"}),
        ("sac", {}),
        pytest.param("td3", {"encoder": "conv", "privileged": True}, marks=pytest.mark.slow),
        pytest.param("sac", {"privileged_actor": True}, marks=pytest.mark.slow),
        pytest.param("td3", {"privileged": True}, marks=pytest.mark.slow),
    ],
)
def test_the_teacher_acts_as_in_its_own_columns(
    algorithm: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """In the columns of a longer memory, of the same numbers."""
    source = train(tmp_path / "teacher", algorithm, 2, **options)
    shown = "privileged_actor" in options
    envs = [
        make_vec_env(source.task, source.domain, 4, 1, 1, shown, history=history)
        for history in (2, 4)
    ]
    there = in_columns_of(source, envs[1])
    few, many = (env.reset() for env in envs)
    for _ in range(5):
        action, _ = source.policy.predict(few, deterministic=True)
        same, _ = there.predict(many, deterministic=True)
        np.testing.assert_allclose(same, action, rtol=1e-5, atol=1e-6)
        few, many = (env.step(action)[0] for env in envs)
    assert isinstance(there, Asymmetric)


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = f"pretrain cartpole --steps 128 --num-envs 4 --out {out} --json --history 3"
    assert cli.main([*words.split(), "--set", "n_steps=16", "batch_size=32"]) == 0
    assert load_run(out).config.recipe["history"] == 3
    assert cli.main(["evaluate", str(out), "--episodes", "2", "--json"]) == 0
    log = tmp_path / "log.safetensors"
    assert cli.main(f"log record {out} --steps 40 --out {log} --json".split()) == 0
    capsys.readouterr()
    for wrong in ("0", "10000"):
        assert cli.main(["pretrain", "cartpole", "--history", wrong]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "history" in line
        assert wrong in line


@pytest.mark.parametrize("wrong", [0, 1.5, "x", True, 10_000])
def test_wrong_values_are_one_line(wrong: Any) -> None:
    with pytest.raises(UserError, match="history") as refused:
        load_recipe("ppo", "hopper", {"history": wrong})
    assert "\n" not in str(refused.value)
