"""envs/ and policies/ stand at the top level and must arrive as sim2real.envs and .policies."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
OUTSIDE = {"envs": "sim2real/envs", "policies": "sim2real/policies"}


def tracked() -> list[str]:
    """The committed files; the tests of a copy without git are told so."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in output.split("\0") if name and os.path.lexists(ROOT / name)]


def test_packages_are_the_folders() -> None:
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for folder in ("sim2real", *OUTSIDE)
        for path in (ROOT / folder).rglob("__init__.py")
        if not any(parent.is_symlink() for parent in path.parents)
    }
    named = {name if name.startswith("sim2real") else f"sim2real.{name}" for name in folders}
    assert sorted(SETUPTOOLS["packages"]) == sorted(named)
    mapping = {"sim2real": "sim2real", **{f"sim2real.{name}": name for name in OUTSIDE}}
    assert SETUPTOOLS["package-dir"] == mapping


def test_every_folder_with_python_is_a_package() -> None:
    for name in ("sim2real", *OUTSIDE):
        for path in (ROOT / name).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), path


@pytest.mark.parametrize(("target", "link"), OUTSIDE.items())
def test_links_are_relative_and_committed(target: str, link: str) -> None:
    assert os.readlink(ROOT / link) == f"../{target}"
    assert link in tracked()


THROUGH_A_STRING = {"mujoco-menagerie", "envpool"}
"""Imported by importlib, where they are installed; envpool is for benchmarks only."""
DISTRIBUTIONS = {"pil": "pillow", "yaml": "pyyaml", "stable_baselines3": "stable-baselines3"}


def imported(*folders: str) -> set[str]:
    """The distributions that the code in these folders imports."""
    names = {
        name.partition(".")[0]
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _names(node)
    }
    others = names - set(sys.stdlib_module_names) - {"sim2real"}
    return {DISTRIBUTIONS.get(name.lower(), name.lower()) for name in others}


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [node.module or ""]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=!;]", requirement)[0].lower()


def test_the_dependencies_are_what_is_imported() -> None:
    needed = {distribution(one) for one in PROJECT["dependencies"]}
    assert needed == imported("sim2real", "envs", "policies", "scripts")


def test_no_extra_is_empty_or_unknown() -> None:
    extras = PROJECT["optional-dependencies"]
    own = {"robots", "drake", "export", "gpu", "identify", "logs", "ray", "tune"}
    assert set(extras) == {*own, "docs", "dev"}
    assert all(extras.values())
    assert {distribution(one) for one in extras["robots"]} <= THROUGH_A_STRING


def test_constraints_pin_exactly() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
    assert "torch==2.13.0" in pins


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and sdist built from the committed files, without a network."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, source / name, follow_symlinks=False)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist")]
    result = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "dist"


def data_files() -> list[str]:
    """Where the wheel must hold what is not Python: models, domains, recipes, policies."""
    kept = []
    for name in tracked():
        top = name.split("/")[0]
        if top in OUTSIDE and not name.endswith((".py", ".md")):
            kept.append(f"sim2real/{name}")
    return kept


def test_wheel_and_sdist_hold_everything(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    (sdist,) = dist.glob("*.tar.gz")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {*data_files(), "sim2real/py.typed", "sim2real/envs/__init__.py"} <= held
    assert not [name for name in held if name.startswith(("envs/", "policies/", "tests/"))]
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.removeprefix("sim2real/") for name in data_files()} <= names


USE = """
import pathlib, sim2real, sim2real.envs, sim2real.policies
print(pathlib.Path(sim2real.__file__).parent)
for name in sim2real.task_names():
    task = sim2real.load_task(name)
    task.compile()
    assert type(task).__module__ == f"sim2real.envs.{name}"
    sim2real.load_domain(name, "randomized")
from sim2real.policies.recipe import load_recipe
for algorithm in ("ppo", "sac", "td3"):
    load_recipe(algorithm, "hopper")
"""


def test_wheel_works_from_an_empty_folder(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(wheel)], check=True)
    result = subprocess.run(
        [sys.executable, "-P", "-c", USE],
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.splitlines()[0]) == target / "sim2real"
