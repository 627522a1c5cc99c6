"""Nothing is defined that is used nowhere: vulture, with the allow-list in pyproject.toml.

Uses in tests do not count. Classes that a registry finds by name do.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from vulture.core import Item, Vulture

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["vulture"]
FOUND_BY_NAME = ("envs", "sim2real/transfer/methods")
"""Folders whose classes a registry finds by name."""
ENTRY_POINT = re.compile(r"""["']sim2real(?:\.\w+)+:(\w+)["']""")


def unused(root: Path, settings: dict[str, Any] = SETTINGS) -> list[str]:
    """What is defined below `root` and used nowhere there, a line each."""
    vulture = Vulture(
        ignore_names=settings["ignore_names"], ignore_decorators=settings["ignore_decorators"]
    )
    paths, excluded = ([str(root / one) for one in settings[key]] for key in ("paths", "exclude"))
    vulture.scavenge(paths, excluded)
    files = [path for one in paths for path in Path(one).rglob("*.py")]
    entries = {name for path in files for name in ENTRY_POINT.findall(path.read_text())}
    return [
        f"{item.filename.relative_to(root)}:{item.first_lineno}: unused {item.typ} {item.name}"
        for item in vulture.get_unused_code()
        if item.name not in entries and not is_data(item) and not is_registered(item, root)
    ]


def is_data(item: Item) -> bool:
    """Whether it is a field of a class, or an attribute of another library's object."""
    line = item.filename.read_text().splitlines()[item.first_lineno - 1]
    if item.typ == "attribute":
        return f"self.{item.name}" not in line
    return item.typ == "variable" and re.match(rf"\s+{item.name}: ", line) is not None


def is_registered(item: Item, root: Path) -> bool:
    folder = item.filename.parent.relative_to(root).as_posix()
    return item.typ == "class" and folder in FOUND_BY_NAME


def test_nothing_is_unused() -> None:
    assert unused(ROOT) == []


def test_what_is_unused_is_found(tmp_path: Path) -> None:
    for name in ("sim2real", "envs", "policies", "scripts"):
        (tmp_path / name).mkdir()
    (tmp_path / "envs" / "robot.py").write_text("class Robot:\n    speed: float = 1.0\n")
    (tmp_path / "sim2real" / "one.py").write_text(
        "USED = 1\nUNUSED = 2\nENTRY = 'sim2real.one:entry'\nprint(USED, ENTRY)\n"
        "def entry():\n    pass\ndef forgotten():\n    pass\n"
    )
    assert unused(tmp_path) == [
        "sim2real/one.py:2: unused variable UNUSED",
        "sim2real/one.py:7: unused function forgotten",
    ]
