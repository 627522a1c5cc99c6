"""Packages that only an extra installs: [logs], [export]."""

from __future__ import annotations

import importlib
from typing import Any

from sim2real.errors import UserError


def needed(module: str, what: str, extra: str) -> Any:
    """A module of the `extra`; UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(
            f"{what} needs the package {package}: python -m pip install 'sim2real[{extra}]'"
        ) from None
