"""Every example of the README, the tutorial and the how-tos is run, with small numbers."""

from __future__ import annotations

import pkgutil
import re
import runpy
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

from sim2real import cli
from sim2real.cli.arguments import check_words
from sim2real.cli.command import pairs
from sim2real.cli.main import VERBS
from sim2real.policies.recipe import load_recipe
from sim2real.registry import task_names
from sim2real.transfer.find import load_method

ROOT = Path(__file__).resolve().parents[1]
SMALL = {  # what takes minutes in a document takes a moment here
    r"--steps \d+": "--steps 1024",
    r"--checkpoint-every \d+": "--checkpoint-every 512",
    r"--budget \d+": "--budget 512",
    r"--episodes \d+": "--episodes 2",
    r"\bsteps=[\d_]+": "steps=1024",
    r"\bbudget=[\d_]+": "budget=512",
    r"\bepisodes=\d+": "episodes=3",
    r"\blearn\([\d_]{5,}": "learn(1024",
    r"\btotal_timesteps=[\d_]+": "total_timesteps=512",
}
pytestmark = pytest.mark.usefixtures(
    "cells_in_process", "short_cartpole", "nothing_missing", "quick"
)
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    return [code for found, code in BLOCK.findall(text) if found == language]


def section(title: str) -> str:
    """The part of the README under a heading."""
    (text,) = re.findall(
        rf"^## {title}\n(.*?)(?=^## |\Z)",
        (ROOT / "README.md").read_text(),
        re.DOTALL | re.MULTILINE,
    )
    return str(text)


def small(code: str) -> str:
    for pattern, replacement in SMALL.items():
        code = re.sub(pattern, replacement, code)
    return code


def with_short_episodes(text: str) -> str:
    """The text with a task whose episodes end early for one with episodes of 1,000 steps."""
    assert "half_cheetah" in text
    assert "half_cheetah" in task_names()
    return text.replace("half_cheetah", "inverted_pendulum")


def run_commands(text: str) -> None:
    """Run the `sim2real ...` lines of a document in order."""
    for block in blocks(text, "sh"):
        for line in small(block).splitlines():
            if line.startswith("sim2real "):
                assert cli.main(shlex.split(line, comments=True)[1:]) == 0, line


def run_python(text: str) -> None:
    for block in blocks(text, "python"):
        exec(compile(small(block), "document", "exec"), {"__name__": "document"})


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is here but the demo's study, made small: its task has short episodes."""
    monkeypatch.chdir(tmp_path)
    study = yaml.safe_load((ROOT / "studies" / "demo.yaml").read_text())
    study |= {"task": "inverted_pendulum", "budget": 1024, "seeds": 1, "episodes": 2}
    study |= {"evaluations": [512], "methods": study["methods"][:2], "plain": False, "audit": False}
    study["source"] = {"steps": 1024}  # the shipped policy is of another task
    study["oracle"] = {"steps": 1024, "seeds": 1, "ways": ["scratch"]}
    identify = {"budget": 512, "simulated_steps": 1024, "evaluations": 1}
    identify |= {"family": "randomized", "rounds": 1, "episodes": 2, "verify": 2}
    study["methods"][0]["identify"] |= identify
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "demo.yaml").write_text(yaml.safe_dump(study))


def test_command_line(tmp_path: Path) -> None:
    run_commands(section("From the command line"))
    assert (tmp_path / "runs" / "demo" / "report" / "index.html").exists()


def test_python() -> None:
    run_python(section("From Python"))


def test_your_own_robot(tmp_path: Path) -> None:
    text = section("Your own robot")
    (robot,), (worlds,) = blocks(text, "python"), blocks(text, "yaml")
    assert len(robot.splitlines()) <= 16
    (tmp_path / "my_robot.py").write_text(robot)
    (tmp_path / "my_robot.yaml").write_text(worlds)
    shutil.copy(ROOT / "envs" / "cartpole.xml", tmp_path / "my_robot.xml")
    run_commands(text)


def test_tutorial() -> None:
    text = with_short_episodes((ROOT / "docs" / "tutorial.md").read_text())
    commands, python = text.split("## In Python")
    run_commands(commands)
    shutil.rmtree("runs")
    run_python(python)


def test_start() -> None:
    text = (ROOT / "docs" / "start.md").read_text()
    run_commands(text.replace("--out cart.mp4", "--seconds 0.2 --out cart.gif"))
    run_python(text)


def test_tutorial_of_a_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "tutorial-robot.md").read_text()
    new, rest = text.split("## 2.")
    run_commands(new)
    monkeypatch.chdir(tmp_path / "my_arm")
    run_commands(rest)


DOCS = ROOT / "docs"
TUTORIALS = {"start.md", "tutorial.md"}  # run in order, by tests of their own
SNIPPETS = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if page.name not in TUTORIALS and blocks(page.read_text(), "python")
]


@pytest.mark.parametrize("page", SNIPPETS, ids=lambda page: str(page.relative_to(DOCS)))
def test_page(page: Path) -> None:
    """Each page runs by itself, in an empty folder."""
    run_python(page.read_text())


def test_commands_of_the_page_on_reports() -> None:
    run_commands((DOCS / "howto" / "report.md").read_text())


def test_commands_of_the_page_on_memory() -> None:
    run_commands((DOCS / "howto" / "memory.md").read_text().replace("hopper", "cartpole"))


def test_the_long_commands_of_the_page_on_memory_have_valid_options() -> None:
    """They train for millions of steps; here they are read, and their methods made."""
    text = "".join(blocks((DOCS / "howto" / "memory.md").read_text(), "text"))
    commands = [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]
    assert [words[:2] for words in commands] == [
        ["sim2real", verb] for verb in ("pretrain", "distill", "transfer", "transfer")
    ]
    for _, verb, *words in commands:
        check_words([verb, *words], VERBS)
        read: Any = tyro.cli(VERBS[verb], args=words, config=(tyro.conf.FlagCreatePairsOff,))
        options = pairs(read.set)
        if verb == "pretrain":
            assert (
                load_recipe("ppo", "hopper", {"history": read.history, **options}).encoder == "gru"
            )
            continue
        assert load_method(getattr(read, "method", verb), options).name in ("distill", "fine_tune")
        assert load_recipe("ppo", "quadruped", options.get("recipe", {})).algorithm == "ppo"


def test_documented_modules_exist() -> None:
    """What the API reference names can be imported; `make docs` takes longer to say so."""
    names = [
        name
        for page in (DOCS / "api").glob("*.md")
        for name in re.findall(r"auto(?:module|class|function):: ([\w.]+)", page.read_text())
    ]
    assert names
    for name in names:
        pkgutil.resolve_name(name)


PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page}: {target}"


def test_commands_named_in_the_makefile_exist() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "howto" / "benchmark.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert targets >= {"demo", "test", "benchmark"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_page_of_the_robots_shows_their_reports() -> None:
    tables = runpy.run_path(str(ROOT / "scripts" / "robots.py"))["tables"]
    assert tables(ROOT / "docs/results/robots") in (ROOT / "docs/robots.md").read_text()
