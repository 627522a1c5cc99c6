"""Files that are whole or absent: written beside the target, synced, then renamed."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sim2real.errors import UserError, brief
from sim2real.plain import parse_json, parse_yaml

MOST_YAML, MOST_JSON = 2**17, 2**26
"""Bytes of a file that is read, at most."""


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError name `path`, not a temporary sibling of it, or nothing."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


RESERVE = 2**20
"""Bytes that a disk must have free beside what is written."""


def require_space(path: Path, size: int) -> None:
    """OSError (ENOSPC), before anything is written, unless `size` bytes fit on the disk of `path`.

    `path` need not be there yet.
    """
    place = path.absolute()
    while not place.exists():
        place = place.parent
    if shutil.disk_usage(place).free < size + RESERVE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


PARTIAL = ".partial"
"""How the names of unfinished files and folders end; they begin with a dot."""
DEEPEST = 256
"""Folders in a path that a user writes: Python makes them by a recursion."""


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process has left unfinished anywhere under `folder`.

    Only for a folder that no other process writes to.
    """
    for path in sorted(folder.rglob(f".*{PARTIAL}")):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` so that `path` holds either all of it or what it held before."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(PARTIAL, f".{path.name}.", path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync(path.parent)


def write_text(path: Path, text: str) -> None:
    """`write_bytes` of UTF-8 text."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """`write_text` of indented JSON; NaN and infinity are refused, as JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `path` if the block succeeds.

    Raises UserError if `path` exists; whatever goes wrong, `path` is never half made.
    """
    if path.exists():
        raise UserError(f"{path} exists already; choose another name or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(PARTIAL, f".{path.name}.", path.parent))
    try:
        yield temporary
        os.chmod(temporary, 0o755)
        with naming(path):
            for entry in sorted(temporary.rglob("*")):
                _sync(entry)
            _sync(temporary)
            os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    with naming(path):
        _sync(path.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder so that it is whole or absent at any moment."""
    unfinished = path.with_name(f".{path.name}{PARTIAL}")
    shutil.rmtree(unfinished, ignore_errors=True)
    os.rename(path, unfinished)
    shutil.rmtree(unfinished)


def read_json(path: Path) -> Any:
    """The value in a JSON file; UserError if it is missing, too large or broken."""
    return _parsed(path, "JSON", parse_json, MOST_JSON)


def read_yaml(path: Path) -> Any:
    """The value in a YAML file (safe subset); UserError if it is missing, too large or broken."""
    return _parsed(path, "YAML", parse_yaml, MOST_YAML)


def _parsed(path: Path, form: str, parse: Callable[[str], Any], most: int) -> Any:
    text = read_text(path, most)
    try:
        return parse(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid {form}: {error}") from None


def read_text(path: Path, most: int) -> str:
    """The UTF-8 text of a file of at most `most` bytes; UserError of one line where that fails."""
    try:
        with path.open("rb") as file:  # a device has no size, so the bytes are counted
            data = file.read(most + 1)
        if len(data) > most:
            raise UserError(f"{path} is larger than {most:,} bytes")
        return data.decode()
    except UserError:
        raise
    except (FileNotFoundError, NotADirectoryError):
        raise absent(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}") from None
    except ValueError as error:  # a zero byte in the path
        raise UserError(f"{str(path)!r} is no path of a file: {error}") from None


MOST_NEIGHBOURS = 1000
"""Names of a folder in which the nearest one is looked for, at most."""


def absent(path: Path) -> UserError:
    """The error for a file or folder that is not there, with the nearest name in its folder."""
    names: list[str] = []
    with contextlib.suppress(OSError, ValueError), os.scandir(path.parent) as entries:
        names = [entry.name for entry in itertools.islice(entries, MOST_NEIGHBOURS)]
    close = difflib.get_close_matches(path.name, names, n=1)
    hint = f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
    return UserError(f"{path} does not exist{hint}")


def unwritable(folder: Path) -> str | None:
    """Why no file can be written into `folder`, which need not be there yet; None: it can."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return os.strerror(error.errno or errno.EACCES)


def require_writable(folder: Path) -> None:
    """UserError if no file can be written into `folder`, which need not be there yet."""
    if reason := unwritable(folder):
        raise UserError(f"{folder} cannot be written: {reason}")


def unused(folder: Path, *names: str) -> tuple[Path, ...]:
    """Paths of these names in `folder`, all with the same number if one of them is there.

    evaluation.json, then evaluation-2.json, and so on: no result takes the place of another.
    """
    for number in itertools.count(1):
        mark = f"-{number}" if number > 1 else ""
        paths = tuple(folder / f"{Path(name).stem}{mark}{Path(name).suffix}" for name in names)
        if not any(path.exists() for path in paths):
            return paths
    raise AssertionError("unreachable")


def user_path(text: str | Path) -> Path:
    """The path that a user wrote, with `~` filled in; UserError for one that can be no file.

    A named pipe is none: to open it would wait for whoever writes into it.
    """
    is_pipe = False
    try:
        path = Path(text).expanduser()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.lstat()
            path.resolve()  # refuses a loop of symbolic links
            is_pipe = path.is_fifo()
    except (RuntimeError, ValueError, OSError) as error:  # no such user; a zero byte; too long
        reason = (
            getattr(error, "strerror", None) or error
        )  # that of the system names the path again
        raise UserError(f"{brief(str(text))} is no path of a file: {reason}") from None
    if is_pipe:
        raise UserError(f"{path} is a named pipe; allowed: a file or a folder")
    if "://" in str(text):
        raise UserError(f"{brief(str(text))} is an address; allowed: a path of this machine")
    if len(path.parts) > DEEPEST:
        raise UserError(f"{brief(str(text))} is in more than {DEEPEST} folders")
    return path


def refuse_links_out_of(folder: Path) -> None:
    """UserError if a symbolic link in `folder`, at any depth, leads out of it."""
    inside = folder.resolve()
    for place, folders, names in os.walk(folder):
        for link in (Path(place, name) for name in (*folders, *names)):
            if link.is_symlink() and not _resolved(link).is_relative_to(inside):
                raise UserError(f"{link} is a symbolic link out of {folder}; it is not followed")


def _resolved(link: Path) -> Path:
    try:
        return link.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return Path("/")


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
