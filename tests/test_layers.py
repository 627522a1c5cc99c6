"""The house rules that a linter does not know: who may import whom, what is never called."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

import sim2real
from sim2real.identification.log import Log

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
    *(
        "checks",
        "compatibility",
        "config",
        "errors",
        "extras",
        "files",
        "image",
        "mirror",
        "model_check",
        "plain",
        "registration",
        "registry",
        "torch_settings",
    ),
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
    names = {dotted(path) for path in FILES}
    assert names >= {"sim2real", "sim2real.cli", "sim2real.envs.hopper"}
    assert {room(name) for name in names} <= {*ROOMS, *FOUNDATION, ""}


def to_the_right(path: Path) -> Iterator[str]:
    """The modules a file imports, or names in a string, that stand to its right."""
    here, code = room(dotted(path)), tree(path)
    for module in (*imports(code), *named_in_strings(code)):
        there = room(module)
        known = there in ROOMS and (here in FOUNDATION or here in ROOMS)
        if known and (here in FOUNDATION or ROOMS.index(there) > ROOMS.index(here)):
            yield module


def offenders(rule: Callable[[Path], Iterable[str]]) -> dict[str, list[str]]:
    """What each file does against a rule; files that do nothing against it are left out."""
    found = {dotted(path): sorted(set(rule(path))) for path in FILES}
    return {name: problems for name, problems in found.items() if problems}


def test_nothing_imports_to_its_right() -> None:
    assert not offenders(to_the_right)


def test_no_import_cycle() -> None:
    modules = {dotted(path): path for path in FILES}
    graph = {
        name: {
            module
            for module in (*imports(tree(path)), *named_in_strings(tree(path)))
            if module in modules and module != name
        }
        for name, path in modules.items()
        if name != "sim2real"  # it names what it makes public
    }
    for name in graph:  # a package is imported before what is in it: no edge of its own
        graph[name] = {module for module in graph[name] if not name.startswith(f"{module}.")}
    while leaves := {name for name, needed in graph.items() if not needed & graph.keys()}:
        graph = {name: needed for name, needed in graph.items() if name not in leaves}
    assert not graph, f"import cycle among {sorted(graph)}"


def second_names(path: Path) -> Iterator[str]:
    return (name for name in imports(tree(path)) if name.split(".")[0] in {"envs", "policies"})


def test_no_second_name_for_envs_and_policies() -> None:
    assert not offenders(second_names)


PICKLES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BANNED = {
    *("pickle.load", "pickle.loads", "eval", "exec", "torch.load", "th.load"),
    *("yaml.load", "yaml.unsafe_load"),
    *(f"{name}.load" for name in ("PPO", "SAC", "TD3", "VecNormalize", "BaseAlgorithm")),
}


def unsafe(path: Path) -> Iterator[str]:
    """Imports, calls and words of a file that could execute code out of a file it reads."""
    pickles = {module for module in imports(tree(path)) if module.split(".")[0] in PICKLES}
    yield from pickles - {"pickle", "pickle.UnpicklingError"}  # to catch it, not to cause it
    yield from BANNED & set(calls(tree(path)))
    yield from {"allow_pickle"} & set(re.findall(r"\w+", path.read_text()))


def calls(tree: ast.AST) -> Iterator[str]:
    """Dotted names of what is called: torch.load, eval, np.load."""
    return (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_nothing_loaded_can_execute_code() -> None:
    assert not offenders(unsafe)


def long(path: Path) -> Iterator[str]:
    lines = len(path.read_text().splitlines())
    return iter([f"{lines} lines"] if lines > 400 else [])


def test_no_file_grows_past_400_lines() -> None:
    assert not offenders(long)


@pytest.mark.parametrize(
    ("rule", "place", "code", "found"),
    [
        (to_the_right, "sim2real/runs/a.py", "import sim2real.cli.main", "sim2real.cli.main"),
        (to_the_right, "sim2real/errors.py", "from sim2real import envs", "sim2real.envs"),
        (to_the_right, "envs/a.py", "x = 'sim2real.runs.run:Run'", "sim2real.runs.run"),
        (second_names, "sim2real/runs/a.py", "from envs.ant import Ant", "envs.ant"),
        (unsafe, "sim2real/runs/a.py", "import torch\ntorch.load(1)", "torch.load"),
        (unsafe, "sim2real/runs/a.py", "from dill import loads", "dill.loads"),
        (unsafe, "sim2real/runs/a.py", "np.load(f, allow_pickle=True)", "allow_pickle"),
        (long, "sim2real/runs/a.py", "1\n" * 401, "401 lines"),
    ],
)
def test_each_rule_finds_an_offender(
    rule: Callable[[Path], Iterable[str]],
    place: str,
    code: str,
    found: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(parents=True)
    path.write_text(code)
    assert found in list(rule(path))


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


def test_the_names_of_algorithms_and_methods_are_listed_without_torch() -> None:
    code = (
        "import sys; from sim2real.cli.information import kinds\n"
        "print(kinds()['algorithms'], 'torch' in sys.modules)"
    )
    assert run(code) == "['ppo', 'sac', 'td3'] False\n"


def test_a_log_is_described_without_torch(tmp_path: Path) -> None:
    path = tmp_path / "log.safetensors"
    times = np.arange(3) * 0.02
    readings = {"angle": np.zeros((3, 1))}
    Log(times, np.zeros((3, 1)), ("motor",), readings, control_dt=0.02).save(path)
    code = (
        "import sys; from sim2real import cli\n"
        f"code = cli.main(['log', 'info', {str(path)!r}])\n"
        "print(code, [name for name in ('torch', 'scipy') if name in sys.modules])"
    )
    assert run(code).splitlines()[-1] == "0 []"


def test_public_names_are_few_and_there() -> None:
    assert set(sim2real.__all__) == set(sim2real._HOME) <= set(dir(sim2real))
    assert all(callable(getattr(sim2real, name)) for name in sim2real.__all__)
    assert len(sim2real.__all__) <= 26


def test_transfer_is_a_verb_whatever_was_imported_before() -> None:
    importlib.import_module("sim2real.transfer.api")
    assert callable(sim2real.transfer)


def test_unknown_public_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'pretrian'"):
        sim2real.pretrian  # noqa: B018
