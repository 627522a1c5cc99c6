"""What of the suites over everything that is shipped runs in the fast suite; the rest is slow."""

from __future__ import annotations

from typing import Any

import pytest

from sim2real.domains import domain_names
from sim2real.registry import task_names

WIDEST = ("randomized", "hard")
"""The source, which draws all that a task varies, and the target that is furthest from nominal."""


def slow_unless(fast: bool, *case: Any) -> Any:
    """A case of a parametrized test, marked slow unless it is one of the fast ones."""
    return pytest.param(*case, marks=() if fast else pytest.mark.slow)


DOMAINS = [
    slow_unless(domain in WIDEST, task, domain)
    for task in task_names()
    for domain in domain_names(task)
]
"""Every task with every domain beside it; the widest are fast."""
