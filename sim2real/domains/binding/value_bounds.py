"""Refuse a range with values that a quantity cannot have."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.model_fields.table import ModelField
from sim2real.domains.writes import Operation
from sim2real.task import Array


def reached(operation: Operation, distribution: Distribution, nominal: Array) -> Array:
    """The values that an operation makes of `nominal` (...,) at the ends of a range, (..., 2)."""
    ends = np.array(distribution.support)
    with np.errstate(invalid="ignore"):
        values: Array = {
            "scale": nominal[..., None] * ends,
            "add": nominal[..., None] + ends,
            "set": np.broadcast_to(ends, (*nominal.shape, 2)),
        }[operation]
    return values


def out_of_bounds(
    field: ModelField,
    component: str | None,
    operation: Operation,
    distribution: Distribution,
    nominal: Array,
) -> str:
    """The fault of the values that a parameter reaches from `nominal`; empty if there is none."""
    default = (field.at_least, np.inf)
    name = component or next((n for n, c in field.components.items() if c in _first(field)), "")
    low, high = field.bounds.get(name, default)
    values = reached(operation, distribution, nominal)
    if field.keeps_sign and not (values * nominal[..., None] > 0).all():
        worst = float(values[~(values * nominal[..., None] > 0)][0])
        return _message(field, operation, distribution, worst, "keep the sign of the nominal value")
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    if (lowest <= low if field.open_bound else lowest < low) and np.isfinite(low):
        bound = f"be {'greater than' if field.open_bound else 'at least'} {low:.3g}"
        return _message(field, operation, distribution, lowest, bound)
    if highest > high:
        return _message(field, operation, distribution, highest, f"be at most {high:.3g}")
    return ""


def crossed(
    operation: Operation, distribution: Distribution, pair: Array, columns: Sequence[int]
) -> str:
    """The fault of a range, `pair` (..., 2), of which one draw changes `columns`; empty if none."""
    ends = np.repeat(pair[..., None], 2, axis=-1)
    ends[..., columns, :] = reached(operation, distribution, pair[..., columns])
    lower, upper = ends[..., 0, :], ends[..., 1, :]
    if not (lower > upper).any():
        return ""
    worst = np.argwhere(lower > upper)[0]
    low, high = lower[tuple(worst)], upper[tuple(worst)]
    return f"{operation}: {distribution.describe()} reaches a range from {low:g} to {high:g}"


def _first(field: ModelField) -> tuple[int, ...]:
    return field.columns or ()


def _message(
    field: ModelField, operation: Operation, distribution: Distribution, value: float, bound: str
) -> str:
    hint = "; use truncated_normal" if np.isinf(value) else ""
    return (
        f"{operation}: {distribution.describe()} reaches {value:g}; {field.name} must {bound}{hint}"
    )
