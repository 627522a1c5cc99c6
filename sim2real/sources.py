"""The user's own Python code: which files it is, its digest, and its import.

A source is one Python file and what it imports from its own folder or package. It is imported from
the bytes that its digest was computed of: no cached bytecode and no other file is read.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.util
import inspect
import itertools
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from sim2real.errors import UserError
from sim2real.files import absent, user_path

PREFIX = "sim2real_user_"
"""Name of the package that holds the modules of one source, before a digest."""
MOST_FILES, MOST_BYTES = 200, 10_000_000
"""Size up to which a source is read."""
_REFERENCE = re.compile(r"(?P<file>.+\.py)(:(?P<name>\w+))?", re.DOTALL)
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Source:
    """The Python files of one class.

    `files` are paths relative to the folder `root`, the main one first; `name` is the class, or ""
    where the file defines only one.
    """

    root: Path
    files: Mapping[str, bytes] = field(repr=False)
    name: str = ""

    @property
    def main(self) -> Path:
        """The file that defines the class."""
        return self.root / next(iter(self.files))

    @property
    def reference(self) -> str:
        """The absolute path, with ":Class" where a class is named."""
        return f"{self.main}:{self.name}" if self.name else str(self.main)

    @property
    def digest(self) -> str:
        """SHA-256 of the file; of several, the SHA-256 of what `sha256sum` prints of them."""
        sums = {path: hashlib.sha256(data).hexdigest() for path, data in self.files.items()}
        if len(sums) == 1:
            return next(iter(sums.values()))
        lines = "".join(f"{one}  {path}\n" for path, one in sorted(sums.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def describe(self) -> str:
        """The file and its digest, as messages name them."""
        others = len(self.files) - 1
        more = f" and {others} files that it imports" if others else ""
        return f"{self.main}{more} (SHA-256 {self.digest})"


_MODULE = re.compile(r"[^\W\d]\w{,99}(\.[^\W\d]\w{,99}){,19}")
"""The name of a module, such as "package.module"."""


def find_source(reference: str) -> Source | None:
    """The source that `reference` names, without importing anything; None if there is none.

    "path/file.py", "path/file.py:Class", "module" in the working folder, or "module:Class" of a
    module there or where Python finds it. Raises UserError for a file that is not there.
    """
    match = _REFERENCE.fullmatch(reference)
    if match:
        return read_source(user_path(match["file"]).resolve(), match["name"] or "")
    module, _, name = reference.partition(":")
    if not _MODULE.fullmatch(module):
        return None
    file = _in_working_folder(module) or (_file_of(module) if name else None)
    return None if file is None else read_source(file, name)


def read_source(file: Path, name: str = "", below: Path = Path("/")) -> Source:
    """The source with the main file `file`: it, and what it imports from its folder or package.

    Nothing outside the folder `below` is part of it. Raises UserError if it is not there or too
    large.
    """
    if not file.is_file():
        raise absent(file)
    root, top = file.parent, below.resolve()
    while (root / "__init__.py").is_file() and root not in (top, root.parent):
        root = root.parent
    files: dict[str, bytes] = {}
    waiting = [file.relative_to(root).as_posix()]
    while waiting:
        path = waiting.pop(0)
        if path in files:
            continue
        files[path] = _read(root / path)
        if len(files) > MOST_FILES or sum(map(len, files.values())) > MOST_BYTES:
            raise UserError(
                f"{file} imports more than {MOST_FILES} files or {MOST_BYTES:,} bytes from {root}"
            )
        waiting += _imported(root, path, files[path], next(iter(files)))
    return Source(root, files, name)


def source_of(kind: type) -> Source | None:
    """The source of a class; None for one that is shipped or has no file."""
    if is_shipped(kind.__module__):
        return None
    package = _finder.sources.get(kind.__module__.partition(".")[0])
    if package is not None:
        return Source(package.root, package.files, kind.__name__)
    try:
        file = Path(inspect.getfile(kind)).resolve()
    except (TypeError, OSError):  # defined in an interactive session
        return None
    return read_source(file, kind.__name__) if file.suffix == ".py" else None


def is_shipped(module: str) -> bool:
    """Whether a module is part of this library."""
    return module.partition(".")[0] == "sim2real"


def import_source(source: Source) -> ModuleType:
    """Import the main file of a source, once for a place and a content; returns the module."""
    place = hashlib.sha256(f"{source.main} {source.digest}".encode()).hexdigest()[:12]
    package = PREFIX + place
    if package not in sys.modules:
        _finder.sources[package] = source
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = []
    name = f"{package}.{_module_name(next(iter(source.files)))}"
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    try:
        with _siblings(package, source):
            return importlib.import_module(name)
    except BaseException as error:
        for module in [one for one in sys.modules if one.partition(".")[0] == package]:
            del sys.modules[module]
        if isinstance(error, SyntaxError):
            line = "" if error.lineno is None else f", line {error.lineno}"
            where = f"{error.filename or source.main}{line}"
            raise UserError(f"{where}: not valid Python: {error.msg}") from None
        if isinstance(error, Exception | SystemExit) and not isinstance(error, UserError):
            raise UserError(_failed(source, error)) from error
        raise


def _failed(source: Source, error: Exception | SystemExit) -> str:
    """The message of an exception in a source's own code, on one line, with its file and line."""
    mine = {str(source.root / path) for path in source.files}
    frames = [one for one in traceback.extract_tb(error.__traceback__) if one.filename in mine]
    where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(source.main)
    return f"{where}: {type(error).__name__}: {' '.join(str(error).split())[:500]}"


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules of sources below their package, and by their plain names meanwhile."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.importing: str | None = None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module of a source, or None for everything else."""
        package, _, name = fullname.partition(".")
        if package in self.sources and name:
            return _spec(self.sources[package], fullname, name)
        if self.importing and _spec(self.sources[self.importing], fullname, fullname):
            return ModuleSpec(fullname, _Alias(f"{self.importing}.{fullname}"))
        return None


_finder = _Finder()


class _Loader(importlib.abc.InspectLoader):
    """Loads a module from bytes."""

    def __init__(self, data: bytes, path: Path, package: bool) -> None:
        self._data, self._path, self._package = data, path, package

    def get_source(self, fullname: str) -> str:
        """The text of the module."""
        return importlib.util.decode_source(self._data)

    def get_code(self, fullname: str) -> Any:
        """The compiled module."""
        return self.source_to_code(self._data, str(self._path))

    def is_package(self, fullname: str) -> bool:
        """Whether the module is a package."""
        return self._package


class _Alias(importlib.abc.Loader):
    """The module of a source under its plain name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, which is imported under its own name first."""
        return importlib.import_module(self._name)

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: it has been imported."""


@contextmanager
def _siblings(package: str, source: Source) -> Iterator[None]:
    """Let the modules of a source find each other by their plain names."""
    tops = {_module_name(path).partition(".")[0] for path in source.files}
    mine = [name for name in sys.modules if name.partition(".")[0] in tops]
    before = {name: sys.modules.pop(name) for name in mine}
    outer, _finder.importing = _finder.importing, package
    try:
        yield
    finally:
        _finder.importing = outer
        for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
            del sys.modules[name]
        sys.modules.update(before)


def _spec(source: Source, fullname: str, name: str) -> ModuleSpec | None:
    path = name.replace(".", "/")
    for candidate, package in ((f"{path}.py", False), (f"{path}/__init__.py", True)):
        if candidate in source.files:
            loader = _Loader(source.files[candidate], source.root / candidate, package)
            return importlib.util.spec_from_file_location(
                fullname,
                source.root / candidate,
                loader=loader,
                submodule_search_locations=[] if package else None,
            )
    if any(file.startswith(f"{path}/") for file in source.files):  # a folder without __init__.py
        return ModuleSpec(fullname, None, is_package=True)
    return None


def _read(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} is larger than {MOST_BYTES:,} bytes")
    return path.read_bytes()


def _module_name(path: str) -> str:
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _in_working_folder(module: str) -> Path | None:
    """The file of a module in the working folder."""
    parts = module.split(".")
    if not all(part.isidentifier() for part in parts):
        return None
    for candidate in (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")):
        if candidate.is_file():
            return candidate.resolve()
    return None


def _file_of(module: str) -> Path | None:
    """The file of a module that Python finds; nothing is imported."""
    folders: list[str] | None = None
    spec: ModuleSpec | None = None
    for name in itertools.accumulate(module.split("."), "{}.{}".format):
        spec = _python_finds(name, folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or ())
    origin = spec.origin if spec is not None else None
    return Path(origin).resolve() if origin and origin.endswith(".py") else None


def _python_finds(name: str, folders: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        spec: ModuleSpec | None = find(name, folders, None) if find is not None else None
        if spec is not None:
            return spec
    return None


def _imported(root: Path, path: str, data: bytes, main: str) -> list[str]:
    """The files below `root` that the file `path` imports, with the packages they are in."""
    top = _module_name(main).partition(".")[0]
    installed = bool(_INSTALLED & set(root.parts))
    found: list[str] = []
    for name in _names(path, data):
        first = name.partition(".")[0]
        if first in sys.stdlib_module_names or is_shipped(first) or (installed and first != top):
            continue
        parts = name.split(".")
        for count in range(1, len(parts) + 1):
            place = "/".join(parts[:count])
            candidates = (f"{place}.py", f"{place}/__init__.py")
            found += [one for one in candidates if (root / one).is_file()]
    return found


def _names(path: str, data: bytes) -> Iterator[str]:
    """The dotted names that a file may import, and the package that it is in."""
    package = _module_name(path).split(".")
    if not path.endswith("__init__.py"):
        package = package[:-1]
    if package:
        yield ".".join(package)
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the import reports it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            if base:
                yield base
            yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
