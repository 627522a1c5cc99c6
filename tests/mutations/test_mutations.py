"""Damaged and absurd files of every kind end in one line of error, or they do what they say.

Each case is a file that is changed by a seeded mutator; none may end in an exception other than
UserError, hand out a number that is not finite, take more than a few seconds, or give a policy that
acts differently without a word. The short form runs always, the long one in the slow suite.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim2real.domains import Domain, load_domains
from sim2real.domains.entries.kinds import Disturbance
from sim2real.errors import UserError
from sim2real.files import read_yaml
from sim2real.learning.pretrain import pretrain
from sim2real.simulation import Simulation
from sim2real.studies.config import load_study
from sim2real.transfer.resume import resume
from tests.mutations import cases
from tests.mutations.cases import Outcome, outcome_of

GOOD = ("fine", "refused")
OPTIONS = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
Case = Callable[[np.random.Generator, Path], Outcome]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mutations") / "run"
    pretrain("cartpole", steps=256, num_envs=4, options=OPTIONS, out=path, progress=False)
    return path


@pytest.fixture(scope="module")
def expected(run: Path) -> Any:
    return cases.acts(run)


def domain_file(rng: np.random.Generator, folder: Path) -> Outcome:
    file = folder / "domains.yaml"
    task = cases.write_mutated_domains(file, rng)
    return outcome_of(lambda: cases.try_domain_file(task, file))


def extreme_domain(rng: np.random.Generator, folder: Path) -> Outcome:
    task = cases.DOMAIN_TASKS[int(rng.integers(len(cases.DOMAIN_TASKS)))]
    return outcome_of(lambda: cases.try_extreme_domain(task, rng))


def study_file(rng: np.random.Generator, folder: Path) -> Outcome:
    file = folder / "study.yaml"
    cases.write_mutated_study(file, rng)
    return outcome_of(lambda: cases.try_study(file))


def own_model(rng: np.random.Generator, folder: Path) -> Outcome:
    task = cases.write_mutated_model(folder / "robot", rng)
    return outcome_of(lambda: cases.try_model(task), limit_s=30.0)


KINDS: dict[str, tuple[Case, int, int]] = {  # the case, how many in short and in long
    "domain file": (domain_file, 20, 2600),
    "extreme domain": (extreme_domain, 20, 1500),
    "study file": (study_file, 8, 750),
    "own model": (own_model, 15, 190),
}


def bad_ones(kind: str, first: int, count: int, folder: Path) -> list[tuple[int, Outcome]]:
    case = KINDS[kind][0]
    found = ((seed, case(np.random.default_rng(seed), folder)) for seed in range(first, count))
    return [(seed, outcome) for seed, outcome in found if outcome.verdict not in GOOD]


@pytest.mark.parametrize("kind", KINDS)
def test_some(kind: str, tmp_path: Path) -> None:
    assert bad_ones(kind, 0, KINDS[kind][1], tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many(kind: str, tmp_path: Path) -> None:
    assert bad_ones(kind, KINDS[kind][1], KINDS[kind][2], tmp_path) == []


def bad_runs(
    run: Path, expected: Any, first: int, last: int, folder: Path
) -> list[tuple[int, str, Outcome]]:
    bad = []
    for seed in range(first, last):
        copy = folder / "run"
        edited = cases.write_mutated_run(run, copy, np.random.default_rng(seed))
        outcome = outcome_of(lambda copy=copy: cases.try_run(copy, expected))
        shutil.rmtree(copy)
        if outcome.verdict not in GOOD:
            bad.append((seed, edited, outcome))
    return bad


def test_some_runs(run: Path, expected: Any, tmp_path: Path) -> None:
    assert bad_runs(run, expected, 0, 20, tmp_path) == []


@pytest.mark.slow
def test_many_runs(run: Path, expected: Any, tmp_path: Path) -> None:
    assert bad_runs(run, expected, 20, 430, tmp_path) == []


# -- the smallest inputs that were seen to do harm ----------------------------------------------


ALIASES = "&a [x,x,x,x,x,x,x,x,x,x]"
ENTRY = "windy:\n  dynamics:\n    - {}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2024-13-45", "expected domains by name, got '2024-13-45'"),
        ("0x_", "line 1, column 1: '0x_' is no int"),
        ("!!int 'a'", "line 1, column 1: 'a' is no int"),
        ("!!timestamp 'a'", "could not determine a constructor for the tag"),
        ("[" * 3000, "nested deeper than 50 levels"),
        (str(2**64), "expected domains by name, got 18446744073709551616"),
        ("9" * 5000, "is no int"),
        ("~", "expected domains by name, got None"),
        ("windy: 2024-13-45", "windy: expected keys and values, got '2024-13-45'"),
        ("windy: {extends: '~nouser/x.yaml:y'}", "'~nouser/x.yaml' is no path of a file"),
        ('windy: {extends: "a\\0b.yaml:y"}', "is no path of a file: embedded null byte"),
        ("windy: {model: '~nouser/x'}", "'~nouser/x' is no path of a file"),
        ("windy: {int: 5}", "int: unknown key 'int'"),
        ("windy: {'x[': 5}", "unknown key 'x['"),
        (
            ENTRY.format("{field: body_mass, scale: &a {within: [*a, *a]}}"),
            "nested deeper than 50 levels",
        ),
        (ENTRY.format(f"{{field: body_mass, scale: {2**70}}}"), "1.18059e+21 is absurd"),
        (ENTRY.format(f"{{field: body_mass, scale: {10**400}}}"), "got a huge number"),
        (
            ENTRY.format("{field: body_mass, scale: {uniform: [-1.0e+308, 1.0e+308]}}"),
            "-1e+308 is absurd",
        ),
        (
            ENTRY.format("{field: body_mass, scale: {log_uniform: [1.0e-300, 1.0e+300]}}"),
            "1e-300 is absurd",
        ),
        (ENTRY.format("{field: link_length, scale: 1.0e+160}"), "1e+160 is absurd"),
    ],
)
def test_domain_files_that_did_harm(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_domains(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_depths_of_nearly_nothing() -> None:
    """A quantile may be far smaller than the numbers that a distribution is given by."""
    bumps: Any = {"bumps": {"beta": [2.0, 1e6, 0.0, 1e-16]}}
    assert cases.act_in(Simulation("half_cheetah", Domain(disturbances=[bumps]), 2)) == "fine"


def test_a_shape_of_nothing() -> None:
    with pytest.raises(ValueError, match="wavelength"):
        Disturbance(bumps=0.1, wavelength=5e-324)


def test_aliases_that_multiply(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    lines = [f"a: {ALIASES}"]
    lines += [
        f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]" for a, b in zip("abcdef", "bcdefg", strict=True)
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(UserError, match="over 100,000 values") as caught:
        read_yaml(file)
    assert len(str(caught.value)) < 300


STUDY = {
    "task": "cartpole",
    "source": {"steps": 64},
    "targets": ["hard"],
    "methods": ["freeze"],
    "budget": 64,
    "oracle": {"steps": 64},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": 10**9},
        {"evaluations": 10**9},
        {"episodes": 10**9},
        {"budget": 10**30},
        {"source": {"steps": 64, "options": {"num_envs": 10**9}}},
        {"source": {"steps": 64, "options": {"net_arch": [10**9]}}},
        {"task": ".x:y"},
        {"task": "a\0b.py"},
        {"task_options": {"reference": 1}},
        {"task_options": {"self": 1}},
        {"methods": [".x:y"]},
        {"out": "~nouser_of_that_name/x"},
    ],
    ids=str,
)
def test_studies_that_did_harm(changes: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(STUDY | changes))
    outcome = outcome_of(lambda: cases.try_study(file))
    assert outcome.verdict == "refused", outcome
    file.write_text(yaml.safe_dump(STUDY))
    load_study(file)


def without(*path: str) -> Callable[[Any], Any]:
    def remove(data: Any) -> Any:
        place = data
        for name in path[:-1]:
            place = place[name]
        del place[path[-1]]
        return data

    return remove


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("task.json", lambda data: {}),
        ("task.json", lambda data: []),
        ("task.json", without("action_space", "high")),
        ("task.json", lambda data: data | {"observation_terms": [5]}),
        ("task.json", lambda data: data | {"control_dt": 10**400}),
        ("checkpoint/manifest.json", lambda data: data | {"files": []}),
        ("checkpoint/manifest.json", lambda data: []),
        ("checkpoint/state.json", without("spaces")),
        ("config.yaml", lambda data: data | {"frozen": [float("nan")]}),
        ("config.yaml", lambda data: data | {"num_envs": 10**9}),
        ("config.yaml", lambda data: data | {"task": ".x:y"}),
        ("versions.json", lambda data: []),
    ],
)
def test_runs_that_did_harm(
    name: str, change: Callable[[Any], Any], run: Path, expected: Any, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "manifest.json").unlink(missing_ok=True)  # as of a version that kept no hashes of these
    (*_, checkpoint) = sorted((copy / "checkpoints").iterdir())
    for older in sorted((copy / "checkpoints").iterdir())[:-1]:
        shutil.rmtree(older)
    file = checkpoint / name.partition("/")[2] if "/" in name else copy / name
    if file.suffix == ".json":
        file.write_text(json.dumps(change(json.loads(file.read_text()))))
    else:
        file.write_text(yaml.safe_dump(change(yaml.safe_load(file.read_text()))))
    if file.name == "state.json":
        cases.sign(checkpoint, file)
    outcome = outcome_of(lambda: cases.try_run(copy, expected))
    allowed = GOOD if name == "versions.json" else ("refused",)
    assert outcome.verdict in allowed, outcome


def five(key: str) -> Callable[[Any], Any]:
    return lambda data: data | {key: 5}


STATE = ("spaces", "counters", "episodes", "optimizers", "generators")


@pytest.mark.parametrize(
    "change", [*map(without, STATE), *map(five, STATE), without("worlds")], ids=lambda _: ""
)
def test_a_damaged_training_state_is_refused(
    change: Callable[[Any], Any], run: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    checkpoint = sorted((copy / "checkpoints").iterdir())[-1]
    state = checkpoint / "state.json"
    state.write_text(json.dumps(change(json.loads(state.read_text()))))
    cases.sign(checkpoint, state)
    with pytest.raises(UserError, match=r"state\.json|training state|checkpoint") as caught:
        resume(copy, progress=False)
    assert "\n" not in str(caught.value)
