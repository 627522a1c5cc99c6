from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sim2real.errors import UserError
from sim2real.evaluation import provenance
from sim2real.studies.config import StudyConfig, load_study
from sim2real.studies.plan import StudyPlan
from sim2real.studies.study import plan_of

SMALL: dict[str, Any] = {
    "task": "inverted_pendulum",
    "source": {"steps": 4096},
    "targets": ["medium", "hard"],
    "methods": ["fine_tune"],
    "budget": 2048,
    "seeds": 2,
    "oracle": {"steps": 4096},
}
ROOT = Path(__file__).parents[2]


def made(tmp_path: Path, **changes: Any) -> StudyConfig:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(SMALL | {"out": str(tmp_path / "out")} | changes))
    return load_study(file)


def test_an_oracle_that_goes_on_has_the_reward_and_the_worlds_of_its_target(tmp_path: Path) -> None:
    options = {"worst_share": 0.5, "torque_penalty": 0.1, "gamma": 0.9}
    plan = StudyPlan(made(tmp_path, source={"steps": 4096, "options": options}))
    (cell, *_) = (cell for cell in plan.cells.values() if cell.work["kind"] == "continue")
    recipe = cell.work["method"]["recipe"]
    assert recipe["gamma"] == 0.9
    assert not recipe.keys() & {*options} - {"gamma"}


def test_defaults_and_short_forms(tmp_path: Path) -> None:
    config = made(tmp_path, methods=["fine_tune", {"slow": {"name": "fine_tune", "warm_up": 0.5}}])
    assert config.name == "small"
    assert config.seeds == (0, 1)
    assert list(config.methods) == ["fine_tune", "slow", "plain", "scratch"]  # with the baselines
    assert list(made(tmp_path, plain=False).methods) == ["fine_tune", "scratch"]
    assert config.oracle_seeds == (0, 1, 2)  # the study's, filled up to three
    assert made(tmp_path, seeds=[7, 8, 9, 4]).oracle_seeds == (7, 8, 9)
    assert made(tmp_path, oracle={"steps": 5, "seeds": 2}).oracle_seeds == (0, 1)
    assert config.method("slow") == {"name": "fine_tune", "warm_up": 0.5}
    assert config.method("scratch") == {"name": "scratch"}
    assert StudyConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"bugdet": 5}, "unknown key 'bugdet'; did you mean 'budget'"),
        ({"source": {"steps": 5, "domian": "x"}}, "source.domian: .*did you mean 'domain'"),
        ({"budget": 0}, "budget: .*got 0"),
        ({"budget": float("nan")}, "budget: .*got nan"),
        ({"methods": [{"freeze": {"budget": 0}}]}, "freeze: budget is 0; allowed: 1"),
        ({"methods": [{"freeze": {"budget": "x"}}]}, "freeze: budget is 'x'"),
        ({"seeds": []}, "seeds"),
        ({"seeds": [1, 1]}, "each may be there once"),
        ({"targets": ["hard", "hard"]}, "each may be there once"),
        ({"methods": ["freeze", "freeze"]}, "'freeze' is there twice"),
        ({"methods": [["freeze"]]}, "a method is a name or"),
        ({"oracle": {"steps": 5, "seed": 0}}, "oracle.seed: .*did you mean 'seeds'"),
        ({"oracle": {"steps": 5, "seeds": [1, 1]}}, "each may be there once"),
        ({"oracle": {"steps": 5, "ways": ["sratch"]}}, "'scratch' or 'source', got 'sratch'"),
        ({"source": {"domain": "hard"}}, "give steps, .* or a run"),
        ({"methods": [{"zero_shot": {"name": "freeze"}}]}, "'zero_shot' is a row of the report"),
        ({"methods": [{"a_b": {"name": "freeze"}}, {"a-b": {"name": "freeze"}}]}, "twice as 'a-b'"),
        ({"name": "a\0b"}, "name: a name has 1 to 100 printable characters"),
        ({"name": "../../x"}, "name: a name has 1 to 100 printable"),
        ({"name": "a/b"}, "name: a name has no / or"),
        ({"targets": []}, "targets: must have 1 or more entries"),
        ({"source": {"run": "x", "steps": 5}}, "a run is given, so steps cannot be chosen"),
        ({"source": {"run": ["x", "y", "z"]}}, "3 runs for 2 seeds; allowed: one for all"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match) as caught:
        made(tmp_path, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"task": "inverted_pendulun"}, "unknown task .*did you mean 'inverted_pendulum'"),
        ({"targets": ["hrad"]}, "unknown domain .*did you mean 'hard'"),
        ({"methods": ["fine_tun"]}, "unknown method 'fine_tun'; did you mean 'fine_tune'"),
        ({"methods": [{"fine_tune": {"warmup": 0.1}}]}, "unknown key 'warmup'; did you mean 'war"),
        ({"source": {"steps": 9, "algorithm": "pppo"}}, "unknown algorithm 'pppo'"),
        ({"source": {"steps": 9, "options": {"gama": 1}}}, "unknown ppo option 'gama'"),
        ({"evaluations": [4000]}, "allowed: 0 to 2048"),
        ({"budget": 3}, "a budget of 3 steps does not cover"),
        ({"source": {"run": "~nobody_of_that_name/x"}}, "is no path of a file"),
    ],
)
def test_impossible_studies_are_refused_before_anything_is_run(
    tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        StudyPlan(made(tmp_path, **changes))
    assert not (tmp_path / "out").exists()


def test_the_source_may_be_a_target_as_a_control(tmp_path: Path) -> None:
    plan = StudyPlan(made(tmp_path, targets=["randomized", "hard"]))
    assert [domain.name for domain in plan.targets] == ["randomized", "hard"]
    assert plan.source is plan.targets[0]
    assert plan.transferred("fine_tune", plan.source, 0).needs == ("pretrain/seed-0",)


def test_domains_of_one_name_from_two_files_are_distinguished(tmp_path: Path) -> None:
    for name, scale in (("a", 2.0), ("b", 3.0)):
        text = f"windy: {{dynamics: [{{field: body_mass, scale: {scale}}}]}}"
        (tmp_path / f"{name}.yaml").write_text(text)
    targets = [f"{tmp_path}/{name}.yaml:windy" for name in "ab"]
    plan = StudyPlan(made(tmp_path, targets=targets))
    assert [domain.name for domain in plan.targets] == ["a.yaml:windy", "b.yaml:windy"]
    keys = {plan.pretrained(target, 0).key for target in plan.targets}
    assert len(keys) == 2


def test_the_plan_has_every_cell_once(tmp_path: Path) -> None:
    plan = StudyPlan(made(tmp_path))
    kinds = [cell.work["kind"] for cell in plan.cells.values()]
    count = {kind: kinds.count(kind) for kind in kinds}
    # 2 seeds; source and 2 targets; fine_tune, plain and scratch; 3 oracle seeds, of which the two
    # from scratch in the source are the pretrainings themselves
    assert count == {
        "pretrain": 2,
        "oracle": 2 * 3 + 1,
        "continue": 3 * 3,
        "random": 3,
        "evaluate": 3 * 2 + 2 * 3 * 2,
        "best": 3 * 2 * 3,
        "transfer": 2 * 3 * 2,
    }
    assert len({cell.key for cell in plan.cells.values()}) == len(kinds)
    assert plan.transferred("fine_tune", plan.targets[1], 1).needs == ("pretrain/seed-1",)
    first = [cell.id for cell in plan.cells.values() if cell.rank == 0]
    assert not [name for name in first if name.startswith("transfer")]  # references come first
    assert plan.oracle_training("scratch", plan.source, 1) is plan.trained(1)
    assert plan.oracle_training("scratch", plan.source, 2).needs == ()
    # an oracle of a seed that the study has not goes on from one that it has
    assert plan.oracle_training("source", plan.source, 2).needs == ("pretrain/seed-0",)


def test_the_oracle_is_trained_as_long_in_the_source_as_in_a_target(tmp_path: Path) -> None:
    """Where the pretrainings are shorter, they are no trainings without a budget."""
    longer = StudyPlan(made(tmp_path, oracle={"steps": 8192}))
    trained = longer.oracle_training("scratch", longer.source, 0)
    assert trained.id == "oracle/scratch/randomized/seed-0"


def test_all_trainings_of_an_oracle_have_as_many_steps(tmp_path: Path) -> None:
    """Longer pretrainings are an oracle only where they are those of all its seeds."""
    source = {"domain": "randomized", "steps": 8192}
    some, all_ = (
        StudyPlan(made(tmp_path, source=source, seeds=2, oracle={"steps": 4096, "seeds": seeds}))
        for seeds in (3, 2)
    )
    for plan, seeds in ((some, (0, 1, 2)), (all_, (0, 1))):
        found = [plan.oracle_training("scratch", plan.source, seed) for seed in seeds]
        assert len({cell.work["steps"] for cell in found}) == 1
    assert some.oracle_training("scratch", some.source, 0).id == "oracle/scratch/randomized/seed-0"
    assert all_.oracle_training("scratch", all_.source, 0) is all_.trained(0)


def test_a_domain_under_another_name_has_the_references_of_the_source(tmp_path: Path) -> None:
    beside = ROOT / "envs" / "inverted_pendulum.yaml"
    own = yaml.safe_load(beside.read_text())["randomized"]
    (tmp_path / "same.yaml").write_text(yaml.safe_dump({"twin": own}))
    plan = StudyPlan(made(tmp_path, targets=[f"{tmp_path}/same.yaml:twin"]))
    (twin,) = plan.targets
    for way in ("scratch", "source"):
        for seed in (0, 1, 2):
            ours, theirs = (plan.oracle(way, domain, seed) for domain in (plan.source, twin))
            assert ours.key == theirs.key


def test_plain_fine_tuning_is_what_going_on_learning_does(tmp_path: Path) -> None:
    plan = StudyPlan(made(tmp_path))
    method = plan.transferred("plain", plan.targets[0], 0).work["method"]
    assert method["learning_rate_factor"] == 1.0
    assert method["warm_up"] == 0.0
    assert method["log_std"] is method["least_log_std"] is None


def test_keys_follow_content_and_nothing_else(tmp_path: Path) -> None:
    def keys(**changes: Any) -> dict[str, str]:
        config = made(tmp_path, **{"seeds": 3, **changes})
        return {cell.id: cell.key for cell in StudyPlan(config).cells.values()}

    def changed(**changes: Any) -> set[str]:
        """The kinds of cells with another key than before."""
        after = keys(**changes)
        return {name.split("/")[0] for name, key in before.items() if after[name] != key}

    before = keys()
    assert changed(out=str(tmp_path / "elsewhere"), about="words", seeds=4) == set()
    assert changed(budget=4096) == {"transfer", "evaluate"}  # and what is left of it at home
    assert changed(episodes=7) == {"evaluate", "transfer"}
    assert changed(oracle={"steps": 2048}) == {"oracle", "evaluate"}
    after_it = {"oracle", "evaluate", "transfer"}  # the oracle that goes on from the source
    assert changed(source={"steps": 8192}) == {"pretrain", *after_it}
    assert changed(methods=[{"fine_tune": {"warm_up": 0.3}}]) == {"transfer", "evaluate"}


def test_a_method_may_have_a_budget_of_its_own(tmp_path: Path) -> None:
    cheap = {"cheap": {"name": "fine_tune", "budget": 512}}
    config = made(tmp_path, methods=["freeze", cheap], evaluations=2)
    plan = StudyPlan(config)
    asked = {
        label: plan.transferred(label, plan.targets[0], 0).work for label in ("freeze", "cheap")
    }
    assert [one["budget"] for one in asked.values()] == [2048, 512]
    assert [one["points"] for one in asked.values()] == [[0, 1024, 2048], [0, 256, 512]]
    assert "budget" not in asked["cheap"]["method"]
    listed = made(tmp_path, methods=["freeze", cheap], evaluations=[100, 1000])
    assert listed.points_of("cheap") == (0, 100, 512)
    assert listed.points_of("freeze") == (0, 100, 1000, 2048)
    assert StudyConfig(**config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    "file",
    sorted(f for f in (ROOT / "studies").rglob("*.yaml") if not f.match("*.domains.yaml")),
    ids=lambda file: str(file.relative_to(ROOT / "studies")),
)
def test_the_shipped_studies_can_be_planned(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert plan_of(load_study(file)).cells


def test_planning_digests_the_task_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, digest = [], provenance.task_digest
    monkeypatch.setattr(provenance, "task_digest", lambda task: asked.append(task) or digest(task))
    plan = plan_of(made(tmp_path))
    assert len(plan.cells) > 20
    assert len(asked) == 1
