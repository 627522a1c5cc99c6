"""The common parts of the pages of studies: their templates, and the filters for intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim2real.evaluation import page
from sim2real.studies.report.formats import (
    SCRATCH,
    bounds_text,
    budget_text,
    budgets_text,
    cell,
    column,
    differences,
    in_row,
    label,
    oracle_text,
    scale,
    scores,
    text,
)

if TYPE_CHECKING:
    from sim2real.domains import Domain

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **data: Any) -> str:
    """A template of this package, filled in; HTML is escaped."""
    filters: dict[str, Callable[..., Any]] = {
        "text": text,
        "bounds": bounds_text,
        "budget": budget_text,
        "budgets": budgets_text,
        "oracle": oracle_text,
        "cell": cell,
        "scale": scale,
        "column": column,
        "differences": differences,
        "scores": scores,
        "label": label,
        "in_row": in_row,
    }
    return page.render(TEMPLATES, template, filters, {"scratch": SCRATCH, **data})


def words(domain: Domain) -> dict[str, Any]:
    """A domain in words, as the pages show it."""
    return {"about": domain.about, "parameters": domain.describe()}
