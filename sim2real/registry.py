"""Find a task, or a class of the user's own, by name, by file path, or by "module:Class"."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sim2real.errors import UserError, brief, unknown
from sim2real.sources import Source, find_source, import_source, is_shipped
from sim2real.task import Task
from sim2real.trust import trusted_source

ENVS = Path(__file__).resolve().parent / "envs"
POLICY = "pretrained:"
"""What the names of the shipped policies begin with."""


def task_names() -> list[str]:
    """The names of the tasks that are shipped."""
    return sorted(path.stem for path in ENVS.glob("*.py") if not path.stem.startswith("_"))


def gymnasium_ids() -> dict[str, str]:
    """Gymnasium id -> task name, without importing the tasks: hopper is "sim2real/Hopper-v0"."""
    return {f"sim2real/{_camel(name)}-v0": name for name in task_names()}


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


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
        return _make(_only(module, "Task", _is_task), options)
    task = _make(find_class(reference, "Task", _is_task, task_names), options)
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
    """What `load_task` takes for a task that the file `where` names; nothing is imported.

    Raises UserError for code of the user's own that is neither trusted nor accepted by
    `trust_code`, and for a name that is not there.
    """
    refuse_policy(reference)
    module, colon, _ = reference.partition(":")
    if reference in task_names() or (colon and is_shipped(module)):
        return reference
    source = trusted_source(reference, where, trust_code)
    if source is None:
        raise unknown("task", reference, task_names())
    return source


def find_class(
    reference: str | Source, kind: str, fits: Callable[[Any], bool], names: Callable[[], list[str]]
) -> Any:
    """The class that a file, a module or "module:Class" names, of those that `fits` accepts.

    `kind` is the word for it ("Task"). Raises UserError, with the shipped `names`, for none.
    """
    module, name = _module_of(reference, kind.lower(), names)
    if not name:
        return _only(module, kind, fits)
    found = getattr(module, name, None)
    if not fits(found):
        raise unknown(f"{kind.lower()} class in {module.__name__}", name, _classes(module, fits))
    return found


def _module_of(
    reference: str | Source, kind: str, names: Callable[[], list[str]]
) -> tuple[ModuleType, str]:
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
        raise UserError(f"{kind} {reference!r}: No module named {module!r}")
    raise unknown(kind, reference, names())


def _is_importable(module: str) -> bool:
    """Whether an ordinary import finds the module. Imports the packages that it is in."""
    if module in sys.modules:
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _reference(reference: str | Source, task: Task) -> str:
    """How the task is found again from any folder."""
    if isinstance(reference, Source):
        return reference.reference
    source = find_source(reference)
    return task.reference if source is None else source.reference


def _is_task(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Task) and found is not Task


def _make(task: type[Task], options: dict[str, Any]) -> Task:
    allowed = [name for name in inspect.signature(task).parameters if name != "options"]
    for option in options:
        if option not in allowed:
            raise unknown(f"option of task {task.__name__!r}", option, allowed)
    return task(**options)


def _classes(module: ModuleType, fits: Callable[[Any], bool]) -> dict[str, Any]:
    """The public classes that a module itself defines and `fits` accepts."""
    return {
        name: value
        for name, value in vars(module).items()
        if fits(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }


def _only(module: ModuleType, kind: str, fits: Callable[[Any], bool]) -> Any:
    found = _classes(module, fits)
    if len(found) != 1:
        names = ", ".join(found) or "none"
        raise UserError(f"{module.__file__} must define one {kind}, it defines {names}")
    return next(iter(found.values()))
