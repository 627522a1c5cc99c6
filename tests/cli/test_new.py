"""`sim2real new`: the skeleton is checked, trains, and is written whole or not at all."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sim2real import cli
from sim2real.cli.arguments import check_words

SMALL = {
    r"--steps \d+": "--steps 2048",
    r"--budget \d+": "--budget 1024",
    r"--episodes \d+": "--episodes 2",
    r"--out my_arm.mp4": "--seconds 0.2 --out my_arm.gif",
}


CHECK = {"check"}


@pytest.mark.parametrize(  # test_readme.py trains the same robot as the tutorial does
    "verbs",
    [CHECK, pytest.param({*cli.VERBS} - {"study"}, marks=pytest.mark.slow)],  # a study: minutes
    ids=["check", "all"],
)
def test_the_commands_of_its_readme(
    verbs: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "my_arm"]) == 0
    monkeypatch.chdir(tmp_path / "my_arm")
    text = Path("README.md").read_text()
    for pattern, small in SMALL.items():
        text = re.sub(pattern, small, text)
    lines = [line for line in text.splitlines() if line.startswith("sim2real ")]
    assert len(lines) == 8
    for line in lines:
        words = shlex.split(line, comments=True)[1:]
        check_words(words, cli.VERBS)
        if words[0] in verbs:
            assert cli.main(words) == 0, line


ROBOT = ("leg", [], "Task", 15)
METHOD = ("nudge", ["--method"], "Method", 1)
KIND = ("sticky", ["--kind"], "Remembering", 2)
INTERFACE = ("walker", ["--interface"], "", 3)


@pytest.mark.parametrize(
    "made",
    [[ROBOT, KIND, INTERFACE], pytest.param([METHOD], marks=pytest.mark.slow)],
    ids=["fast", "method"],
)
def test_its_own_tests_pass(made: list[tuple[str, list[str], str, int]], tmp_path: Path) -> None:
    for name, flags, base, _ in made:
        folder = tmp_path / name
        assert cli.main(["new", name, *flags, "--out", str(folder)]) == 0
        assert (
            f"class {name.title()}{f'({base})' if base else ''}:"
            in (folder / f"{name}.py").read_text()
        )
        assert not [path for path in folder.iterdir() if "my_" in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert f"{sum(passed for *_, passed in made)} passed" in done.stdout


@pytest.mark.parametrize("name", ["My_robot", "2legs", "class", "a-b", "x" * 41, "a/b"])
def test_names_that_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", name]) == 2
    assert "allowed: a lower case letter" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_kind_is_used_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["new", "sticky", "--kind"]) == 0
    assert cli.main(["check", "sticky/sticky.yaml", "--task", "hopper", "--trust-code"]) == 0
    assert cli.main(["new", "both", "--kind", "--method"]) == 2


def test_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "arm").mkdir()
    assert cli.main(["new", "arm"]) == 2
    assert "arm exists already" in capsys.readouterr().err
    assert not list((tmp_path / "arm").iterdir())
