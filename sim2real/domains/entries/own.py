"""Kinds of the user's own: a class in a Python file, named by its path as the key of an entry."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim2real.domains.entries.stage import Kind
from sim2real.errors import UserError, unknown
from sim2real.files import user_path
from sim2real.registry import Registry
from sim2real.sources import Source, find_source, source_of

SECTIONS = ("actuation", "sensing", "disturbances")
"""Sections of a domain whose entries may name a kind by a path."""
_KEY = re.compile(r".+\.py(:\w+)?", re.DOTALL)


def is_own(key: Any) -> bool:
    """Whether the key of an entry names a kind of the user's own: a path, or the class."""
    return bool(isinstance(key, type) or (isinstance(key, str) and _KEY.fullmatch(key)))


def reference_of(kind: type) -> str:
    """ "path/file.py:Class" of a kind; UserError for one that is in no file."""
    source = source_of(kind)
    if source is None:
        raise UserError(f"the kind {kind.__name__} must be defined in a file of its own")
    return source.reference


def _is_kind(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Kind) and found.name != ""


KINDS = Registry("Stage", list, _is_kind)
"""The kinds in files of the user's own; shipped ones are found by the key of the entry."""


def load_kind(reference: str | Source | type) -> type[Kind]:
    """The class that a path, or a source that was read, names; UserError if it is no kind."""
    if not isinstance(reference, type):
        found: type[Kind] = KINDS.find(reference)
        return found
    if not KINDS.fits(reference):
        raise UserError(f"{reference.__name__} is no subclass of Stage with a name")
    return reference


def check_kind(kind: type[Kind], shipped: Mapping[str, Any]) -> None:
    """Raise UserError for a name that is taken, and for an unknown kind in `after`."""
    if not kind.name.isidentifier() or kind.name in shipped:
        raise UserError(
            f"the kind {kind.__name__} has the name {kind.name!r}; allowed: letters, digits and _, "
            f"and none of {', '.join(shipped)}"
        )
    if kind.after and kind.after not in shipped:
        raise unknown(f"kind that {kind.__name__} comes after", kind.after, shipped)


def absolute(reference: str, folder: Path) -> str:
    """A reference with an absolute path; a relative one is below `folder`."""
    file, name = re.fullmatch(r"(.+\.py)(:\w+)?", reference, re.DOTALL).groups("")  # type: ignore[union-attr]
    return f"{(folder / user_path(file)).resolve()}{name}"


def own_sources(data: Mapping[str, Any]) -> Iterator[Source]:
    """The sources, where they are there, of the own kinds that the data of a domain names."""
    for section in SECTIONS:
        for entry in data.get(section) or ():
            for key in filter(is_own, entry if isinstance(entry, Mapping) else ()):
                with contextlib.suppress(UserError):
                    source = find_source(key)
                    if source is not None:
                        yield source


def trusted_kind(reference: str, where: str, trust_code: bool) -> type[Kind]:
    """The kind that the file `where` names; UserError, before it is imported, without trust."""
    return load_kind(KINDS.trusted(reference, where, trust_code))
