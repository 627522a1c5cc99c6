"""Reference policies that are shipped: `pretrained:hopper`, wherever a run is accepted.

Each is a run folder without its training state, and beside it a card with its returns.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from sim2real import files
from sim2real.errors import UserError, unknown
from sim2real.registry import POLICY

FOLDER = Path(__file__).resolve().parents[1] / "policies" / "pretrained"
CARD = "card.json"


def pretrained_names() -> list[str]:
    """The names of the policies that are shipped: `hopper` is loaded as `pretrained:hopper`."""
    return sorted(card.parent.name for card in FOLDER.glob(f"*/{CARD}"))


def find_run(reference: Path | str) -> Path:
    """The folder of a run: what was given, or that of a shipped policy.

    Raises UserError for `pretrained:` and a name that is not there.
    """
    text = str(reference)
    if not text.startswith(POLICY):
        return files.user_path(reference)
    names = [f"{POLICY}{name}" for name in pretrained_names()]
    if text not in names:
        raise unknown("policy", text, names)
    return FOLDER / text.removeprefix(POLICY)


def new_run_path(out: Path | str) -> Path:
    """The folder of a run that is to be written.

    Raises UserError if it exists or cannot be written, if it would be read as the name of a shipped
    policy, or if its name is not UTF-8, which TensorBoard cannot write to.
    """
    text = str(out)
    if text.startswith(POLICY):
        raise UserError(f"out is {text}; allowed: a folder, not the name of a shipped policy")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"out is {text!r}; allowed: a name in UTF-8") from None
    path = files.user_path(out)
    if path.exists():
        raise UserError(f"{path} exists already; choose another name or remove it")
    files.require_writable(path.parent)
    return path


def absent(path: Path) -> UserError:
    """The error for a run that is not there, with the nearest shipped policy or folder."""
    close = difflib.get_close_matches(str(path), pretrained_names(), n=1)
    if not close:
        return files.absent(path)
    return UserError(f"{path} does not exist; did you mean '{POLICY}{close[0]}'?")


def reference_of(path: Path) -> str:
    """How a run is found again: `pretrained:hopper`, or the absolute path of its folder."""
    path = path.resolve()
    return f"{POLICY}{path.name}" if path.parent == FOLDER.resolve() else str(path)


def is_published(path: Path) -> bool:
    """Whether the run at `path` is a published policy, which has no training state."""
    return (path / CARD).is_file()


def read_card(reference: Path | str) -> dict[str, Any]:
    """The content of the card of a published policy; UserError if it is missing or broken."""
    card: dict[str, Any] = files.read_json(find_run(reference) / CARD)
    return card
