from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.runs.load import load_run
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.executors.inline import InlineExecutor
from sim2real.studies.tune import tune
from sim2real.studies.tuning.config import load_tune

pytest.importorskip("optuna")

SEARCH: dict[str, Any] = {
    "task": "cartpole",
    "domain": "nominal",
    "steps": 512,
    "options": {"num_envs": 4, "n_steps": 16, "net_arch": [8], "batch_size": 16, "n_epochs": 1},
    "space": {
        "learning_rate": {"log_uniform": [1e-5, 1e-2]},
        "n_epochs": {"uniform": [1, 4]},
        "activation": {"choice": ["tanh", "relu"]},
    },
    "trials": 8,
    "episodes": 2,
    "evaluations": 2,
}

pytestmark = pytest.mark.usefixtures("short_cartpole")


def write(tmp_path: Path, name: str = "small", **changes: Any) -> Path:
    file = tmp_path / f"{name}.yaml"
    file.write_text(yaml.safe_dump(SEARCH | {"out": str(tmp_path / name)} | changes))
    return file


def run(file: Path) -> dict[str, Any]:
    return tune(file, executor="inline", progress=False)


def trials(report: dict[str, Any]) -> list[Any]:
    return [(one["state"], one["options"], one["curve"]) for one in report["trials"]]


def test_a_search_from_file_to_report(tmp_path: Path) -> None:
    report = run(write(tmp_path))
    out = tmp_path / "small"
    states = [one["state"] for one in report["trials"]]
    assert len(states) == 8
    assert "pruned" in states  # from the sixth trial on, below the median
    best = report["best"]
    complete = [one for one in report["trials"] if one["state"] == "complete"]
    assert best["value"] == max(one["value"] for one in complete)
    assert len(best["curve"]) == 2
    assert best["curve"][-1] == best["value"]
    assert isinstance(best["options"]["n_epochs"], int)
    assert sum(report["importance"].values()) == pytest.approx(1.0)
    recipe = load_run(out / "runs" / f"trial-{best['number']:04d}-seed-0").config.parsed_recipe()
    assert recipe.learning_rate == best["options"]["learning_rate"]
    assert f"Best: trial {best['number']}" in (out / "report" / "report.md").read_text()
    assert (out / "report" / "history.png").stat().st_size > 1000
    board = EventAccumulator(str(out / "tensorboard" / f"trial-{best['number']:04d}")).Reload()
    values = [one.value for one in board.Scalars("objective")]
    assert values == pytest.approx(best["curve"])
    assert any("hparams" in tag for tag in board.summary_metadata)


def test_an_interrupted_search_equals_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped within a trial, between its two parts, and once more before a run has begun."""
    space = {"learning_rate": {"log_uniform": [1e-5, 1e-2]}}
    whole = run(write(tmp_path, "whole", trials=3, space=space))
    file = write(tmp_path, "parts", trials=3, space=space)
    wait, left = InlineExecutor.wait, iter([True, True, True, False, True, False])

    def stop(executor: InlineExecutor, seconds: float) -> list[Outcome]:
        if not next(left, True):
            raise KeyboardInterrupt
        return wait(executor, seconds)

    monkeypatch.setattr(InlineExecutor, "wait", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="started again, it goes on"):
            run(file)
    parts = run(file)
    assert trials(parts) == trials(whole)
    more = run(write(tmp_path, "parts", trials=4, space=space))
    assert trials(more)[:3] == trials(whole)
    with pytest.raises(UserError, match="has a search with another episodes"):
        run(write(tmp_path, "parts", trials=4, space=space, episodes=3))


def test_the_parts_of_a_trial_are_one_uninterrupted_run(tmp_path: Path) -> None:
    rate = {"learning_rate": {"choice": [1e-3]}}
    run(write(tmp_path, trials=1, space=rate))
    trial = load_run(tmp_path / "small" / "runs" / "trial-0000-seed-0")
    whole = s2r.pretrain(
        "cartpole", "nominal", steps=512, options=SEARCH["options"] | {"learning_rate": 1e-3},
        out=tmp_path / "whole", progress=False,
    )  # fmt: skip
    assert all(
        (mine == other).all()
        for mine, other in zip(
            trial.policy.state_dict().values(), whole.policy.state_dict().values(), strict=True
        )
    )


def test_a_method_is_searched_with_several_seeds(tmp_path: Path) -> None:
    s2r.pretrain(
        "cartpole", "nominal", steps=256, options=SEARCH["options"], out=tmp_path / "source",
        progress=False,
    )  # fmt: skip
    moved = {
        "task": "cartpole",
        "domain": "hard",
        "run": str(tmp_path / "source"),
        "method": "fine_tune",
        "budget": 128,
        "space": {"recipe.n_steps": {"choice": [8, 16]}, "recipe.batch_size": {"choice": [8, 32]}},
        "trials": 3,
        "seeds": 2,
        "episodes": 2,
        "out": str(tmp_path / "moved"),
    }
    file = tmp_path / "moved.yaml"
    file.write_text(yaml.safe_dump(moved))
    report = run(file)
    assert report["evaluated_in"] == "hard"
    assert {one["state"] for one in report["trials"]} == {"complete"}
    runs = sorted(path.name for path in (tmp_path / "moved" / "runs").iterdir())
    assert runs[:2] == ["trial-0000-seed-0", "trial-0000-seed-1"]
    assert len(runs) == 6
    file.write_text(yaml.safe_dump(moved | {"objective": "score"}))
    with pytest.raises(UserError, match="needs the oracle of hard; run a study"):
        run(file)


PART = "sim2real.studies.tuning.trial.run_part"


def test_a_trial_that_fails_is_told_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def part(work: Mapping[str, Any]) -> dict[str, Any]:
        if "trial-0000" in work["run"]:
            raise UserError("these options do not fit together")
        return {"mean": 1.0}

    monkeypatch.setattr(PART, part)
    report = run(write(tmp_path, trials=3))
    assert [one["state"] for one in report["trials"]] == ["fail", "complete", "complete"]
    assert report["trials"][0]["problem"] == "these options do not fit together"
    with pytest.raises(UserError, match="no trial was finished: these options do not fit"):
        run(write(tmp_path, "other", trials=1))


def test_a_kill_while_the_journal_is_written_loses_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PART, lambda work: {"mean": 1.0})
    whole = run(write(tmp_path, trials=2))
    journal = tmp_path / "small" / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-20])
    for _ in range(2):
        assert trials(run(write(tmp_path, trials=2))) == trials(whole)
    journal.write_text("{broken\n" + journal.read_text())
    with pytest.raises(UserError, match=r"journal\.log is damaged"):
        run(write(tmp_path, trials=2))


def test_the_gap_closed_is_the_share_of_the_way_to_the_score_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At home the run scores (60 - 0) / (100 - 0) = 0.6; in the target that is 10 + 0.6 * 40 = 34.
    It starts at 14 there, so a return of 24 closes half of the gap."""
    s2r.pretrain(
        "cartpole", "nominal", steps=256, options=SEARCH["options"], out=tmp_path / "source",
        progress=False,
    )  # fmt: skip
    references = {"nominal": (0.0, 100.0), "hard": (10.0, 50.0)}
    returned = {"nominal": 60.0, "hard": 14.0}
    plan = "sim2real.studies.tuning.plan.TunePlan"
    monkeypatch.setattr(f"{plan}._references", lambda _, domain: references[domain.name])
    monkeypatch.setattr(f"{plan}._return", lambda _, domain: returned[domain.name])
    monkeypatch.setattr(PART, lambda work: {"mean": 24.0})
    moved = {"task": "cartpole", "domain": "hard", "run": str(tmp_path / "source")}
    moved |= {"method": "fine_tune", "budget": 128, "objective": "gap_closed", "trials": 1}
    moved |= {"space": {"warm_up": {"uniform": [0.0, 0.2]}}, "out": str(tmp_path / "moved")}
    file = tmp_path / "moved.yaml"
    file.write_text(yaml.safe_dump(moved))
    assert run(file)["best"]["value"] == pytest.approx(0.5)
    returned["hard"] = 40.0
    with pytest.raises(UserError, match="there is no gap to close in hard"):
        run(file)


def test_the_example_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "howto" / "tune.md").read_text()
    examples = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    monkeypatch.setattr(PART, lambda work: {"mean": float(work["recipe"]["n_epochs"])})
    found = []
    for number, example in enumerate(examples):
        file = tmp_path / f"example-{number}.yaml"
        small = {"trials": 2, "out": str(tmp_path / f"out-{number}")}
        file.write_text(yaml.safe_dump(example | small))
        if "method" in example:
            load_tune(file)
        else:
            found.append(run(file)["best"]["value"])
    assert found


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"space": {"learning_rat": {"uniform": [0.1, 0.2]}}}, "did you mean 'learning_rate'"),
        ({"space": {"gamma": {"uniform": [0.5, 2.0]}}}, "gamma"),
        ({"space": {}}, "space"),
        ({"algorithm": "ppi"}, "did you mean 'ppo'"),
        ({"domain": "nominl"}, "did you mean 'nominal'"),
        ({"steps": None}, "give steps for trainings, or run, method and budget"),
        ({"method": "fine_tune"}, "a transfer needs run, method and budget; got method"),
        ({"objective": "gap_closed"}, "gap_closed is of a transfer"),
        ({"trils": 3}, "did you mean 'trials'"),
    ],
)
def test_what_is_wrong_is_refused_before_any_step(
    changes: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=problem):
        run(write(tmp_path, **changes))
    assert not (tmp_path / "small").exists()


def test_the_name_is_that_of_the_file(tmp_path: Path) -> None:
    assert load_tune(write(tmp_path, "rates")).name == "rates"
