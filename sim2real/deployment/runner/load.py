"""The robot that a command line names: a class in a file of the user's own, or a built-in one."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from sim2real.deployment.runner.interface import Contract, Interface
from sim2real.deployment.runner.ros2 import RosRobot
from sim2real.deployment.runner.udp import UdpRobot
from sim2real.errors import UserError, unknown

BUILT_IN: dict[str, Callable[[Contract, str], Interface]] = {"udp": UdpRobot, "ros2": RosRobot}
"""Interfaces by name; behind a colon stands their argument, as in udp:127.0.0.1:9870."""


def load_interface(reference: str, contract: Contract) -> Interface:
    """The robot that "my_robot.py", "my_robot.py:Class" or "udp:HOST:PORT" names.

    A file is imported: it is the user's own code. Raises UserError if it is not there, or has not
    one class with the three methods, or if the file or the class raises an error.
    """
    name, _, rest = reference.partition(":")
    if name in BUILT_IN:
        return BUILT_IN[name](contract, rest)
    file, _, kind = reference.rpartition(":") if ".py:" in reference else (reference, "", "")
    if not file.endswith(".py"):
        raise unknown("interface", reference, [*BUILT_IN, "FILE.py", "FILE.py:Class"])
    return _made(_class(_imported(Path(file).expanduser()), kind), contract)


def _imported(file: Path) -> ModuleType:
    try:
        found = file.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise UserError(f"{str(file)[:200]!r} does not exist; allowed: the Python file of a robot")
    spec = importlib.util.spec_from_file_location(f"sim2real_robot_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(file.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(file.resolve().parent))
    return module


def _class(module: ModuleType, name: str) -> type:
    found = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and all(callable(getattr(value, method, None)) for method in ("read", "write", "stop"))
    }
    if name and name not in found:
        raise unknown(f"class with read, write and stop in {module.__file__}", name, found)
    if not name and len(found) != 1:
        names = ", ".join(found) or "none"
        raise UserError(
            f"{module.__file__} must have one class with read, write and stop, it has {names}; "
            "FILE.py:Class names one of several"
        )
    return found[name or next(iter(found))]


def _made(kind: Callable[..., Any], contract: Contract) -> Interface:
    takes = len(inspect.signature(kind).parameters)
    try:
        return cast(Interface, kind(contract) if takes else kind())
    except UserError:
        raise
    except Exception as error:
        name = getattr(kind, "__name__", kind)
        raise UserError(f"{name} cannot be made: {type(error).__name__}: {error}") from error
