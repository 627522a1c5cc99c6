"""Find a task by name, by file path, or by "module:Class"."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from sim2real.errors import UserError, unknown
from sim2real.files import user_path
from sim2real.task import Task

ENVS = Path(__file__).resolve().parent / "envs"


def task_names() -> list[str]:
    """The names of the tasks that are shipped."""
    return sorted(path.stem for path in ENVS.glob("*.py") if not path.stem.startswith("_"))


def gymnasium_ids() -> dict[str, str]:
    """Gymnasium id -> task name, without importing the tasks: hopper is "sim2real/Hopper-v0"."""
    return {f"sim2real/{_camel(name)}-v0": name for name in task_names()}


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def load_task(reference: str | Task | type[Task], **options: Any) -> Task:
    """The task that `reference` names, made with `options`.

    `reference` is a shipped name ("hopper"), a file ("path/my_robot.py"), or "module:Class".
    Raises UserError for a name, file, module or class that is not there, or for unknown options.
    """
    if isinstance(reference, Task):
        if options:
            raise UserError(f"task {reference.name!r} is made already; options come too late")
        return reference
    if isinstance(reference, type):
        return _make(reference, options)
    if reference.endswith(".py"):
        path = user_path(reference).resolve()
        task = _make(_only_task(_module_from(path)), options)
        task.reference = str(path)
        return task
    if ":" in reference:
        return _make(_named_class(reference), options)
    if reference not in task_names():
        raise unknown("task", reference, task_names())
    return _make(_only_task(importlib.import_module(f"sim2real.envs.{reference}")), options)


def _make(task: type[Task], options: dict[str, Any]) -> Task:
    allowed = [name for name in inspect.signature(task).parameters if name != "options"]
    for option in options:
        if option not in allowed:
            raise unknown(f"option of task {task.__name__!r}", option, allowed)
    return task(**options)


def _named_class(reference: str) -> type[Task]:
    module_name, _, class_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"task {reference!r}: {error}") from None
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise unknown(f"task class in {module_name}", class_name, _tasks_in(module))
    return found


def _module_from(path: Path) -> ModuleType:
    """Import the file at `path` under a name of its own, once."""
    if not path.is_file():
        raise UserError(f"the task file {path} does not exist")
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"sim2real_task_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"the task file {path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _tasks_in(module: ModuleType) -> dict[str, type[Task]]:
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Task)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }


def _only_task(module: ModuleType) -> type[Task]:
    tasks = _tasks_in(module)
    if len(tasks) != 1:
        names = ", ".join(tasks) or "none"
        raise UserError(f"{module.__file__} must define one Task, it defines {names}")
    return next(iter(tasks.values()))
