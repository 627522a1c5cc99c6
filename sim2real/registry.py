"""Find a task, or another class, by name, by file path, or by "module:Class"."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from sim2real.errors import UserError, brief, unknown
from sim2real.registration import gymnasium_ids as gymnasium_ids
from sim2real.registration import task_names as task_names
from sim2real.sources import Source, find_source, import_source, is_shipped
from sim2real.task import Task
from sim2real.trust import trusted_source

POLICY = "pretrained:"
"""The prefix of the names of the shipped policies."""


@dataclass(frozen=True)
class Registry:
    """The classes of one kind: the shipped ones by name, the user's own by file or module.

    `kind` is the word for them ("Task"), `names` returns the shipped names, and `fits` accepts
    what is a class of the kind.
    """

    kind: str
    names: Callable[[], Collection[str]]
    fits: Callable[[Any], bool]

    def find(self, reference: str | Source) -> Any:
        """The class that a file, a module or "module:Class" names; imports it.

        Raises UserError, with the nearest name, if there is none.
        """
        module, name = self._module(reference)
        if not name:
            return self.only(module)
        found = getattr(module, name, None)
        if not self.fits(found):
            where = f"{self.kind.lower()} class in {Path(str(module.__file__)).name}"
            raise unknown(where, name, self._classes(module))
        return found

    def trusted(self, reference: str, where: str, trust_code: bool = False) -> str | Source:
        """The argument of `find` for a class that the file `where` names; imports nothing.

        Raises UserError for code of the user's own that is neither trusted nor accepted by
        `trust_code`, and for a name that is not there.
        """
        if reference in self.names() or _is_shipped_class(reference):
            return reference
        source = trusted_source(reference, where, trust_code)
        if source is None:
            raise unknown(self.kind.lower(), reference, self.names())
        return source

    def only(self, module: ModuleType) -> Any:
        """The one class of this kind that a module defines; UserError for none and for several."""
        found = self._classes(module)
        if len(found) != 1:
            names = ", ".join(found) or "none"
            raise UserError(f"{module.__file__} must define one {self.kind}, it defines {names}")
        return next(iter(found.values()))

    def defined_by(self, reference: str) -> list[Any]:
        """The classes of this kind that a file or "module:Class" defines; imports it."""
        try:
            module, name = self._module(reference)
        except UserError:
            return []
        return [found for key, found in self._classes(module).items() if name in ("", key)]

    def _module(self, reference: str | Source) -> tuple[ModuleType, str]:
        """The module that a reference names, imported, and the class that it names, or ""."""
        if isinstance(reference, Source):
            return import_source(reference), reference.name
        module, _, name = reference.partition(":")
        if name and not module.endswith(".py") and _is_importable(module):
            return importlib.import_module(module), name
        source = find_source(reference)
        if source is not None:
            return import_source(source), source.name
        if name:
            raise UserError(f"{self.kind.lower()} {reference!r}: No module named {module!r}")
        raise unknown(self.kind.lower(), reference, self.names())

    def _classes(self, module: ModuleType) -> dict[str, Any]:
        """The public classes of this kind that a module itself defines."""
        return {
            name: value
            for name, value in vars(module).items()
            if self.fits(value) and value.__module__ == module.__name__ and not name.startswith("_")
        }


def _is_shipped_class(reference: str) -> bool:
    """Whether a reference is "module:Class" of the library. A file "sim2real.py:Class" is not."""
    module, colon, _ = reference.partition(":")
    return bool(colon) and not module.endswith(".py") and is_shipped(module)


def _is_importable(module: str) -> bool:
    """Whether an ordinary import finds the module. Imports the packages that it is in."""
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _is_task(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Task) and found is not Task


TASKS = Registry("Task", task_names, _is_task)
"""The tasks."""


def load_task(reference: str | Task | type[Task] | Source, /, **options: Any) -> Task:
    """The task that `reference` names, made with `options`.

    `reference` is a shipped name ("hopper"), a file ("path/my_robot.py", "path/my_robot.py:Class"),
    or a module in the working folder or an installed one ("my_robot", "module:Class"). Code that is
    named here is imported: for a name out of a file, see `sim2real.trust`.
    Raises UserError for a name, file, module or class that is not there, or for unknown options.
    """
    if isinstance(reference, Task):
        if options:
            raise UserError(f"task {reference.name!r} is made already; options come too late")
        return reference
    if isinstance(reference, type):
        return _make(reference, options)
    refuse_policy(reference)
    if isinstance(reference, str) and reference in task_names():
        module = importlib.import_module(f"sim2real.envs.{reference}")
        return _make(TASKS.only(module), options)
    task = _make(TASKS.find(reference), options)
    if not is_shipped(type(task).__module__):
        task.reference = _reference(reference, task)
    return task


def refuse_policy(reference: Any) -> None:
    """UserError for the name of a policy where a task is needed, with the nearest task."""
    if isinstance(reference, str) and reference.startswith(POLICY):
        near = difflib.get_close_matches(reference.removeprefix(POLICY), task_names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(task_names())}"
        raise UserError(f"{brief(reference)[1:-1]} is a policy, not a task; {hint}")


def trusted_task(reference: str, where: str, trust_code: bool = False) -> str | Source:
    """The argument of `load_task` for a task that the file `where` names: `Registry.trusted`."""
    refuse_policy(reference)
    return TASKS.trusted(reference, where, trust_code)


def _reference(reference: str | Source, task: Task) -> str:
    """How the task is found again from any folder."""
    if isinstance(reference, Source):
        return reference.reference
    source = find_source(reference)
    return task.reference if source is None else source.reference


def _make(task: type[Task], options: dict[str, Any]) -> Task:
    allowed = [name for name in inspect.signature(task).parameters if name != "options"]
    for option in options:
        if option not in allowed:
            raise unknown(f"option of task {task.__name__!r}", option, allowed)
    return task(**options)
