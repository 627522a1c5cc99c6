"""The hashes of a run's own files, so that edits are reported when it is loaded."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Literal

from pydantic import Field

from sim2real import files
from sim2real.config import Config, parse
from sim2real.plain import dump_yaml

SEALED = ("config.yaml", "task.json", "domains.yaml")
MANIFEST, FORMAT = "manifest.json", 2


class _Seal(Config):
    format: Literal[2]
    files: dict[str, str]
    rewritten: dict[str, str] = Field(default_factory=dict)
    """Files that are about to be written again, as they will be."""


def seal(folder: Path) -> None:
    """Note the content of a run's own files, so that edits are reported when it is loaded."""
    hashes = {name: files.sha256(folder / name) for name in SEALED}
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
    found = _sealed(path)
    if found is None:
        return
    known = {name: (found.files.get(name), found.rewritten.get(name)) for name in SEALED}
    edited = [name for name in SEALED if files.sha256(path / name) not in known[name]]
    if edited:
        warnings.warn(f"{path}: edited since it was made: {', '.join(edited)}", stacklevel=3)


def _sealed(path: Path) -> _Seal | None:
    """The hashes that `seal` noted of a run; None for a run of an older version."""
    if not (path / MANIFEST).is_file():
        return None
    return parse(_Seal, files.read_json(path / MANIFEST), str(path / MANIFEST))
