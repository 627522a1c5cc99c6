"""Code of others is imported only when the user names it, or has made or accepted it before."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sim2real import cli, trust
from sim2real.learning.pretrain import pretrain
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.runs.seal import seal
from sim2real.sources import find_source
from sim2real.transfer.api import transfer

SLIDER = Path(__file__).parent / "robots" / "slider.py"
SMALL: dict[str, Any] = {"num_envs": 4, "progress": False}
MARK = "sim2real_test_evil"
EVIL = f"import sys\nsys.{MARK} = True\n"
VERBS = {
    "evaluate": "evaluate {run} --domains nominal --episodes 1",
    "view": "view {run} --out film.gif --seconds 0.1 --size 32 32",
    "publish": "publish {run} --out published --domains nominal --episodes 1",
    "export": "export {run} --out exported",
    "transfer": "transfer {run} --domain nominal --method fine_tune --budget 64 --out moved",
    "distill": "distill {run} --domain nominal --budget 64 --out student",
    "resume": "resume {run}",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained run and one transferred from it."""
    folder = tmp_path_factory.mktemp("trust")
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [4]}
    run = pretrain("cartpole", "nominal", steps=64, options=options, out=folder / "run", **SMALL)
    recipe = {"recipe": {"n_steps": 8, "batch_size": 16}}
    transfer(
        run, "hard", budget=64, options=recipe, out=folder / "moved", **SMALL, method="fine_tune"
    )
    return folder


@pytest.fixture
def away(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with copies of the runs and evil code, where a user works that trusts nothing."""
    shutil.copytree(runs, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.syspath_prepend(str(tmp_path / "work"))
    for name in ("evil", "evilm"):
        (tmp_path / "work" / f"{name}.py").write_text(EVIL)
    return tmp_path / "work"


_seen: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note every import and every execution of code whose name has "evil" in it."""
    if event == "import" and "evil" in str(arguments[0]):
        _seen.append(f"import {arguments[0]}")
    if event == "exec" and "evil" in str(getattr(arguments[0], "co_filename", "")):
        _seen.append(f"exec {arguments[0].co_filename}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def watched() -> Iterator[list[str]]:
    _seen.clear()
    yield _seen
    if hasattr(sys, MARK):
        delattr(sys, MARK)


def edit(run: Path, old: str, new: str) -> None:
    text = (run / "config.yaml").read_text()
    assert old in text
    (run / "config.yaml").write_text(text.replace(old, new))
    seal(run)


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line of error."""
    capsys.readouterr()
    assert cli.main(words.split()) == 2
    errors = capsys.readouterr().err.splitlines()
    assert [line for line in errors if "Traceback" in line] == []
    return errors[-1]


REFERENCES: dict[str, Callable[[Path], str]] = {
    "relative": lambda folder: "evil.py",
    "absolute": lambda folder: str(folder / "evil.py"),
    "class of a file": lambda folder: "evil.py:X",
    "module": lambda folder: "evil",
    "class of a module": lambda folder: "evil:X",
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", REFERENCES)
def test_a_run_does_not_import_its_task(
    verb: str, kind: str, away: Path, watched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(away / "run", "task: cartpole", f"task: {REFERENCES[kind](away)}")
    error = refused(VERBS[verb].format(run="run"), capsys)
    assert f"{away}/evil.py (SHA-256 {find_source('evil.py').digest})" in error  # type: ignore[union-attr]
    assert "--trust-code" in error
    assert watched == []
    assert not hasattr(sys, MARK)


@pytest.mark.parametrize("name", ["evilm.py", "evilm:X", "evilm.py:X", "evilm"])
def test_resume_does_not_import_the_method_of_a_run(
    name: str, away: Path, watched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(away / "moved", "name: fine_tune", f"name: {name}")
    error = refused("resume moved", capsys)
    assert "evilm.py (SHA-256" in error
    assert watched == []


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("task: evil.py", "must define one"),
        ("task: evil:X", "unknown task class"),
        ("methods: [evil.py]", "must define one"),
    ],
)
def test_a_study_file_does_not_import_its_code(
    what: str, problem: str, away: Path, watched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    base = {"task": "cartpole", "methods": "[fine_tune]", "targets": "[hard]", "budget": "64"}
    key, _, value = what.partition(": ")
    lines = [f"{name}: {given}" for name, given in {**base, key: value}.items()]
    lines += ["source: {steps: 64}", "oracle: {steps: 64}"]
    (away / "mine.yaml").write_text("\n".join(lines))
    assert "evil.py (SHA-256" in refused("study mine.yaml", capsys)
    assert watched == []
    cli_error = refused("study mine.yaml --trust-code", capsys)
    assert problem in cli_error
    assert watched != []


def test_code_is_imported_once_it_is_named_or_accepted(
    away: Path, watched: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    edit(away / "run", "task: cartpole", "task: evil.py")
    source = load_task("cartpole").file
    (away / "evil.py").write_text(source.read_text() + EVIL)
    shutil.copyfile(source.with_suffix(".xml"), away / "evil.xml")
    command = "evaluate run --domains nominal --episodes 1"
    assert cli.main(f"{command} --task cartpole".split()) == 0
    assert watched == []
    assert cli.main(f"{command} --task evil.py".split()) == 0
    assert watched != []
    assert "SHA-256" in refused(command, capsys)  # what was named once is not accepted for ever
    assert cli.main(f"{command} --trust-code".split()) == 0
    assert f"accepted the code {away}/evil.py (SHA-256" in capsys.readouterr().err
    assert cli.main(command.split()) == 0
    (away / "evil.py").write_text(source.read_text() + EVIL + "\n")
    assert "SHA-256" in refused(command, capsys)


def test_a_run_of_ones_own_is_trusted(away: Path, watched: list[str]) -> None:
    for suffix in (".py", ".xml", ".yaml"):
        shutil.copyfile(SLIDER.with_suffix(suffix), away / f"evil{suffix}")
    options = {"n_steps": 16, "batch_size": 64, "n_epochs": 1}
    run = pretrain("evil.py", "nominal", steps=64, options=options, out=away / "own", **SMALL)
    assert load_run(run.path).task.name == "evil"
    assert trust.is_trusted(find_source("evil.py"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "link", ["config.yaml", "task.json", "report", "checkpoints", "checkpoints/x", "versions.json"]
)
def test_links_out_of_a_run_are_not_followed(
    link: str, away: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = away.parent / "outside"
    place = away / "run" / link
    if place.exists():
        shutil.move(place, outside)
    else:
        outside.mkdir()
    place.symlink_to(outside)
    for verb in VERBS.values():
        error = refused(verb.format(run="run"), capsys)
        assert f"run/{link} is a symbolic link out of run" in error
    assert not (outside / "evaluation.json").exists()


def test_a_link_within_a_run_is_followed(away: Path) -> None:
    (away / "run" / "config.yaml").rename(away / "run" / "asked.yaml")
    (away / "run" / "config.yaml").symlink_to("asked.yaml")
    assert load_run("run").config.task == "cartpole"


def test_a_list_that_cannot_be_written_is_reported(
    away: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="will need --trust-code"):
        trust.accept(find_source("evil.py"))  # type: ignore[arg-type]
