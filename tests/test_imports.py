"""The house rules that a linter does not know: who may import whom, what is never called."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    "envs",
    "domains",
    "simulation",
    "policies",
    "evaluation",
    "runs",
    "learning",
    "identification",
    "transfer",
    "deployment",
    "studies",
    "cli",
    "benchmark",
]
FOUNDATION = {
    *("checks", "compatibility", "config", "errors", "files", "model_check", "plain", "registry"),
    *("sources", "task", "trust", "untrusted_model", "world"),
}
FILES = sorted(
    path
    for folder in ("sim2real", "envs", "policies", "scripts")
    for path in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in path.parents)
)


def dotted(path: Path) -> str:
    """The name under which a file is imported: envs/ant.py is sim2real.envs.ant."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts if parts[0] in ("sim2real", "scripts") else ("sim2real", *parts)
    return ".".join(parts).removesuffix(".__init__")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def named_in_strings(tree: ast.AST) -> Iterator[str]:
    """Modules that are named in strings, which `importlib` could import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.fullmatch(r"(sim2real(\.\w+)+)(:\w+)?", node.value)
            if found:
                yield found[1]


def room(module: str) -> str:
    """The room or foundation file a module belongs to; "" for sim2real itself and others."""
    parts = module.split(".")
    return parts[1] if parts[0] == "sim2real" and len(parts) > 1 else ""


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def test_every_file_is_seen() -> None:
    assert {dotted(path) for path in FILES} >= {"sim2real", "sim2real.cli", "sim2real.envs.hopper"}


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_nothing_imports_to_its_right(path: Path) -> None:
    here = room(dotted(path))
    code = tree(path)
    for module in (*imports(code), *named_in_strings(code)):
        there = room(module)
        if here in FOUNDATION:
            assert there not in ROOMS, f"{dotted(path)} is foundation and imports {module}"
        elif here in ROOMS and there in ROOMS:
            assert ROOMS.index(there) <= ROOMS.index(here), f"{dotted(path)} imports {module}"


def test_no_import_cycle() -> None:
    modules = {dotted(path): path for path in FILES}
    graph = {
        name: {module for module in imports(tree(path)) if module in modules and module != name}
        for name, path in modules.items()
    }
    for name in graph:  # a package is imported before what is in it: no edge of its own
        graph[name] = {module for module in graph[name] if not name.startswith(f"{module}.")}
    while leaves := {name for name, needed in graph.items() if not needed & graph.keys()}:
        graph = {name: needed for name, needed in graph.items() if name not in leaves}
    assert not graph, f"import cycle among {sorted(graph)}"


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_no_second_name_for_envs_and_policies(path: Path) -> None:
    assert not {module.split(".")[0] for module in imports(tree(path))} & {"envs", "policies"}


def calls(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is called: torch.load, eval, np.load."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_nothing_loaded_can_execute_code(path: Path) -> None:
    code = tree(path)
    pickles = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    found = {module for module in imports(code) if module.split(".")[0] in pickles}
    assert found <= {"pickle", "pickle.UnpicklingError"}  # to catch it, not to cause it
    banned = {
        "pickle.load",
        "pickle.loads",
        "eval",
        "exec",
        "torch.load",
        "th.load",
        "yaml.load",
        "yaml.unsafe_load",
    }
    banned |= {f"{name}.load" for name in ("PPO", "SAC", "TD3", "VecNormalize", "BaseAlgorithm")}
    assert not set(calls(code)) & banned
    assert "allow_pickle" not in path.read_text()


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_no_file_grows_past_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_import_is_quick_and_leaves_torch_out() -> None:
    heavy = ["torch", "stable_baselines3", "matplotlib", "tensorboard", "scipy", "pydantic"]
    code = (
        "import time; start = time.process_time()\n"
        "import sys, sim2real\n"
        "print(time.process_time() - start)\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    seconds, loaded = run(code).splitlines()
    assert float(seconds) < 1.0
    assert loaded == "[]"


def test_public_names_are_few_and_there() -> None:
    code = (
        "import sim2real, types\n"
        "assert set(sim2real.__all__) == set(sim2real._HOME) <= set(dir(sim2real))\n"
        "for name in sim2real.__all__: assert callable(getattr(sim2real, name)), name\n"
        "print(len(sim2real.__all__))"
    )
    assert int(run(code)) <= 25


def test_transfer_is_a_verb_whatever_was_imported_before() -> None:
    assert "True" in run(
        "import sim2real.transfer.api, sim2real\nprint(callable(sim2real.transfer))"
    )


def test_unknown_public_name() -> None:
    import sim2real

    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        sim2real.pretrian  # noqa: B018
