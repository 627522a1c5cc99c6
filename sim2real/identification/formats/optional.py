"""Packages that only some formats need."""

from __future__ import annotations

import importlib
from typing import Any

from sim2real.errors import UserError


def needed(module: str, what: str) -> Any:
    """A module of the extra [logs]; UserError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise UserError(
            f"{what} needs the package {package}: python -m pip install 'sim2real[logs]'"
        ) from None
