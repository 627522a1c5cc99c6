"""The method identify: its phases, its decision, its counts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from sim2real.domains.domain import load_domains
from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.identification.record import record
from sim2real.identification.stored import decode
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.recipe import load_recipe
from sim2real.runs import checkpoint as checkpoints
from sim2real.simulation import Simulation
from sim2real.transfer.adaptation import parts, restart_exploration
from sim2real.transfer.api import SOURCE_STEPS, transfer
from sim2real.transfer.conformance import Trial, same_policy
from sim2real.transfer.methods.identify import DOMAINS, PAGE, REPORT, results
from sim2real.transfer.resume import resume
from sim2real.transfer.work import PHASES, VALUE

pytestmark = pytest.mark.usefixtures("nothing_missing", "quick")
TINY: dict[str, Any] = {
    "simulated_steps": 96,
    "evaluations": 2,
    "episodes": 2,
    "verify": 2,
    "rounds": 1,
}
BUDGET = 240


MORE: tuple[dict[str, Any], ...] = (
    {"rounds": 2, "stalled": 1.0, "most_recorded": 60, "verify": 1},
    {"attempts": 1, "fresh_attempts": 1},
    {"attempts": 1, "designed": True},
)
"""Options by algorithm: PPO makes two attempts and rounds where it can, SAC a fresh attempt, and
the noise of TD3's log is designed."""
FAMILY = """
strengths:
  actuation: [{delay: 0.02}, {strength: {uniform: [0.3, 1.7]}}]
  dynamics:
    - {field: body_mass, of: cart, scale: 1.6}
    - {field: body_mass, of: pole, scale: {uniform: [0.3, 4.0]}}
    - {field: dof_frictionloss, of: slider, set: 1.0}
"""
"""The target `hard` is in it: what no family explains is looked for, which takes longest."""


@pytest.fixture(scope="module")
def trials(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    folder = tmp_path_factory.mktemp("identify")
    (folder / "family.yaml").write_text(FAMILY)
    options = {**TINY, "family": f"{folder}/family.yaml:strengths"}
    return {
        algorithm: Trial("identify", algorithm, folder / algorithm, BUDGET, {**options, **more})
        for algorithm, more in zip(ALGORITHMS, MORE, strict=True)
    }


def untimed(path: Path) -> Any:
    """A report without the seconds that an identification took."""
    found = read_json(path)
    for one in found.get("rounds", []):
        one.pop("seconds", None)  # none where the log had a problem
    return found


@pytest.mark.parametrize(
    "algorithm", ["ppo", *(pytest.param(one, marks=pytest.mark.slow) for one in ("sac", "td3"))]
)
def test_a_run_resumed_after_any_phase_equals_it(algorithm: str, trials: dict[str, Trial]) -> None:
    trial = trials[algorithm]
    count = len(list((trial.moved.path / PHASES).glob("*")))
    for kept in [count // 4, 2 * count // 3] if algorithm == "ppo" else [count // 2]:
        path = trial.folder / f"cut-{kept}"
        shutil.copytree(trial.moved.path, path)
        for phase in sorted((path / PHASES).glob("*"))[kept:]:
            shutil.rmtree(phase)
        shutil.rmtree(path / "report")
        shutil.rmtree(path / "checkpoints")
        resumed = resume(path, progress=False)
        assert same_policy(resumed, trial.moved)
        for name in ("report/budget.json", SOURCE_STEPS, REPORT):
            assert untimed(path / name) == untimed(trial.moved.path / name)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_report_has_what_was_done(algorithm: str, trials: dict[str, Trial]) -> None:
    path = trials[algorithm].moved.path
    *before, last = read_json(path / REPORT)["rounds"]
    used = read_json(path / "report/budget.json")["used"]["steps"]
    assert [one["problem"][:16] for one in before] == ["the log has 2 wi"] * (algorithm == "ppo")
    assert last["steps"] == BUDGET // 2  # of both rounds
    assert BUDGET // 2 <= used <= BUDGET
    assert set(load_domains(path / DOMAINS)) == {"identified", "posterior"}
    assert "determine" in (path / PAGE.format(number=len(before) + 1)).read_text()
    assert not before or not (path / PAGE.format(number=1)).exists()
    simulated = read_json(path / SOURCE_STEPS)["steps"]
    assert simulated > last["simulated_steps"] + 96


def test_tensorboard_has_each_round(trials: dict[str, Trial]) -> None:
    path = trials["td3"].moved.path
    (last,) = read_json(path / REPORT)["rounds"]
    (folder,) = (path / PHASES).glob("*-identify-1")
    (file,) = folder.glob("events.out.*")
    tags: dict[str, dict[int, Any]] = {}
    for event in EventFileLoader(str(file)).Load():
        for value in event.summary.value:
            tags.setdefault(value.tag, {})[event.step] = value
    at = last["steps"]
    for row in last["table"]:
        shown = tags[f"worlds/identified/{row['name']}"][at].tensor.float_val[0]
        assert shown == pytest.approx(row["value"])
        assert set(tags[f"worlds/context/{row['name']}"]) == {at}
    assert {f"worlds/residual/{name}" for name in last["misfit"]["names"]} <= set(tags)
    assert {"worlds/residual/over_time", "worlds/posterior_correlation"} <= set(tags)
    ((first, second),) = last["adaptation"]["attempts"]
    curve = [one.tensor.float_val[0] for one in tags["rollout/return_in_identified"].values()]
    assert curve == pytest.approx([first, second])
    assert list(tags["rollout/return_in_identified"]) == [48, 96]


def test_designed_noise_is_recorded_with(trials: dict[str, Trial]) -> None:
    path = trials["td3"].moved.path
    design, record = sorted((path / PHASES).glob("*-1"))[:2]
    assert [one.name for one in (design, record)] == ["02-excitation-1", "03-record-1"]
    found = decode(read_json(design / VALUE), {})
    assert len(found["std"]) == 1
    assert 0.05 <= found["std"][0] <= 0.5
    assert 0.0 <= found["time"] <= 0.5


def test_a_fresh_attempt_starts_without_the_weights_of_the_source(
    trials: dict[str, Trial],
) -> None:
    trial = trials["sac"]
    (last,) = read_json(trial.moved.path / REPORT)["rounds"]
    assert [len(one) for one in last["adaptation"]["attempts"]] == [2, 2]
    start = trial.source.policy.state_dict()["actor.latent_pi.0.weight"]

    def distance(attempt: int) -> float:
        """How far the first layer is from the source's after the attempt."""
        phase = max((trial.moved.path / PHASES).glob(f"*-adapt-1-{attempt}"))
        moved = checkpoints.read_checkpoint(phase, checkpoints.steps(phase)[-1]).policy
        return float((moved["actor.latent_pi.0.weight"] - start).abs().max())

    assert 0 < distance(1) < 0.1 < distance(2)


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [
        (3_000_000, 3, [999_424, 1_998_848, 3_000_000]),  # whole rollouts of 64 x 64
        (3_000_000, 1, [3_000_000]),
        (200, 2, [64, 192]),
        (10, 3, [64]),
    ],
)
def test_parts_of_a_training(steps: int, evaluations: int, expected: list[int]) -> None:
    assert parts(load_recipe("ppo", "hopper", {}), steps, evaluations) == expected


def test_a_log_in_which_nothing_can_be_identified_leaves_the_policy(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    source = trials["ppo"].source
    run = transfer(
        source, "hard", method="identify", budget=40, out=tmp_path / "run", progress=False
    )
    found = read_json(run.path / REPORT)["rounds"]
    assert all("the log has 2 windows" in one["problem"] for one in found)
    before, after = source.checkpoint.policy, run.checkpoint.policy
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert results(found[0])["policy"] == "as it was"


def test_without_a_reward_the_simulation_decides(trials: dict[str, Trial], tmp_path: Path) -> None:
    source = trials["td3"].source
    options = {
        key: value for key, value in trials["td3"].moved.config.method.items() if key != "name"
    }  # type: ignore[union-attr]
    given: dict[str, Any] = {"budget": BUDGET, "options": options | {"reward": False}}
    given |= {"out": tmp_path / "run", "progress": False}
    run = transfer(source, "hard", method="identify", **given)
    found = read_json(run.path / REPORT)["rounds"][0]
    assert found["verdict"]["measured"] is None
    learned = found["adaptation"]["best"] > found["adaptation"]["start"]
    assert found["verdict"]["keep"] == (found["explained"] and learned)
    recorded = read_json(run.path / "report/budget.json")["used"]["steps"]
    assert recorded <= BUDGET * 3 // 4  # nothing is spent on verification


def test_a_family_without_ranges_is_refused_before_a_step(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    given: dict[str, Any] = {"options": {"family": "nominal"}, "out": tmp_path / "run"}
    with pytest.raises(UserError, match="nominal"):
        transfer(trials["ppo"].source, "hard", method="identify", budget=40, **given)


def test_a_log_at_hand_is_identified_from_as_well(trials: dict[str, Trial], tmp_path: Path) -> None:
    trial = trials["ppo"]
    worlds = Simulation("cartpole", "hard", actions="normalized")
    record(worlds, trial.source.policy, 60, noise=0.2).save(tmp_path / "robot.log")
    given: dict[str, Any] = {"method": "identify", "budget": BUDGET, "progress": False}
    options = {**trial._options, "attempts": 1, "log": str(tmp_path / "robot.log")}
    run = transfer(trial.source, "hard", options=options, out=tmp_path / "run", **given)
    used = read_json(run.path / "report/budget.json")["used"]["steps"]
    first = read_json(run.path / REPORT)["rounds"][0]
    assert first["steps"] == 60 + min(60, BUDGET // 2)
    assert used <= BUDGET


def test_a_log_of_something_else_is_refused_before_a_step(
    trials: dict[str, Trial], tmp_path: Path
) -> None:
    record(Simulation("furuta"), np.zeros((20, 1)), 20).save(tmp_path / "other.log")
    options = {"log": str(tmp_path / "other.log")}
    given: dict[str, Any] = {"options": options, "out": tmp_path / "run"}
    with pytest.raises(UserError, match=r"other.log: observations .*; allowed: .*cart"):
        transfer(trials["ppo"].source, "hard", method="identify", budget=40, **given)


def test_exploration_starts_as_that_of_a_fresh_policy(trials: dict[str, Trial]) -> None:
    algorithm = trials["ppo"].source.algorithm
    recipe = load_recipe("ppo", None, {"log_std_init": -0.25})
    before = named_tensors(algorithm.policy)["action_net.weight"].clone()
    restart_exploration(algorithm, recipe)
    tensors = named_tensors(algorithm.policy)
    assert (tensors["log_std"] == -0.25).all()
    assert torch.equal(tensors["action_net.weight"], before)
