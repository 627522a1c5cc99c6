"""Whose code may be imported: what the user names, and what the user made or accepted before.

A run, a published policy or a study file may name Python code that is not part of the library. It
is imported only if its SHA-256 is in the user's list of accepted digests: one small file for each,
`$XDG_CONFIG_HOME/sim2real/trusted/<SHA-256>`, by default below ~/.config. A run that the user makes
enters the digest of its own code; `--trust-code` enters that of others.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

from sim2real.errors import UserError
from sim2real.files import write_text
from sim2real.sources import Source, find_source


def trust_folder() -> Path:
    """The folder with the accepted digests."""
    given = os.environ.get("XDG_CONFIG_HOME")
    return Path(given or "~/.config").expanduser() / "sim2real" / "trusted"


def is_trusted(source: Source) -> bool:
    """Whether the user made or accepted code of just this content."""
    return (trust_folder() / source.digest).is_file()


def accept(source: Source) -> None:
    """Enter a source into the list; a warning where the list cannot be written."""
    if is_trusted(source):
        return
    try:
        write_text(trust_folder() / source.digest, f"{source.reference}\n")
    except OSError as error:
        warnings.warn(
            f"{trust_folder()}: {error.strerror}; code of your own runs will need --trust-code",
            stacklevel=2,
        )


def require_trust(source: Source, where: str, trust_code: bool = False) -> Source:
    """Return `source` if it is trusted, or accept it if `trust_code`.

    `where` says what named it. Raises UserError, with the file and its digest, if it is not.
    """
    if is_trusted(source):
        return source
    if not trust_code:
        raise UserError(
            f"{where} asks for code that is not part of sim2real, {source.describe()}; nothing of "
            "it was imported; read it, then accept it with --trust-code, or name a file with --task"
        )
    print(f"accepted the code {source.describe()}", file=sys.stderr)
    accept(source)
    return source


def trusted_source(reference: str, where: str, trust_code: bool = False) -> Source | None:
    """The source that a file's `reference` names, if it is trusted; nothing is imported.

    None if there is none. Raises UserError if it is not trusted.
    """
    source = find_source(reference)
    return None if source is None else require_trust(source, where, trust_code)
