"""A universal policy, and the context with which it does best in a target."""

from __future__ import annotations

import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conformance_cases import slow_unless

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation import Simulation
from sim2real.task import labels
from sim2real.transfer.api import transfer
from sim2real.transfer.conditioned import Conditioned, in_mean_context
from sim2real.transfer.conformance import METHOD_CHECKS, SOURCE, WORLDS, Trial
from sim2real.transfer.find import load_method
from sim2real.transfer.methods.universal import search_in
from sim2real.transfer.outcome import outcome

ROBOTS = Path(__file__).parents[2] / "robots"
WEIGHING = str(ROBOTS / "weighing.py")
ON_CONTEXT: dict[str, Any] = {"privileged": "context", "privileged_actor": True}


def small(out: Path, algorithm: str = "ppo", **options: Any) -> Run:
    return pretrain(
        "cartpole",
        "randomized",
        algorithm=algorithm,
        steps=160,
        num_envs=WORLDS,
        out=out,
        options={"net_arch": [6, 5], **SOURCE[algorithm], **ON_CONTEXT, **options},
        progress=False,
    )


class UniversalTrial(Trial):
    """A trial whose source acts on the context."""

    @cached_property
    def source(self) -> Run:
        return small(self.folder / "source", self.algorithm)


def test_only_the_context_is_shown() -> None:
    plain, shown, every = (
        Simulation("cartpole", "randomized", 3, seed=1, privileged=which)
        for which in (False, "context", True)
    )
    sensed, seen = plain.reset(), shown.reset()
    assert [term.name for term in shown.observation_terms if term.group == "privileged"] == [
        "context"
    ]
    np.testing.assert_array_equal(seen, np.concatenate([sensed, shown.context], axis=1))
    assert seen.shape[1] < every.reset().shape[1]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_conditioned_policy_acts_as_the_universal_one_in_that_context(
    algorithm: str, short_cartpole: None, tmp_path: Path
) -> None:
    source = small(tmp_path / "source", algorithm)
    conditioned = Conditioned(source.policy, in_mean_context(source))
    worlds = Simulation("cartpole", "randomized", 8, seed=3, privileged="context")
    seen = worlds.reset()
    count = len(labels(worlds.policy_terms))
    rng = np.random.default_rng(0)
    for row in seen:
        observations = rng.normal(size=(16, count))
        conditioned.set(conditioned.place(row[count:]))
        whole = np.concatenate([observations, np.tile(row[count:], (16, 1))], axis=1)
        np.testing.assert_allclose(
            conditioned.policy.predict(observations, deterministic=True)[0],
            source.policy.predict(whole, deterministic=True)[0],
            atol=2e-6,
        )


@pytest.fixture(scope="module")
def weighing(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The best action is the context, the scale m of the mass, less 0.5."""
    return pretrain(
        WEIGHING,
        "drawn",
        steps=12_800,
        num_envs=64,
        out=tmp_path_factory.mktemp("weighing") / "source",
        options={
            **ON_CONTEXT,
            "net_arch": [16],
            "gamma": 0.0,
            "n_steps": 5,
            "batch_size": 64,
            "learning_rate": 1e-2,
            "lr_schedule": "linear",
            "log_std_init": -1.5,
            "reward_scale": 1.0,
        },
        progress=False,
    )


def moved(source: Run, out: Path, **options: Any) -> Run:
    return transfer(
        source, "heavy", method="universal", budget=400, out=out, options=options, progress=False
    )


def test_the_context_of_the_target_is_found(weighing: Run, tmp_path: Path) -> None:
    """The target has m = 1.5, so that the best action is 1; with the mean context it is 0.5."""
    run = moved(weighing, tmp_path / "run")
    (action,) = run.policy.predict(np.zeros((1, 1)), deterministic=True)[0]
    (usual,) = in_mean_context(weighing).predict(np.zeros((1, 1)), deterministic=True)[0]
    assert usual[0] == pytest.approx(0.5, abs=0.15)
    assert action[0] == pytest.approx(1.0, abs=0.15)
    (mass,) = read_json(run.path / "report/context.json")["context"].values()
    assert mass == pytest.approx(1.5, abs=0.1)
    assert read_json(run.path / "report/budget.json")["used"]["steps"] <= 400
    assert read_json(run.path / "report/selection.json")["chosen"] == "universal"
    summary = outcome(run, episodes=5)
    assert summary["after"]["value"] > summary["zero_shot"]["value"] + 0.5


def test_a_budget_of_less_than_a_generation_leaves_the_nominal_context(
    weighing: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"population": 1_000}
    given: Any = {"method": "universal", "budget": 400, "out": tmp_path / "run"}
    run = transfer(weighing, "heavy", options=options, **given)
    found = read_json(run.path / "report/context.json")
    assert found["generations"] == []
    assert [*found["context"].values()] == pytest.approx([1.0], abs=1e-3)  # m is a scale
    said = capsys.readouterr().err
    assert re.search(r"a generation is 1000 episodes of up to \d+ control steps, and 280 are", said)


def ellipsoid(points: Any) -> Any:
    """0 at (1, ..., 1), else more; the axes differ by a factor of 1,000 and are no coordinates."""
    size = points.shape[-1]
    turned = np.linalg.qr(np.random.default_rng(7).normal(size=(size, size)))[0]
    return np.square((points - 1.0) @ turned * np.logspace(0, 1.5, size)).sum(axis=-1)


def test_the_search_is_seeded_alone_and_stays_in_its_box() -> None:
    box = {"low": np.full(3, -10.0), "high": np.full(3, 0.5), "nominal": np.zeros(3)}
    means, state = [], np.random.get_state()[1].tolist()  # type: ignore[union-attr, index] # noqa: NPY002
    for _ in range(2):
        search = search_in(box, None, 4)
        for _ in range(60):
            points = np.array(search.ask())
            assert (points >= box["low"]).all()
            assert (points <= box["high"]).all()
            search.tell(list(points), ellipsoid(points).tolist())
        means.append(search.result.xfavorite)
    np.testing.assert_array_equal(*means)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[union-attr, index] # noqa: NPY002
    best = [ellipsoid(np.array(one)) for one in (means[0], box["nominal"])]
    assert best[0] < 0.5 * best[1]


def test_without_the_package_cma_nothing_is_begun(
    weighing: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cma", None)
    with pytest.raises(UserError, match=r"needs the package cma: .*sim2real\[identify\]"):
        moved(weighing, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("algorithm", [slow_unless(one == "ppo", one) for one in ALGORITHMS])
def test_the_checks_of_a_method_pass(algorithm: str, short_cartpole: None, tmp_path: Path) -> None:
    trial = UniversalTrial("universal", algorithm, tmp_path, 400, {"population": 4})
    for check in METHOD_CHECKS.values():
        check(trial)
    assert len(list((trial.moved.path / "phases").glob("*generation*"))) > 1


@pytest.mark.slow
def test_the_identified_context_is_that_of_the_target(tmp_path: Path) -> None:
    source = pretrain(
        "furuta",
        "randomized",
        steps=1_024,
        num_envs=16,
        out=tmp_path / "source",
        options={**ON_CONTEXT, "n_steps": 32},
        progress=False,
    )
    run = transfer(
        source,
        "worn-motor",
        method="universal",
        budget=2_000,
        out=tmp_path / "run",
        options={"context": "identified", "reward": False},
        progress=False,
    )
    found = read_json(run.path / "report/context.json")["context"]
    assert found["context[dcmotor.constant:motor]"] == pytest.approx(0.85, abs=0.05)


@pytest.mark.parametrize(
    "options",
    [{}, {"privileged": True, "privileged_actor": True}, {"privileged": "context"}],
)
def test_a_source_that_acts_on_no_context_is_refused(
    options: dict[str, Any], short_cartpole: None, tmp_path: Path
) -> None:
    given = {"privileged": False, "privileged_actor": False, **options}
    source = small(tmp_path / "source", **given)
    with pytest.raises(UserError, match="pretrain the source with privileged=context"):
        transfer(source, "hard", method="universal", budget=100, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_family_without_ranges_is_refused_before_a_step(
    short_cartpole: None, tmp_path: Path
) -> None:
    source, options = small(tmp_path / "source"), {"context": "identified", "family": "nominal"}
    given: dict[str, Any] = {"method": "universal", "budget": 100, "progress": False}
    with pytest.raises(UserError, match="has nothing to identify"):
        transfer(source, "hard", options=options, out=tmp_path / "run", **given)
    assert read_json(tmp_path / "run" / "report" / "budget.json")["used"]["steps"] == 0


def test_a_search_needs_a_reward() -> None:
    with pytest.raises(UserError, match="needs the target's reward; allowed: identified"):
        load_method("universal", {"reward": False})


def test_a_universal_policy_is_loaded_and_evaluated_again(weighing: Run) -> None:
    again = load_run(weighing.path)
    assert again.config.parsed_recipe().privileged == "context"
    assert again.policy.acting_terms[-1].name == "context"
