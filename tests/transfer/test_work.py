from __future__ import annotations

import functools
import itertools
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless
from pydantic import PrivateAttr
from safetensors.torch import load_file
from stable_baselines3.common.policies import BasePolicy

from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.policies.recipe import parse_recipe
from sim2real.runs.checkpoint import discard_after
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer
from sim2real.transfer.method import Method
from sim2real.transfer.resume import resume
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work

SEARCH = str(Path(__file__).parent / "methods" / "context_search.py")
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 8, "batch_size": 16, "n_epochs": 2},
    "sac": {"learning_starts": 8, "batch_size": 8},
    "td3": {"learning_starts": 8, "batch_size": 8},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    folder = tmp_path_factory.mktemp("sources")
    return {
        algorithm: pretrain(
            "cartpole",
            algorithm=algorithm,
            steps=64,
            num_envs=4,
            out=folder / algorithm,
            options={"net_arch": [6, 5], **SMALL[algorithm]},
            progress=False,
        )
        for algorithm in ALGORITHMS
    }


def go(source: Run, out: Path, method: Any = SEARCH, **others: Any) -> Run:
    small = {"recipe": SMALL[source.config.algorithm], "num_envs": 4}
    options = {} if isinstance(method, Method) else small
    arguments: dict[str, Any] = {"budget": 50, "checkpoint_every": 32, "options": options}
    return transfer(
        source, "hard", method=method, out=out, progress=False, **{**arguments, **others}
    )


def report(run: Run, name: str) -> Any:
    return json.loads((run.path / "report" / f"{name}.json").read_text())


def equal(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_method_that_learns_in_simulation_only(
    algorithm: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources[algorithm], tmp_path / "run", curve=2, curve_episodes=2)
    used = report(run, "budget")["used"]
    assert used["steps"] == run.step == 40
    assert report(run, "source_steps")["steps"] == 2 * 40 + 96
    assert [row["steps"] for row in report(run, "curve")["rows"]] == [0, 40]
    assert not equal(run.checkpoint.policy, sources[algorithm].checkpoint.policy)
    assert sorted(path.name for path in (run.path / "phases").iterdir()) == [
        "00-record",
        "01-search",
        "02-adapt",
    ]
    assert run.policy.predict(np.zeros((1, 5)))[0].shape == (1, 1)
    assert resume(run.path, progress=False).step == 40


@pytest.fixture(scope="module")
def whole_of(
    sources: dict[str, Run], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """The run of an algorithm that was never killed, made once."""
    folder = tmp_path_factory.mktemp("whole")
    return functools.cache(lambda algorithm: go(sources[algorithm], folder / algorithm))


KILLS = {"search": 50, "second": 110, "adapt": 122, "late": 140}
KILLED = {("search", "ppo"), ("second", "sac"), ("adapt", "td3"), ("late", "ppo")}


@pytest.mark.parametrize(
    ("phase", "algorithm"),
    [slow_unless(case in KILLED, *case) for case in itertools.product(KILLS, ALGORITHMS)],
)
def test_a_method_killed_within_a_phase_goes_on_bit_for_bit(
    phase: str,
    algorithm: str,
    sources: dict[str, Run],
    whole_of: Callable[[str], Run],
    tmp_path: Path,
    killed_after: Callable[[int], AbstractContextManager[None]],
) -> None:
    whole = whole_of(algorithm)
    with killed_after(KILLS[phase]):
        go(sources[algorithm], tmp_path / "killed")
    torch.manual_seed(123)
    resumed = resume(tmp_path / "killed", progress=False)
    assert equal(resumed.checkpoint.policy, whole.checkpoint.policy)
    assert equal(resumed.checkpoint.training, whole.checkpoint.training)
    for name in ("budget", "source_steps"):
        assert report(resumed, name) == report(whole, name)


class Own(Method):
    """A method made of one function of source, target and work."""

    name: ClassVar[str] = "own"

    what: str
    _run: Any = PrivateAttr(None)
    _policy: Any = PrivateAttr(None)

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """As `what` asks."""
        self._run, self._policy = source, source.policy
        getattr(self, f"_{self.what}")(target, work)
        return source.policy

    def _overdraw(self, target: Target, work: Work) -> None:
        for worlds in (1, 3):
            env = target.env(worlds)
            env.reset()
            for _ in range(26 if worlds == 1 else 9):
                env.step(np.zeros((worlds, 1)))

    def _source_is_target(self, target: Target, work: Work) -> None:
        work.env("hard")

    def _same_phase(self, target: Target, work: Work) -> None:
        work.once("one", lambda: 1)
        work.once("one", lambda: 2)

    def _cannot_store(self, target: Target, work: Work) -> None:
        work.once("one", lambda: {"found": target})

    def _bad_name(self, target: Target, work: Work) -> None:
        work.once("../one", lambda: 1)

    def _records(self, target: Target, work: Work) -> None:
        log = work.once("record", lambda: target.record(self._policy, 2400, 2, noise=2.0))
        assert log.steps == 2400
        assert log.terminated is not None
        assert log.terminated.any()
        for rows in log.episodes:
            assert log.times[rows][0] == 0.0
            assert np.allclose(np.diff(log.times[rows]), target.contract.control_dt)
            assert log.extras["reward"][rows][-1] == 0.0
        again = work.once("again", lambda: {"log": target.record(self._policy, 60, episodes=1)})
        assert again["log"].steps == 60
        assert set(again["log"].observations) == {"cart", "pole", "velocity"}

    def _schedules(self, target: Target, work: Work) -> None:
        recipe = parse_recipe("sac", {**work.recipe.model_dump(), "lr_schedule": "linear"})
        simulation = work.simulation("nominal", 3)
        simulation.step(np.zeros((3, 1)))
        assert work.meter.usage.steps == 3
        with pytest.raises(UserError, match="is the target"):
            work.simulation("hard")
        learner = work.learner("one", recipe, work.env("nominal", 4), self._policy)
        source = self._run.checkpoint.training["log_ent_coef"]
        assert torch.equal(getattr(learner.algorithm, "log_ent_coef"), source)  # noqa: B009
        learner.learn(40, schedule_steps=160)
        (group,) = learner.algorithm.policy.actor.optimizer.param_groups
        assert group["lr"] == pytest.approx(recipe.learning_rate * 0.75)
        learner.learn(80, schedule_steps=160)
        assert group["lr"] == pytest.approx(recipe.learning_rate * 0.5)

    def _stores(self, target: Target, work: Work) -> None:
        value = {
            "array": np.arange(6.0).reshape(2, 3)[:, ::2],
            "tensor": torch.arange(3),
            "list": [1, 2.5, "text", None, True, {"dict": np.float32(1.5)}],
        }
        found = work.once("one", lambda: value)
        assert np.array_equal(found["array"], value["array"])
        assert torch.equal(found["tensor"], value["tensor"])  # type: ignore[arg-type]
        assert found["list"] == [1, 2.5, "text", None, True, {"dict": 1.5}]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("overdraw", "own: 3 more control steps exceed the budget of 50: 50 are used"),
        ("source_is_target", "domain 'hard' is the target; allowed: target.env"),
        ("same_phase", "there is a phase 'one' already"),
        ("cannot_store", "phase 'one' cannot store Target"),
        ("bad_name", "phase '../one'; allowed: small letters"),
    ],
)
def test_what_a_method_may_not_do(
    what: str, message: str, sources: dict[str, Run], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        go(sources["ppo"], tmp_path / "run", Own(what=what))
    assert "\n" not in str(caught.value)


def test_a_phase_returns_what_it_stored(sources: dict[str, Run], tmp_path: Path) -> None:
    run = go(sources["ppo"], tmp_path / "run", Own(what="stores"))
    assert equal(load_run(run.path).checkpoint.policy, sources["ppo"].checkpoint.policy)
    assert run.step == 0


def test_the_mean_of_several_teachers_is_learned(sources: dict[str, Run], tmp_path: Path) -> None:
    source, paths = sources["ppo"], []
    for seed in (1, 2):
        out = tmp_path / f"teacher{seed}"
        options = {"net_arch": [6, 5], "learning_rate": 0.03, **SMALL["ppo"]}
        given: dict[str, Any] = {"steps": 64, "num_envs": 4, "options": options}
        paths.append(pretrain("cartpole", seed=seed, out=out, progress=False, **given).path)
    method = str(Path(SEARCH).with_name("two_teachers.py"))
    options = {"teachers": [str(path) for path in paths], "updates": 200}
    run = go(source, tmp_path / "run", method, options=options)
    recorded = load_file(run.path / "phases" / "00-record" / "tensors.safetensors")
    terms = [recorded[f"value/{number}"] for number in (2, 3, 4)]  # after times and commands
    seen = torch.cat(terms, dim=1).numpy()
    acts = [
        load_run(path).policy.predict(seen, deterministic=True)[0]
        for path in (*paths, source.path, run.path)
    ]
    mean = (acts[0] + acts[1]) / 2
    assert np.abs(acts[3] - mean).mean() < 0.5 * np.abs(acts[2] - mean).mean()
    rows = json.loads((run.path / "report" / "manifest.json").read_text())["tensors"]
    actions = {row["tensor"]: row["action"] for row in rows}
    assert actions["action_net.weight"] == "adapted"
    assert actions["value_net.weight"] == "copied"
    with pytest.raises(UserError, match="has a loop of its own"):
        resume(run.path, progress=False, steps=100)
    shutil.rmtree(run.path / "phases" / "01-teach")
    discard_after(run.path, -1)
    (run.path / "report" / "source_steps.json").unlink()
    assert equal(resume(run.path, progress=False).checkpoint.policy, run.checkpoint.policy)


def test_a_record_has_times_commands_terms_and_marks(
    sources: dict[str, Run], tmp_path: Path
) -> None:
    run = go(sources["ppo"], tmp_path / "run", Own(what="records"), budget=2460)
    assert report(run, "budget")["used"]["steps"] == 2460


def test_a_learner_states_its_schedule_and_carries_the_coefficient(
    sources: dict[str, Run], tmp_path: Path
) -> None:
    go(sources["sac"], tmp_path / "run", Own(what="schedules"))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "keys", "missing"])
def test_a_damaged_phase_is_one_line(damage: str, sources: dict[str, Run], tmp_path: Path) -> None:
    run = go(sources["ppo"], tmp_path / "run")
    discard_after(run.path, -1)  # the final checkpoint, so that the phases are read again
    (run.path / "report" / "source_steps.json").unlink()
    phase = run.path / "phases" / "00-record"
    if damage == "truncated":
        (phase / "tensors.safetensors").write_bytes(b"x" * 20)
    elif damage == "flipped":  # a bit of a number, which is still a number
        data = bytearray((phase / "tensors.safetensors").read_bytes())
        data[-3] ^= 1
        (phase / "tensors.safetensors").write_bytes(data)
    elif damage == "keys":
        (phase / "state.json").write_text("{}")
    else:
        (phase / "value.json").unlink()
    with pytest.raises(UserError, match="phases/00-record") as caught:
        resume(run.path, progress=False)
    assert "\n" not in str(caught.value)
