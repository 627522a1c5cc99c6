"""Models of MuJoCo Menagerie as targets: `menagerie:unitree_go1`, or `menagerie:NAME/FILE`.

They are read from a local checkout, $MENAGERIE_ROOT, which needs no network; without it from the
package `mujoco-menagerie` (the extra `robots`), which downloads a robot on its first use.
Robot names and files are those of https://github.com/google-deepmind/mujoco_menagerie.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from sim2real.errors import UserError, unknown

PREFIX = "menagerie:"
USUAL = ("scene", "robot")
"""Files that are looked for where none is named: a robot with a floor and light, or by itself."""


def is_menagerie(model: str) -> bool:
    """Whether a domain's model is one of the Menagerie."""
    return model.startswith(PREFIX)


def menagerie_file(model: str) -> Path:
    """The MJCF of `menagerie:NAME` or `menagerie:NAME/FILE`.

    Raises UserError, with the nearest match, for a robot or file that is not there, and where
    there is neither a checkout nor the package.
    """
    name, _, file = model.removeprefix(PREFIX).partition("/")
    root = os.environ.get("MENAGERIE_ROOT")
    if root:
        return _in_checkout(Path(root).expanduser(), name, file.removesuffix(".xml"))
    return _in_package(name, file.removesuffix(".xml"))


def _in_checkout(root: Path, name: str, file: str) -> Path:
    if not root.is_dir():
        raise UserError(f"MENAGERIE_ROOT is {root}, which is no folder")
    robots = sorted(path.name for path in root.iterdir() if list(path.glob("*.xml")))
    if name not in robots:
        raise unknown(f"robot in {root}", name, robots)
    files = sorted(path.stem for path in (root / name).glob("*.xml"))
    wanted = [file] if file else [usual for usual in USUAL if usual in files]
    if not wanted or wanted[0] not in files:
        raise unknown(f"model in {root / name}", file or USUAL[0], files)
    return root / name / f"{wanted[0]}.xml"


def _in_package(name: str, file: str) -> Path:
    try:
        package: Any = importlib.import_module("mujoco_menagerie")
    except ImportError:
        raise UserError(
            f"{PREFIX}{name} needs a checkout of the Menagerie (MENAGERIE_ROOT), "
            "or the package: pip install 'sim2real[robots]'"
        ) from None
    if name not in package.names():
        raise unknown("robot of the Menagerie", name, package.names())
    try:
        return Path(package.get(name).xml(file or USUAL[0]))
    except (package.MenagerieError, OSError) as error:
        raise UserError(f"{PREFIX}{name}: {' '.join(str(error).split())}") from None
