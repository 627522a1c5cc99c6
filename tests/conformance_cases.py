"""What of the suites over everything that is shipped runs in the fast suite; the rest is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sim2real.domains import domain_names
from sim2real.registry import task_names

WIDEST = ("randomized", "hard")
"""The source, which draws all that a task varies, and the target that is furthest from nominal."""


def slow_unless(fast: bool, *case: Any) -> Any:
    """A case of a parametrized test, marked slow unless it is one of the fast ones."""
    return pytest.param(*case, marks=() if fast else pytest.mark.slow)


def in_turn(rows: Sequence[Any], columns: Sequence[Any], every: int) -> set[tuple[Any, Any]]:
    """Pairs of a row and a column: each row with one of `every` columns, and the reverse."""
    return {
        (row, column)
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
        if (i + j) % every == 0
    }


LARGE = ("humanoid", "quadruped")
"""Tasks whose audit of the source takes ten seconds: that of the furthest target is fast."""


LIKE_ANOTHER = ("ant", "arm_reach", "walker2d")
"""Tasks whose audit takes long, and that resemble another task: it is slow."""


def is_audited(task: str, domain: str) -> bool:
    """Whether the fast suite audits the domain; of the other widest ones it tries the physics."""
    return domain == WIDEST[task in LARGE] and task not in LIKE_ANOTHER


ALL = [(task, domain) for task in task_names() for domain in domain_names(task)]
"""Every task with every domain beside it."""
AUDITED = [slow_unless(is_audited(*case), *case) for case in ALL]
"""All of them; one of the two widest of most tasks is fast."""
TRIED = [slow_unless(case[1] in WIDEST and not is_audited(*case), *case) for case in ALL]
"""All of them; those of the two widest of each task that are not audited are fast."""
