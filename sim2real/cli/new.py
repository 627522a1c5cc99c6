"""The verb `new`: a working skeleton of a robot of one's own."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sim2real.cli.command import Command
from sim2real.cli.output import Outcome, table
from sim2real.errors import UserError, brief

SKELETON = Path(__file__).parent / "skeleton"


@dataclass(frozen=True, kw_only=True)
class New(Command):
    """Write a skeleton of a robot: task, model, domains, study, test and README."""

    name: Positional[str]
    """Name of the robot: lower case letters, digits and _, as in my_robot."""
    out: Path | None = None
    """New folder; by default the name, here."""

    def run(self) -> Outcome:
        """Write the folder, whole or not at all."""
        from sim2real.files import new_folder, require_writable, write_text

        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", self.name) or keyword.iskeyword(self.name):
            raise UserError(
                f"name is {brief(self.name)}; allowed: a lower case letter, then letters, digits "
                "and _, at most 40, no word of Python"
            )
        folder = self.out or Path(self.name)
        require_writable(folder.parent)
        with new_folder(folder) as new:
            for template in sorted(SKELETON.iterdir()):
                write_text(new / self._named(template.stem), self._named(template.read_text()))
        rows = [{"file": str(path), "content": _content(path)} for path in sorted(folder.iterdir())]
        return Outcome(rows, [table(f"{self.name}: start with README.md", rows)])

    def _named(self, text: str) -> str:
        """A template with the robot's name and its class in place of my_robot and MyRobot."""
        camel = "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))
        return text.replace("my_robot", self.name).replace("MyRobot", camel)


def _content(path: Path) -> str:
    kinds = {".xml": "model", ".md": "commands", ".py": "task"}
    if path.name == "study.yaml":
        return "study"
    if path.name.startswith("test_"):
        return "tests"
    return kinds.get(path.suffix, "domains")
