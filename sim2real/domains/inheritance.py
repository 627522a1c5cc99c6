"""Domains that extend others: resolved in the plain data, when a file is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real.domains.entries.own import absolute, replaced
from sim2real.domains.models.menagerie import is_menagerie
from sim2real.errors import UserError, unknown
from sim2real.files import read_yaml, user_path

Data = dict[str, Any]


def read_file(path: Path) -> dict[str, Data]:
    """The plain data of every domain of a file, by name, as it is written.

    Raises UserError where the file does not hold domains by name.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected domains by name, got {type(data).__name__}")
    for name, entry in data.items():
        if not isinstance(entry, dict | None):
            raise UserError(f"{path}: {name}: expected keys and values, got {entry!r}")
    return {str(name): _placed(entry or {}, path) for name, entry in data.items()}


def resolve(path: Path, name: str, known: Mapping[Path, dict[str, Data]]) -> Data:
    """The data of one domain with everything that it extends.

    `extends` names a domain of the same file, or "file.yaml:name", relative to the file. Lists (the
    sections) follow those of the domain that is extended, other keys take the place of its keys;
    only `about` is not handed down. `known` are files that have been read.
    Raises UserError for unknown names and for a domain that extends itself in the end.
    """
    return _resolve(path, name, dict(known), ())


def _resolve(
    path: Path, name: str, known: dict[Path, dict[str, Data]], seen: tuple[str, ...]
) -> Data:
    if path not in known:
        known[path] = read_file(path)
    if name not in known[path] and name != "nominal":
        raise unknown(f"domain in {path}", name, known[path])
    here = f"{path}:{name}"
    if here in seen:
        round_trip = " -> ".join(one.rpartition(":")[2] for one in (*seen, here))
        raise UserError(f"{path}: {name}: extends itself: {round_trip}")
    own = dict(known[path].get(name, {}))
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise UserError(f"{path}: {name}: extends one domain by its name, got {base!r}")
    file, parent = path, base
    if ".yaml:" in base:
        other, _, parent = base.rpartition(":")
        file = (path.parent / user_path(other)).resolve()
    try:
        inherited = _resolve(file, parent, known, (*seen, here))
    except UserError as error:
        if seen or str(error).startswith(f"{path}: {name}: "):
            raise
        raise UserError(f"{path}: {name}: extends: {error}") from None
    inherited.pop("about", None)
    return _joined(inherited, own)


def _joined(base: Data, own: Data) -> Data:
    both = {
        key: [*base[key], *own[key]]
        for key in base.keys() & own.keys()
        if isinstance(base[key], list) and isinstance(own[key], list)
    }
    return base | own | both


def _placed(entry: Data, path: Path) -> Data:
    """The data with the paths of its model and of its own kinds made absolute."""
    entry = replaced(entry, lambda kind: absolute(kind, path.parent))
    model = entry.get("model")
    if not isinstance(model, str) or is_menagerie(model):
        return entry
    return entry | {"model": str((path.parent / user_path(model)).resolve())}
