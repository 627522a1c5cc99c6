"""Rapid motor adaptation: students that estimate their teacher's encoding from a history."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from resumed import assert_resumed_equals

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.runs.checkpoint import read_checkpoint
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.rma import adopt, encoding_error

ROBOTS = Path(__file__).parents[1] / "robots"
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 16, "batch_size": 32, "n_epochs": 2},
    "sac": {"learning_starts": 40, "batch_size": 16},
    "td3": {"learning_starts": 40, "batch_size": 16},
}
TEACHER = {"net_arch": [6, 5], "privileged_actor": True, "context_encoder": [4, 2]}
STUDENT = {"rollout": 8, "updates": 2, "batch_size": 16}
HISTORY = 4


def teach(out: Path, algorithm: str = "ppo", task: str = "cartpole", **options: Any) -> Run:
    return pretrain(
        task,
        "randomized",
        algorithm=algorithm,
        steps=160,
        num_envs=4,
        out=out,
        options={**TEACHER, **SMALL[algorithm], **options},
        progress=False,
    )


def adapt(source: Run, out: Path, domain: str = "randomized", **others: Any) -> Run:
    options = {**STUDENT, **others.pop("options", {})}
    given = {"student": "rma", "history": HISTORY, "budget": 160, "num_envs": 4, **others}
    return distill(source, domain, out=out, options=options, progress=False, **given)


@pytest.fixture(scope="module")
def teacher(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return teach(tmp_path_factory.mktemp("rma") / "teacher")


@pytest.fixture(scope="module")
def student(teacher: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("rma") / "student"
    return adapt(teacher, out, checkpoint_every=40)


def report(run: Run, name: str) -> Any:
    return json.loads((run.path / "report" / f"{name}.json").read_text())


def equal(one: Any, other: Any) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_student_guesses_nearly_as_well_as_all_it_remembers_allows(tmp_path: Path) -> None:
    """Of n readings of a hidden number the best guess earns -1 / (1 + n), its teacher 0.

    Memory is of 8 readings, and through the actions in it a little of what was before; without
    memory -1/2 is the best.
    """
    task, steps, memory = str(ROBOTS / "guessing.py"), 40, 8
    source = pretrain(
        task,
        "noisy",
        steps=25_600,
        num_envs=64,
        out=tmp_path / "teacher",
        options={
            **TEACHER,
            "net_arch": [16],
            "gamma": 0.0,
            "n_steps": 8,
            "batch_size": 256,
            "learning_rate": 5e-3,
            "lr_schedule": "linear",
            "log_std_init": -1.5,
            "reward_scale": 1.0,
        },
        progress=False,
    )
    options = {"rollout": 40, "updates": 80, "batch_size": 512, "learning_rate": 3e-3}
    adapted = adapt(
        source,
        tmp_path / "student",
        "noisy",
        history=memory,
        budget=15_360,
        num_envs=64,
        options=options,
    )

    def earned(policy: Any) -> float:
        rows = evaluate(policy, task, "noisy", episodes=1000, seed=5)
        return float(np.mean([row.total for row in rows])) / steps

    def best(readings: Any) -> float:
        return float(-np.mean(1.0 / (1.0 + np.array(readings))))

    known = np.arange(1, steps + 1)
    assert earned(source.policy) > -0.02
    assert 1.2 * best(np.minimum(known, memory)) < earned(adapted.policy) < 0.95 * best(known)
    assert 1.2 * best(np.minimum(known, memory)) > best(1) / 2


def test_only_the_encoder_learns(teacher: Run, student: Run) -> None:
    fates = {row["tensor"]: row["action"] for row in report(student, "manifest")["tensors"]}
    first = read_checkpoint(student.path, 0).policy
    for step in student.steps[1:]:
        policy = read_checkpoint(student.path, step).policy
        moved = {name for name in first if not torch.equal(first[name], policy[name])}
        moved = {name for name in moved if not name.startswith("pi_features_extractor")}
        assert moved
        assert all(name.startswith("features_extractor.encoder.") for name in moved)
    kept = {name for name, fate in fates.items() if fate == "frozen"}
    assert {"mlp_extractor.policy_net.2.weight", "action_net.bias", "log_std"} <= kept
    given = teacher.checkpoint.policy
    assert torch.equal(first["action_net.weight"], given["action_net.weight"])
    assert torch.equal(
        first["mlp_extractor.policy_net.2.weight"], given["mlp_extractor.policy_net.2.weight"]
    )
    assert kept <= set(student.config.frozen)
    assert report(student, "budget")["privileged"]


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), slow("td3")])
def test_with_its_teachers_encoding_a_student_acts_as_its_teacher(
    algorithm: str, teacher: Run, tmp_path: Path
) -> None:
    """Whatever the encoder of the student gives is replaced by what that of the teacher gives."""
    source = teacher if algorithm == "ppo" else teach(tmp_path / "teacher", algorithm)
    adapted = adapt(source, tmp_path / "student")
    few, many, other = (
        make_vec_env("cartpole", "randomized", 4, 1, 1, True, history=steps)
        for steps in (1, HISTORY, HISTORY)
    )
    fresh: Any = build_algorithm(adapted.config.parsed_recipe(), other, 0).policy
    adopt(source, fresh)
    of = {"ppo": lambda p: p, "sac": lambda p: p.actor, "td3": lambda p: p.actor}[algorithm]
    one, longer = few.reset(), many.reset()
    for policy in (fresh, adapted.policy):
        policy.set_training_mode(False)
        for _ in range(4):
            action, _ = source.policy.predict(one, deterministic=True)  # type: ignore[arg-type]
            seen = torch.tensor(np.asarray(one), dtype=torch.float32)
            code = of(source.policy).features_extractor.encode(seen)
            of(policy).features_extractor.encode = lambda _, code=code: code
            same, _ = policy.predict(longer, deterministic=True)
            np.testing.assert_allclose(same, action, rtol=1e-4, atol=1e-5)
            one, longer = (env.step(action)[0] for env in (few, many))


def test_the_error_is_that_of_the_encodings(teacher: Run, student: Run) -> None:
    few = make_vec_env("cartpole", "randomized", 4, 1, 1, True)
    size = few.observation_space.shape[0]
    seen = torch.randn(5, size)
    mu: Any = teacher.policy.features_extractor
    own = copy_of(teacher)
    with torch.no_grad():
        for parameter in own.features_extractor.encoder[2].parameters():
            parameter.mul_(2.0)
        expected = mu.encode(seen).square().sum(dim=1)
        torch.testing.assert_close(encoding_error(teacher.policy, own, seen, seen), expected)


def copy_of(run: Run) -> Any:
    """The policy of the run, loaded once more."""
    return load_run(run.path).policy


def test_a_student_acts_in_any_domain_and_is_moved_on(student: Run, tmp_path: Path) -> None:
    loaded = load_run(student.path)
    assert len(evaluate(loaded.policy, "cartpole", ["nominal", "hard"], episodes=2)) == 4
    moved = transfer(
        loaded,
        "hard",
        budget=128,
        num_envs=4,
        options={"recipe": {"n_steps": 16, "batch_size": 32}, "log_std": None},
        out=tmp_path / "moved",
        progress=False,
        method="fine_tune",
    )
    moved.policy.load_state_dict(read_checkpoint(moved.path, 0).policy)
    size = moved.policy.observation_space.shape[0]  # type: ignore[index]
    seen = np.random.default_rng(0).normal(size=(6, size))
    given, expected = (run.policy.predict(seen, deterministic=True)[0] for run in (moved, loaded))
    np.testing.assert_allclose(given, expected, rtol=1e-5, atol=1e-6)
    assert not report(moved, "budget")["privileged"]


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), slow("td3")])
def test_a_resumed_run_equals_an_uninterrupted_one(
    algorithm: str, teacher: Run, student: Run, tmp_path: Path
) -> None:
    if algorithm == "ppo":
        whole = student
    else:
        source = teach(tmp_path / "teacher", algorithm)
        whole = adapt(source, tmp_path / "whole", checkpoint_every=40)
    assert_resumed_equals(whole, tmp_path / "parts", kept=2)


def test_a_task_that_does_not_observe_its_action(tmp_path: Path) -> None:
    """The memory holds it; the teacher's layers give it no weight."""
    task = str(ROBOTS / "guessing.py")
    source = pretrain(
        task,
        "noisy",
        steps=160,
        num_envs=4,
        out=tmp_path / "teacher",
        options={**TEACHER, **SMALL["ppo"]},
        progress=False,
    )
    adapted = adapt(source, tmp_path / "student", "noisy")
    first = adapted.checkpoint.policy["mlp_extractor.policy_net.0.weight"]
    given = source.checkpoint.policy["mlp_extractor.policy_net.0.weight"]
    assert torch.equal(first[:, [0, 2, 3]], given)  # the reading and the encoding
    assert (first[:, 1] == 0).all()
    assert len(evaluate(load_run(adapted.path, task=task).policy, task, "noisy", episodes=2)) == 2


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"history": 1}, "history is 1; an rma student needs at least 2 control steps"),
        ({"options": {"loss": "kl"}}, "student rma learns an encoding; allowed with it: loss auto"),
        (
            {"options": {"recipe": {"net_arch": [3]}}},
            "recipe: the net_arch of an rma student follows from its teacher",
        ),
        ({"domain": "hard"}, "in the source, absent"),
        ({"options": {"recipe": {"privileged": False}}}, "reads privileged columns"),
    ],
)
def test_what_is_refused(
    others: dict[str, Any], message: str, teacher: Run, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        adapt(teacher, tmp_path / "student", **others)
    assert not (tmp_path / "student").exists()


def test_teachers_that_are_refused(tmp_path: Path) -> None:
    plain = teach(tmp_path / "plain", context_encoder=None)
    with pytest.raises(UserError, match="the source has none; pretrain it with privileged_actor"):
        adapt(plain, tmp_path / "student")
    remembers = teach(tmp_path / "remembers", history=2)
    with pytest.raises(UserError, match="of the teacher of an rma student is 2; allowed: 1"):
        adapt(remembers, tmp_path / "student")
    stacked = teach(tmp_path / "stacked", task="quadrotor")
    with pytest.raises(UserError, match="teacher observes several control steps of 'velocity'"):
        adapt(stacked, tmp_path / "student", history=6)
    assert not (tmp_path / "student").exists()


def test_on_the_command_line(teacher: Run, tmp_path: Path) -> None:
    out = tmp_path / "student"
    words = f"distill {teacher.path} --domain randomized --student rma --history 3 --budget 64"
    more = ["--out", str(out), "--json", "--set", "num_envs=4", "rollout=8", "updates=2"]
    assert cli.main([*words.split(), *more]) == 0
    recipe = load_run(out).config.recipe
    assert (recipe["history"], recipe["encoder"], recipe["encoding"]) == (3, "conv", 2)
    assert cli.main(["evaluate", str(out), "--episodes", "2", "--json"]) == 0
