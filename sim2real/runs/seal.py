"""The hashes of a run's own files, so that edits are reported when it is loaded."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import Field

from sim2real import files
from sim2real.config import Config, parse
from sim2real.plain import dump_yaml

SEALED = ("config.yaml", "task.json", "domains.yaml")
ALSO = ("versions.json", "files.json", "files/**/*")
"""Patterns of files that are sealed, too, where they are there; `verify` compares them."""
MANIFEST, FORMAT = "manifest.json", 2


class _Seal(Config):
    format: Literal[2]
    files: dict[str, str]
    rewritten: dict[str, str] = Field(default_factory=dict)
    """Files that are about to be written again, as they will be."""


def seal(folder: Path) -> None:
    """Note the content of a run's own files, so that edits are reported when it is loaded."""
    also = [path for pattern in ALSO for path in sorted(folder.glob(pattern)) if path.is_file()]
    names = [*SEALED, *(path.relative_to(folder).as_posix() for path in also)]
    hashes = {name: files.sha256(folder / name) for name in names}
    files.write_json(folder / MANIFEST, {"format": FORMAT, "files": hashes})


def rewrite_config(folder: Path, config: Config) -> None:
    """Write the config.yaml of a run again, and seal that: at any moment the old one or the new."""
    text = dump_yaml(config.model_dump(mode="json"))
    found = _sealed(folder)
    if found is None:
        files.write_text(folder / "config.yaml", text)
        return
    new = {"config.yaml": hashlib.sha256(text.encode()).hexdigest()}
    before = found.model_copy(update={"rewritten": new})
    files.write_json(folder / MANIFEST, before.model_dump())
    files.write_text(folder / "config.yaml", text)
    files.write_json(folder / MANIFEST, {"format": FORMAT, "files": found.files | new})


def report_edits(path: Path) -> None:
    """Warn of files that are not as `seal` found them; runs of older versions have no seal."""
    edited = edited_files(path, SEALED)
    if edited:
        warnings.warn(f"{path}: edited since it was made: {', '.join(edited)}", stacklevel=3)


def edited_files(path: Path, names: Collection[str] | None = None) -> list[str]:
    """Of the files `names`, by default all that are sealed, those that `seal` found otherwise.

    None of a run of an older version.
    """
    found = _sealed(path)
    if found is None:
        return []
    known: dict[str, tuple[str | None, ...]] = {
        name: (found.files.get(name), found.rewritten.get(name)) for name in SEALED
    }
    known |= {name: (digest,) for name, digest in found.files.items() if name not in SEALED}
    asked = known if names is None else names
    return [name for name in asked if _hash(path / name) not in known[name]]


def _hash(file: Path) -> str:
    return files.sha256(file) if file.is_file() else "missing"


def _sealed(path: Path) -> _Seal | None:
    """The hashes that `seal` noted of a run; None for a run of an older version."""
    if not (path / MANIFEST).is_file():
        return None
    return parse(_Seal, files.read_json(path / MANIFEST), str(path / MANIFEST))
