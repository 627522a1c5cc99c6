"""Training in [-1, 1] where the actuators take something else, and what a run says of it."""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sim2real.domains import Domain, load_domain
from sim2real.evaluation.rollout import BATCH, evaluate, returns
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.runs.contract import map_of, range_of
from sim2real.runs.load import load_run
from sim2real.runs.publish import keep_policy
from sim2real.runs.rescaling import normalized
from sim2real.runs.run import RunConfig, create_run
from sim2real.runs.seal import MANIFEST
from sim2real.simulation import ActionMap, Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.gaussians import actor_gaussian
from sim2real.transfer.resume import resume

LIFT = str(Path(__file__).parent.parent / "robots" / "lift.py")
PLAIN = Domain(name="plain", about="The lift as it is.")
HEAVY = Domain(name="heavy", about="Heavier.", dynamics=[{"field": "body_mass", "scale": 1.2}])
ONTO = ActionMap((0.0,), (200.0,))
slow = functools.partial(pytest.param, marks=pytest.mark.slow)
TINY: dict[str, dict[str, Any]] = {
    "ppo": {"num_envs": 4, "n_steps": 8, "batch_size": 16, "net_arch": (8,)},
    "sac": {"num_envs": 4, "net_arch": (8,), "batch_size": 16, "learning_starts": 8},
    "td3": {"num_envs": 4, "net_arch": (8,), "batch_size": 16, "learning_starts": 8},
}


def trained(algorithm: str, steps: int, actions: Any, **options: Any) -> float:
    """The mean return after a training of the lift."""
    recipe = load_recipe(algorithm, None, {"num_envs": 16, "net_arch": (32, 32), **options})
    env = make_vec_env(load_task(LIFT), PLAIN, 16, threads=1, actions=actions)
    model = build_algorithm(recipe, env, seed=0)
    model.learn(steps)
    return float(returns(evaluate(model.policy, LIFT, PLAIN, episodes=20)).mean())


def test_ppo_finds_the_middle_of_0_to_200() -> None:
    quick = {"n_steps": 32, "n_epochs": 5, "batch_size": 64, "log_std_init": -1.0}
    assert trained("ppo", 8_192, "own", **quick) < 20
    assert trained("ppo", 8_192, None, **quick) > 50


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["ppo", "sac", "td3"])
def test_every_algorithm_learns_with_its_defaults(algorithm: str, tmp_path: Path) -> None:
    steps = {"ppo": 100_000, "sac": 20_000, "td3": 20_000}[algorithm]
    run = pretrain(
        LIFT, PLAIN, algorithm=algorithm, steps=steps, out=tmp_path / "run", progress=False
    )
    assert returns(evaluate(run.policy, LIFT, PLAIN, episodes=20)).mean() > 120


@pytest.mark.parametrize("algorithm", ["ppo", slow("sac"), "td3"])
def test_the_map_stands_in_a_run_and_in_what_comes_of_it(algorithm: str, tmp_path: Path) -> None:
    run = pretrain(
        LIFT,
        PLAIN,
        algorithm=algorithm,
        steps=64,
        out=tmp_path / "run",
        options=TINY[algorithm],
        progress=False,
    )
    small = {"recipe": {k: v for k, v in TINY[algorithm].items() if k != "net_arch"}}
    common: dict[str, Any] = {"budget": 64, "num_envs": 4, "progress": False}
    tuned = transfer(
        run, HEAVY, out=tmp_path / "tuned", options=small, **common, method="fine_tune"
    )
    student = distill(tuned, HEAVY, out=tmp_path / "student", student=(4,), **common)
    (tmp_path / "kept").mkdir()
    keep_policy(student, tmp_path / "kept")
    for one in (run, tuned, student, load_run(tmp_path / "kept")):
        info = read_json(one.path / "task.json")
        assert info["action_map"] == {"low": [0.0], "high": [200.0]}
        assert info["action_space"]["low"] == [-1.0]
        assert map_of(info) == one.policy.action_map == ONTO  # type: ignore[comparison-overlap]
        assert range_of(info).high[0] == 200
        action, _ = one.policy.predict(np.zeros((5, 3)), deterministic=True)
        assert np.abs(action).max() <= 1.0
    contract = read_json(tuned.path / "report" / "manifest.json")["contract"]
    assert {line["target"] for line in contract if line["item"] == "action space"} == {
        "1 in [0, 200]"
    }


@pytest.mark.parametrize("algorithm", ["ppo", "sac", slow("td3")])
def test_a_run_of_before_acts_in_the_range_that_it_learned_in(
    algorithm: str, tmp_path: Path
) -> None:
    """Runs without a map: when loaded and resumed; what is made of them acts in [-1, 1]."""
    task = load_task(LIFT)
    recipe = load_recipe(algorithm, None, TINY[algorithm])
    config = RunConfig(
        task=task.reference,
        algorithm=algorithm,
        recipe=recipe.model_dump(mode="json"),
        domain="plain",
        steps=64,
        num_envs=4,
    )
    path = create_run(tmp_path / "old", config, task, {"plain": PLAIN}, actions="own")
    info = read_json(path / "task.json")
    assert (info.pop("action_map"), info["action_space"]["high"]) == (None, [200.0])
    (path / "task.json").write_text(json.dumps(info))  # as it was written before
    (path / MANIFEST).unlink()
    run = resume(path, progress=False)
    if algorithm == "ppo":
        with torch.no_grad():
            run.policy.action_net.bias.fill_(98.1)  # type: ignore[union-attr]
            run.checkpoint.policy["action_net.bias"].fill_(98.1)
        del run.checkpoint.state["answers"]  # of the policy as it was trained
    old = evaluate(run.policy, task, PLAIN, episodes=4)
    if algorithm == "ppo":
        assert {row.length for row in old} == {200}
    assert len(old) == 4
    assert range_of(run.task_info).high[0] == 200
    new = normalized(run)
    assert (new.policy.action_map, new.policy.action_space.high[0]) == (ONTO, 1.0)  # type: ignore[attr-defined]
    rows = evaluate(new.policy, task, PLAIN, episodes=4)
    np.testing.assert_allclose(returns(rows), returns(old), rtol=1e-3)
    seen = torch.as_tensor(np.random.default_rng(0).normal(size=(9, 3)))
    if algorithm == "ppo":
        before, after = (actor_gaussian(one.policy, seen) for one in (run, new))
        assert before.log_std is not None
        assert after.log_std is not None
        torch.testing.assert_close(100 + 100 * after.mean, before.mean, rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(100 * after.log_std.exp(), before.log_std.exp())
    small = {"recipe": {k: v for k, v in TINY[algorithm].items() if k != "net_arch"}}
    moved = transfer(
        run,
        HEAVY,
        budget=64,
        num_envs=4,
        out=tmp_path / "moved",
        options=small,
        progress=False,
        method="fine_tune",
    )
    assert map_of(moved.task_info) == ONTO
    assert read_json(tmp_path / "moved" / "source" / "task.json") == info
    again = resume(tmp_path / "moved", progress=False)
    assert same_tensors(again.checkpoint.policy, moved.checkpoint.policy)


def same_tensors(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_range_of_one_is_rescaled_to_the_same_bits() -> None:
    run = load_run("pretrained:hopper")
    assert same_tensors(normalized(run).checkpoint.policy, run.checkpoint.policy)


def test_a_shipped_policy_of_before_action_maps_acts_to_the_last_bit_as_then() -> None:
    run = load_run("pretrained:half_cheetah")
    assert map_of(run.task_info) is None
    (row,) = evaluate(run.policy, "half_cheetah", "nominal", episodes=1)
    simulation = Simulation("half_cheetah", load_domain(run.task, "nominal"), actions="normalized")
    observation, total = simulation.reset(episodes=[0]), 0.0
    for _ in range(row.length):
        padded = np.repeat(observation, BATCH, axis=0)
        action, _ = run.policy.predict(padded, deterministic=True)
        transition = simulation.advance(action[:1])
        observation, total = transition.observation, total + float(transition.reward[0])
    assert total == row.total


def test_plain_sb3_goes_on_with_a_run(tmp_path: Path) -> None:
    run = pretrain(LIFT, PLAIN, steps=64, out=tmp_path / "run", options=TINY["ppo"], progress=False)
    algorithm = run.algorithm
    algorithm.set_env(make_vec_env(LIFT, HEAVY, num_envs=4))  # refuses another action space
    algorithm.learn(64)
