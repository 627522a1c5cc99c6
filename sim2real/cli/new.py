"""The verb `new`: a skeleton of a robot, a transfer method, a kind of entry or an interface."""

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
    """Write a skeleton of a robot: task, model, domains, study, test and README.

    With --method, --kind or --interface, of a transfer method, of a kind of imperfection, or of
    what connects a robot to `sim2real run`.
    """

    name: Positional[str]
    """Name of what is new: lower case letters, digits and _, as in my_robot."""
    method: bool = False
    """Write a transfer method."""
    kind: bool = False
    """Write a kind of imperfection or disturbance."""
    interface: bool = False
    """Write the interface of a robot, for `sim2real run`."""
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
        asked = [name for name in ("method", "kind", "interface") if getattr(self, name)]
        if len(asked) > 1:
            raise UserError(f"got --{' and --'.join(asked)}; allowed: one of them")
        what = asked[0] if asked else "robot"
        folder = self.out or Path(self.name)
        require_writable(folder.parent)
        with new_folder(folder) as new:
            for template in sorted((SKELETON / what).iterdir()):
                text = self._named(template.read_text(), what)
                write_text(new / self._named(template.stem, what), text)
        files = sorted(folder.iterdir())
        rows = [{"file": str(path), "content": _content(path, what)} for path in files]
        return Outcome(rows, [table(f"{self.name}: start with README.md", rows)])

    def _named(self, text: str, what: str) -> str:
        """A template with the name and its class in place of, say, my_robot and MyRobot."""
        camel = "".join(part[:1].upper() + part[1:] for part in self.name.split("_"))
        return text.replace(f"my_{what}", self.name).replace(f"My{what.capitalize()}", camel)


def _content(path: Path, what: str) -> str:
    code = "task" if what == "robot" else what
    kinds = {".xml": "model", ".md": "commands", ".py": code}
    if path.name == "study.yaml":
        return "study"
    if path.name.startswith("test_"):
        return "tests"
    return kinds.get(path.suffix, "domains")
