"""The content that a result depends on: task, model, domain, code, versions. Its digest names it.

A result is used again only where all of this is the same; where it is not, `differences` lists
what has changed.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sim2real.domains import Domain, prepare
from sim2real.domains.digest import model_digest
from sim2real.task import Task

PACKAGE = "sim2real"
ROOT = Path(__file__).resolve().parents[1]
VERSIONS = (PACKAGE, "mujoco", "numpy", "torch", "stable-baselines3")
"""Packages that can change what a seed leads to."""

Content = dict[str, Any]


class Contents:
    """The contents that results of one task depend on, each digest computed once.

    Code that changes later is not seen: make it anew for each look at the results.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._digest_of_task = functools.cache(lambda: task_digest(task))
        self._digest_of_code = functools.cache(code_digest)

    def of(self, domain: Domain, code: Iterable[str | type] = (), **details: Any) -> Content:
        """The content of one result, see `content`."""
        plain = domain.model_dump(mode="json", exclude={"name", "about", "model"})
        found = {
            "task": self._digest_of_task(),
            "domain": domain.digested(plain),
            "versions": {name: version_of(name) or "none" for name in VERSIONS},
            "code": self._digest_of_code(*map(_file_of, code)),
            "details": details,
        }
        if domain.model is not None:  # its content counts, too, not its place
            found["model"] = model_digest(prepare(self._task, domain))
        if domain.engine is not None:
            found["engine"] = version_of(domain.engine.package) or "none"
        return found


def content(task: Task, domain: Domain, code: Iterable[str | type] = (), **details: Any) -> Content:
    """The content that a result depends on, as JSON: task, domain, versions, code and `details`.

    The task counts with its code, its options and its compiled model with every mesh, not with the
    place where they lie; the domain with its parameters, not with its name. `code` are modules and
    classes that make the result; each counts with all of this library that it imports.
    """
    return Contents(task).of(domain, code, **details)


def key_of(found: Mapping[str, Any]) -> str:
    """The digest of a content, which names what was made of it."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:24]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The changes from one content to another: "steps 4096 -> 8192", "the library's code"."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name in ("details", "versions") and isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new)
        elif name in _WORDS or not _short(old, new):
            found.append(_WORDS.get(name, f"the {name}"))
        else:
            found.append(f"{name} {old} -> {new}")
    return found


_WORDS = {
    "task": "the task (its code, options or model)",
    "domain": "the domain",
    "model": "the domain's model",
    "code": "the library's code",
    "source": "what it starts from",
}


def _short(*values: Any) -> bool:
    return all(len(str(value)) <= 40 and not isinstance(value, dict) for value in values)


def task_digest(task: Task) -> str:
    """A digest of the task's code (its classes and what they import), options and model."""
    digest = hashlib.sha256(json.dumps(task.options, sort_keys=True).encode())
    files = [Path(inspect.getfile(ancestor)) for ancestor in type(task).__mro__[:-1]]
    digest.update(code_digest(*files).encode())
    digest.update(model_digest(task.compile()).encode())
    return digest.hexdigest()


def code_digest(*files: Path) -> str:
    """A digest of source files and of all that they import from this library or their own folder.

    Imports within functions and for type checkers count, too: rather too much than too little.
    """
    digest = hashlib.sha256()
    for file in _closure(tuple(file.resolve() for file in files)):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _closure(files: tuple[Path, ...]) -> list[Path]:
    """The files and all that they import, each once, in an order that does not depend on place."""
    found, waiting = set(files), list(files)
    while waiting:
        new = set(_imports(waiting.pop())) - found
        found |= new
        waiting += new
    return sorted(found, key=lambda file: (file.name, file.read_bytes()))


@functools.cache
def _imports(file: Path) -> tuple[Path, ...]:
    """The files of this library and of the file's own folder that it imports."""
    tree = ast.parse(file.read_bytes())
    paths = (_module_file(name, file.parent) for name in _imported_names(tree))
    return tuple(path for path in paths if path is not None)


def _imported_names(tree: ast.AST) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement within `tree`, without the expressions, in which nothing is imported."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
            yield child
            yield from _statements(child)


def _module_file(name: str, folder: Path) -> Path | None:
    """The file of a module of this library, or of one that lies beside a user's file."""
    package, _, rest = name.partition(".")
    base = ROOT if package == PACKAGE else folder / package
    if package == PACKAGE and not rest:
        return None  # it imports every room; its version counts
    stem = base.joinpath(*rest.split(".")) if rest else base
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file() and (package == PACKAGE or _is_users(folder)):
            return candidate.resolve()
    return None


def _is_users(folder: Path) -> bool:
    """Whether modules of a folder may import each other by their bare names."""
    return not folder.is_relative_to(ROOT) and folder.name not in ("site-packages", "dist-packages")


def _file_of(code: str | type) -> Path:
    if isinstance(code, type):
        return Path(inspect.getfile(code))
    spec = importlib.util.find_spec(code)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin)


@functools.cache
def version_of(package: str) -> str | None:
    """The version of an installed package; None of another."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
