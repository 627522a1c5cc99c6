"""A run's own copies of what it is made of, so that it can be moved.

files/       code of the user's task, method and own kinds, models with meshes and textures, domain
             files, placed to each other as they were
files.json   which of them is the task, its model and the method, and their size
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import mujoco
from pydantic import Field

from sim2real import files
from sim2real.config import Config, parse
from sim2real.domains import Domain
from sim2real.domains.domain import read_file
from sim2real.domains.entries.own import own_sources, reference_of
from sim2real.domains.models.menagerie import is_menagerie
from sim2real.errors import UserError
from sim2real.sources import Source, read_source, source_of
from sim2real.task import Task

FOLDER, INDEX = "files", "files.json"
MOST_BYTES = 500_000_000
"""Size up to which files are copied into a run."""
_INSTALLED = {"site-packages", "dist-packages"}


class Index(Config):
    """The content of files.json: paths within the run, and how much was copied."""

    task: str | None = None
    """The task's file, with ":Class" where a class is named."""
    model: str | None = None
    """Its MJCF."""
    method: str | None = None
    """The transfer method's file and class."""
    count: Annotated[int, Field(ge=0)] = 0
    bytes: Annotated[int, Field(ge=0)] = 0

    def describe(self) -> str:
        """How much was copied."""
        return f"copied into the run: {self.count} files, {self.bytes / 1e6:,.2f} MB"


@dataclass(frozen=True)
class Copies:
    """The files to copy, by their absolute path, and the folder that they all lie in."""

    contents: Mapping[Path, bytes]
    index: Index
    places: Mapping[str, str]
    """Model or own kind of a domain -> its path within the run."""

    def write(self, folder: Path) -> None:
        """Write files/ and files.json into the folder of a run; nothing if there is no file."""
        if not self.contents:
            return
        root = _root(self.contents)
        for path, data in self.contents.items():
            files.write_bytes(folder / _within(path, root), data)
        files.write_json(folder / INDEX, self.index.model_dump(mode="json"))


def copies_of(task: Task, methods: Sequence[type], domains: Sequence[Domain]) -> Copies:
    """The copies for a run; with a warning and without files if they exceed MOST_BYTES."""
    own = source_of(type(task))
    kinds = [kind for domain in domains for kind in domain.own_kinds]
    sources = [own, *(source_of(one) for one in (*methods, *kinds))]
    contents: dict[Path, bytes] = {}
    for source in filter(None, sources):
        contents |= {source.root / path: data for path, data in source.files.items()}
    models = [Path(one.model) for one in domains if one.model and not is_menagerie(one.model)]
    wanted = {file for model in models for file in _model_files(model)}
    if own is not None:
        wanted |= {*_model_files(task.model_file), *_domain_files(task.file.with_suffix(".yaml"))}
    wanted = {path for path in wanted - contents.keys() if not _INSTALLED & set(path.parts)}
    size = sum(map(len, contents.values())) + sum(path.stat().st_size for path in wanted)
    if size > MOST_BYTES:
        warnings.warn(
            f"task {task.name!r}: its files have {size / 1e6:,.0f} MB; over {MOST_BYTES / 1e6:,.0f}"
            " MB are not copied, so the run needs them where they are",
            stacklevel=3,
        )
        return Copies({}, Index(), {})
    contents |= {path: path.read_bytes() for path in sorted(wanted)}
    if not contents:
        return Copies({}, Index(), {})
    root = _root(contents)
    found = [_reference(source, root) if source else None for source in sources]
    model = task.model_file.resolve() if own is not None else None
    index = Index(
        task=found[0],
        model=_within(model, root) if model in contents else None,
        method=found[1] if methods else None,
        count=len(contents),
        bytes=size,
    )
    places = {str(one): _within(one.resolve(), root) for one in models if one.resolve() in contents}
    named = {reference_of(kind): found[-index] for index, kind in enumerate(reversed(kinds), 1)}
    places |= {reference: place for reference, place in named.items() if place}
    return Copies(contents, index, places)


def keep_copies(run: Path, folder: Path) -> None:
    """Copy a run's files/ and files.json into `folder`."""
    if (run / INDEX).is_file():
        shutil.copyfile(run / INDEX, folder / INDEX)
        shutil.copytree(run / FOLDER, folder / FOLDER, symlinks=True)


def read_index(run: Path) -> Index:
    """The content of files.json; an empty index if there is none."""
    if not (run / INDEX).is_file():
        return Index()
    return parse(Index, files.read_json(run / INDEX), f"{run / INDEX} is damaged")


def copied_source(run: Path, reference: str) -> Source:
    """The code of a run's own copy, not trusted yet; nothing is imported."""
    path, _, name = reference.partition(".py:")
    file = copied_file(run, path if path.endswith(".py") else f"{path}.py")
    return read_source(file, name, run / FOLDER)


def copied_file(run: Path, path: str) -> Path:
    """A file of a run's files/. UserError if it is not there, or elsewhere."""
    file = files.user_path(run / path).resolve()
    if not file.is_relative_to((run / FOLDER).resolve()) or not file.is_file():
        raise UserError(f"{run / INDEX} names {path!r}, which is no file in {run / FOLDER}")
    return file


def place_model(task: Task, run: Path, index: Index) -> None:
    """Let a task that was loaded from a run's copy use the copy of its model, too."""
    if index.model is not None:
        own: Any = task
        own.model = str(copied_file(run, index.model))


def _root(contents: Mapping[Path, bytes]) -> Path:
    return Path(os.path.commonpath([path.parent for path in contents]))


def _within(path: Path, root: Path) -> str:
    return str(PurePosixPath(FOLDER) / path.relative_to(root).as_posix())


def _reference(source: Source, root: Path) -> str:
    name = f":{source.name}" if source.name else ""
    return _within(source.main, root) + name


def _model_files(model: Path) -> Iterator[Path]:
    """An MJCF, what it includes, and its meshes, textures and height fields."""
    model = model.resolve()
    if not model.is_file():
        return
    yield model
    try:
        compiled = mujoco.MjSpec.from_file(str(model)).compile()
        named = [*mujoco.mju_getXMLDependencies(str(model)), *_paths(compiled)]
    except ValueError:  # reported where it is used
        return
    for path in (Path(model.parent, name).resolve() for name in named):
        if path.is_file():
            yield path


def _paths(model: mujoco.MjModel) -> list[str]:
    return [path.decode(errors="replace") for path in bytes(model.paths).split(b"\0") if path]


def _domain_files(file: Path) -> Iterator[Path]:
    """A file of domains, the files that it extends, and their models."""
    waiting, seen = [file.resolve()], set()
    while waiting:
        path = waiting.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        for entry in read_file(path).values():
            for source in own_sources(entry):
                yield from (source.root / name for name in source.files)
            base, model = entry.get("extends"), entry.get("model")
            if isinstance(base, str) and ".yaml:" in base:
                other = files.user_path(base.rpartition(":")[0])
                waiting.append((path.parent / other).resolve())
            if isinstance(model, str) and not is_menagerie(model):
                yield from _model_files(Path(model))
