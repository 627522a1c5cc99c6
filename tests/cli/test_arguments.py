"""Every verb with each option empty, misspelt and absurd: one line of error, exit code 2."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_robot import MY_ROBOT, write_exported

from sim2real import __version__, cli
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.row_files import save_rows
from sim2real.identification.record import record
from sim2real.simulation import Simulation

SMALL = ["--num-envs", "4", "--set", "n_steps=16", "batch_size=64", "n_epochs=1"]
Refused = Callable[..., str]


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Fail what is neither done nor refused after so many seconds."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"not refused within {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


NEEDED = {  # what each verb is asked beside the option that is tried; RUN, OUT, LOG are filled in
    "pretrain": ["cartpole", "--steps", "64"],
    "transfer": ["RUN", "--domain", "hard", "--budget", "64"],
    "distill": ["RUN", "--budget", "64"],
    "evaluate": ["RUN", "--episodes", "1"],
    "attribute": ["RUN", "--target", "mild", "--episodes", "3"],
    "sweep": ["RUN", "--parameter", "strength", "--episodes", "3"],
    "plan": ["ROWS", "--width", "1"],
    "decide": ["RUN", "--baseline", "RUN", "--looks", "3"],
    "identify": ["LOG", "--task", "cartpole"],
    "log info": ["LOG"],
    "log compare": ["LOG", "--task", "cartpole"],
    "log record": ["RUN", "--steps", "64", "--out", "OUT"],
    "log convert": ["LOG", "--out", "OUT"],
    "study": ["STUDY"],
    "tune": ["TUNE"],
    "resume": ["RUN"],
    "publish": ["RUN", "--episodes", "1", "--out", "OUT"],
    "export": ["RUN", "--out", "OUT"],
    "run": ["EXPORTED", "--interface", "ROBOT", "--seconds", "0.1"],
    "robot": ["cartpole", "--seconds", "0.1", "--port", "0"],
    "view": ["RUN", "--seconds", "0.1"],
    "audit": ["cartpole"],
    "check": ["cartpole"],
    "new": ["my_robot", "--out", "OUT"],
    "list": [],
    "doctor": [],
}


def needed(verb: str) -> list[str]:
    """The words that a verb needs; of one that is not in the table, a run or a task."""
    if verb in NEEDED:
        return list(NEEDED[verb])
    fields = dataclasses.fields(cli.VERBS[verb])
    kinds = [str(field.type) for field in fields if "Positional" in str(field.type)]
    return ["RUN" if "Path" in kind else "cartpole" for kind in kinds]


HUGE = str(10**30)
ABSURD: dict[str, list[list[str]]] = {  # kind of value, or a name where all of its kind is allowed
    "bool": [["3"]],
    "int": [["-1"], [HUGE], ["abc"], ["1.5"], ["1e6"], ["nan"], ["1", "2"]],
    "float": [["-1"], ["nan"], ["inf"], ["1e300"], ["abc"]],
    "tuple[int, int]": [["3"], ["3", "x"], ["0", "0"], ["-5", "64"], [HUGE, "64"], ["1", "2", "3"]],
    "Path": [["a\0b"], ["x" * 300], ["/proc/nothing/here"]],
    "tuple[Path, ...]": [["a\0b"], ["x" * 300], ["/proc/nothing/here"]],
    "tuple[int, ...]": [["-1"], [HUGE], ["abc"], ["1.5"]],
    "tuple[float, ...]": [["nan"], ["1", "inf"], ["abc"]],
    "str": [["no_such_thing"], ["x" * 300], ["a\0b.yaml:x"], ["~nobody_at_all/my.yaml:x"]],
    "tuple[str, ...]": [["no_such_thing"], ["a\0b.yaml:x"]],
    "Pairs": [["x"], ["=1"], ["no_such_thing=1"], ["x=["], ["x=" + "[" * 3000], ["x=!!int a"]],
}
SHOWING = (
    "evaluate",
    "failures",
    "attribute",
    "sweep",
    "influence",
    "decide",
    "audit",
    "identify",
    "log compare",
)
SHOWN_ONLY = [(verb, "out", ["/proc/nothing/here"]) for verb in SHOWING]
"""Where nothing can be written these show their result; see test_cli.py."""
ALLOWED = [
    ("new", "name", ["no_such_thing"]),
    ("failures", "below", ["-1"]),
    ("failures", "below", ["1e300"]),
    ("sweep", "threshold", ["-1"]),
    ("sweep", "threshold", ["1e300"]),
]
"""A name of the user's choice, and any finite return."""


def options() -> list[tuple[str, str, str]]:
    """(verb, option, kind) of every option and positional word."""
    found = []
    for verb, command in cli.VERBS.items():
        for field in dataclasses.fields(command):
            kind = str(field.type).removesuffix(" | None").removesuffix("]")
            kind = kind.removeprefix("Positional[").removesuffix(" | None")
            kind = f"{kind.rstrip(']')}]" if "[" in kind else kind
            found.append((verb, field.name, kind))
    return found


OPTIONS = options()


def test_every_option_has_a_kind_that_is_tried() -> None:
    assert {kind for _, _, kind in OPTIONS} == set(ABSURD)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("arguments") / "run"
    assert cli.main(["pretrain", "cartpole", "--steps", "64", "--out", str(path), *SMALL]) == 0
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "log.safetensors"
    actions = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    record(Simulation("cartpole", None, 1, seed=0), actions, 200).save(path)
    return path


@pytest.fixture
def refused(
    run: Path,
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Refused:
    """Run words that must be refused before anything is written; return the line of error."""
    monkeypatch.chdir(tmp_path)
    study = tmp_path / "study.yaml"
    study.write_text("{task: cartpole, source: {steps: 64}, targets: [hard], methods: [freeze], ")
    with study.open("a") as file:
        file.write(f"budget: 64, oracle: {{steps: 64}}, out: {tmp_path / 'study'}}}")
    search = tmp_path / "search.yaml"
    search.write_text("{task: cartpole, domain: hard, steps: 64, trials: 1, ")
    with search.open("a") as file:
        file.write(f"space: {{gamma: {{uniform: [0.9, 0.99]}}}}, out: {tmp_path / 'search'}}}")
    exported = write_exported(tmp_path / "exported")
    (tmp_path / "my_robot.py").write_text(MY_ROBOT)
    places = {"RUN": str(run), "OUT": str(tmp_path / "out"), "STUDY": str(study), "LOG": str(log)}
    places |= {"EXPORTED": str(exported), "ROBOT": str(tmp_path / "my_robot.py")}
    places |= {"TUNE": str(search), "ROWS": str(tmp_path / "rows.jsonl")}
    numbers = range(3)
    rows = [Row("nominal", 0, n, float(n), 9, False, True, False, {}, {}) for n in numbers]
    save_rows(places["ROWS"], rows)

    def call(*words: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        with limited(15.0):
            code = cli.main([places.get(word, word) for word in words])
        captured = capsys.readouterr()
        assert code == 2, captured
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        assert line.startswith("error: ")
        assert len(line) < 2000
        assert sorted(tmp_path.rglob("*")) == before
        return line

    return call


def with_option(verb: str, name: str, values: list[str]) -> list[str]:
    """The words of a verb with one of its options, or its positional word, given `values`."""
    flag = f"--{name.replace('_', '-')}"
    words = needed(verb)
    if _is_positional(verb, name):
        return [verb, *values, *words[1:]]
    if flag in words:
        place = words.index(flag)
        del words[place : place + 2]
    return [verb, *words, flag, *values]


def _is_positional(verb: str, name: str) -> bool:
    return any(
        field.name == name and "Positional" in str(field.type)
        for field in dataclasses.fields(cli.VERBS[verb])
    )


@pytest.mark.parametrize(("verb", "name", "kind"), OPTIONS, ids=lambda part: str(part))
def test_empty(verb: str, name: str, kind: str, refused: Refused) -> None:
    if kind == "bool":
        pytest.skip("takes no value")
    line = refused(*with_option(verb, name, [""] * (2 if "int, int" in kind else 1)))
    assert "is empty" in line
    if not _is_positional(verb, name):
        assert "needs" in refused(*with_option(verb, name, []))


@pytest.mark.parametrize(("verb", "name", "kind"), OPTIONS, ids=lambda part: str(part))
def test_misspelt(verb: str, name: str, kind: str, refused: Refused) -> None:
    if _is_positional(verb, name):
        pytest.skip("has no name to misspell")
    flag = f"--{name.replace('_', '-')}"
    line = refused(verb, *needed(verb), f"{flag}x", "1")
    assert f"did you mean '{flag}'?" in line
    assert f"see `sim2real {verb} --help`" in line


def _absurd() -> list[Any]:
    """All pairs of an option and a bad value of its kind; every second one is fast."""
    cases = []
    for i, (verb, name, kind) in enumerate(OPTIONS):
        for j, values in enumerate(ABSURD[kind]):
            if (verb, name, values) in SHOWN_ONLY + ALLOWED:
                continue
            label = " ".join(values)[:20].replace("\0", "0")
            marks = [pytest.mark.slow] if (i + j) % 2 else []
            case = pytest.param(verb, name, values, id=f"{verb} {name} {label}", marks=marks)
            cases.append(case)
    return cases


@pytest.mark.parametrize(("verb", "name", "values"), _absurd())
def test_absurd(verb: str, name: str, values: list[str], refused: Refused) -> None:
    refused(*with_option(verb, name, values))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a verb is missing; allowed: pretrain, "),
        (["pretrian"], "unknown verb 'pretrian'; did you mean 'pretrain'?"),
        (["--verison"], "unknown option '--verison'; did you mean '--version'?"),
        (["pretrain"], "TASK is missing; see `sim2real pretrain --help`"),
        (["transfer", "RUN"], "--domain is missing; see `sim2real transfer --help`"),
        (["pretrain", "hopper", "--steps", "abc"], "--steps is 'abc'; allowed: a whole number"),
        (["pretrain", "hopper", "--steps", "1e6"], "did you mean 1000000? allowed: a whole"),
        (["evaluate", "RUN", "--domains"], "--domains needs at least one value, got none"),
        (["evaluate", "RUN", "--domains", "--json"], "--domains needs at least one value"),
        (["list", "hopper", "ant"], "unexpected 'ant'"),
        (["log", "record", "RUN", "--out", "OUT", "--steps", "1000001"], "allowed: 1 to 1,000,000"),
        (["study", "STUDY", "--workers", "1_000"], "workers is 1000; allowed: 1 to "),
        (["study", "stdy.yaml"], "stdy.yaml does not exist; did you mean 'study.yaml'?"),
        (["evaluate", "\x1b[31mred"], r"\x1b[31mred does not exist"),
    ],
)
def test_slips(words: list[str], message: str, refused: Refused) -> None:
    assert message in refused(*words)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("exits.py", "import sys\nsys.exit(3)\n", "exits.py, line 2: SystemExit: 3"),
        ("zero.py", "x = '\0'\n", "zero.py: not valid Python: source code string cannot contain"),
        ("loop.py", None, "is no path of a file: Symlink loop from"),
    ],
)
def test_files_of_code_that_did_harm(
    name: str, text: str | None, message: str, refused: Refused, tmp_path: Path
) -> None:
    if text is None:
        (tmp_path / name).symlink_to(name)
    else:
        (tmp_path / name).write_text(text)
    for words in (["list", name], ["check", name], ["transfer", "RUN", "--domain", "hard"]):
        method = ["--method", name] if words[0] == "transfer" else []
        assert message in refused(*words, *method)


def test_a_home_folder_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell leaves the `~` of `--out=~/mine` as it is."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "my_robot", "--out=~/mine"]) == 0
    assert (tmp_path / "home" / "mine" / "my_robot.py").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sim2real {__version__}\n"


def test_a_negative_number_is_a_value(refused: Refused) -> None:
    assert "-1" in refused("pretrain", "hopper", "--seed", "-1")
