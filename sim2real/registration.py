"""The shipped tasks by name, and their Gymnasium ids, without importing either.

They are registered when Gymnasium is imported, so that `import sim2real` does not need it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ENVS = Path(__file__).resolve().parent / "envs"
GYMNASIUM = "gymnasium"


def task_names() -> list[str]:
    """The names of the tasks that are shipped."""
    return sorted(path.stem for path in ENVS.glob("*.py") if not path.stem.startswith("_"))


def gymnasium_ids() -> dict[str, str]:
    """Gymnasium id -> task name, without importing the tasks: hopper is "sim2real/Hopper-v0"."""
    return {f"sim2real/{_camel(name)}-v0": name for name in task_names()}


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def register_tasks(entry_point: str, vector_entry_point: str) -> None:
    """Make `gym.make("sim2real/Hopper-v0", domain=...)` and `gym.make_vec` know every task.

    The entry points are "module:Class", of one environment and of several.
    """

    def register(gymnasium: ModuleType) -> None:
        for gymnasium_id, task in gymnasium_ids().items():
            if gymnasium_id not in gymnasium.registry:
                gymnasium.register(
                    gymnasium_id,
                    entry_point=entry_point,
                    vector_entry_point=vector_entry_point,
                    kwargs={"task": task},
                )

    if GYMNASIUM in sys.modules:
        register(sys.modules[GYMNASIUM])
    else:
        sys.meta_path.insert(0, _WhenImported(register))


class _WhenImported(MetaPathFinder):
    """Calls `register` with Gymnasium behind its first import."""

    def __init__(self, register: Callable[[ModuleType], None]) -> None:
        self._register = register

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of Gymnasium, whose execution ends with the registration."""
        if name != GYMNASIUM:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._register(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
