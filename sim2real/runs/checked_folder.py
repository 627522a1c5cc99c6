"""Folders that are whole or absent, and whose files are compared with a manifest when read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim2real import files
from sim2real.errors import UserError

MANIFEST, FORMAT = "manifest.json", 1


def write_checked(path: Path, contents: Mapping[str, bytes], **about: Any) -> None:
    """Make the folder `path` with these files and a manifest of their sizes and SHA-256.

    `about` goes into the manifest. Raises OSError, naming `path`, before anything is written where
    the disk has no space for it, and where a file cannot be written; `path` is absent then.
    """
    files.require_space(path, sum(map(len, contents.values())))
    with files.naming(path), files.new_folder(path) as folder:
        for name, data in contents.items():
            files.write_bytes(folder / name, data)
        entries = {name: _entry(data) for name, data in contents.items()}
        files.write_json(folder / MANIFEST, {"format": FORMAT, **about, "files": entries})


def read_checked(path: Path, names: Sequence[str], **about: Any) -> dict[str, bytes]:
    """The files `names` of a folder of `write_checked`, by name.

    UserError for a file that is missing or not what the manifest says, and for a manifest that does
    not hold the values `about`.
    """
    manifest = files.read_json(path / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UserError(f"{path / MANIFEST} is not a manifest of format {FORMAT}")
    for key, value in about.items():
        if manifest.get(key) != value:
            raise UserError(f"{path / MANIFEST} is damaged: its {key} is not {value}")
    entries = manifest.get("files")
    if not isinstance(entries, dict):
        raise UserError(f"{path / MANIFEST} is damaged: it lists no files")
    return {name: _checked(path / name, entries.get(name)) for name in names}


def _checked(file: Path, entry: Any) -> bytes:
    """The content of a file, if it is that of the manifest's entry."""
    if not file.is_file():
        raise UserError(f"{file} is missing")
    size = entry.get("bytes") if isinstance(entry, dict) else None
    data = file.read_bytes() if file.stat().st_size == size else b""
    if _entry(data) != entry:
        raise UserError(f"{file} is damaged: size or SHA-256 differ from the manifest")
    return data


def _entry(data: bytes) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
