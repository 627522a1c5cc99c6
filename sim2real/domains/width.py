"""How wide a domain is: the same domain with ranges that are a factor as wide."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sim2real.config import parse
from sim2real.domains.distributions.distribution import (
    Beta,
    Choice,
    Constant,
    Distribution,
    LogUniform,
    Normal,
    ShiftedLogUniform,
    TruncatedNormal,
    Uniform,
    Within,
)
from sim2real.domains.domain import Domain
from sim2real.domains.entries.entry import Dynamics, Entry
from sim2real.errors import UserError


def widened(domain: Domain, width: float) -> Domain:
    """The domain with every drawn value `width` times as far from what is nominal.

    Nominal is what changes nothing: scale 1, add 0, the identity of an imperfection. What has none
    (what is set, limits, rates, the control period) moves from the median of its range. So a width
    of 1 is the domain itself, and one of 0 has no ranges. Constants stay.

    Raises UserError for a domain without ranges, and where a wider one has impossible values.
    """
    if width == 1.0:
        return domain
    where = f"domain {domain.name!r} at width {width:g}"
    try:
        update = _wider(domain, width)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: {error}") from None
    if all(getattr(domain, name) == value for name, value in update.items()):
        raise UserError(f"domain {domain.name!r} draws nothing from a range, so it has no width")
    about = f"The domain {domain.name!r} with ranges {width:g} times as wide."
    wide = domain.model_copy(
        update={"name": f"{domain.name}-width-{width:g}", "about": about, **update}
    )
    return parse(Domain, {**wide.plain(), "name": wide.name}, where)


def _wider(domain: Domain, width: float) -> dict[str, Any]:
    """The parts of the domain that have distributions, with wider ones."""
    update: dict[str, Any] = {
        section: tuple(_widened(entry, width) for entry in getattr(domain, section))
        for section in ("dynamics", "actuation", "sensing", "disturbances")
    }
    if domain.control_period is not None:
        update["control_period"] = scaled(domain.control_period, None, width)
    return update


def _widened(entry: Dynamics | Entry, width: float) -> Dynamics | Entry:
    found = entry.drawn_from(scaled(entry.distribution, entry.identity, width))
    jitter = getattr(found, "jitter", None)
    return (
        found if jitter is None else found.model_copy(update={"jitter": scaled(jitter, 0.0, width)})
    )


def scaled(distribution: Distribution, centre: float | None, factor: float) -> Distribution:
    """The distribution of centre + factor (v - centre), of draws v; None is the median as centre.

    Of a log-uniform v about a positive centre it is that of centre (v / centre)^factor. A constant
    stays as it is.

    >>> scaled(Uniform(0.8, 1.4), 1.0, 0.5), scaled(LogUniform(0.25, 4.0), 1.0, 0.5)
    (Uniform(low=0.9, high=1.2), LogUniform(low=0.5, high=2.0))
    """
    if isinstance(distribution, Constant):
        return distribution
    if centre is None:
        centre = float(distribution.quantile(np.array(0.5)))
    if factor == 0:
        return Constant(centre)
    return _scaled(distribution, centre, factor)


def _scaled(distribution: Distribution, centre: float, factor: float) -> Distribution:
    def moved(value: float) -> float:
        return centre + factor * (value - centre)

    match distribution:
        case Uniform(low, high):
            return Uniform(moved(low), moved(high))
        case LogUniform(low, high) if centre > 0:
            return LogUniform(*(centre * (end / centre) ** factor for end in (low, high)))
        case LogUniform(low, high):
            return LogUniform(moved(low), moved(high))
        case ShiftedLogUniform(low, high, shift):
            return ShiftedLogUniform(moved(low), moved(high), factor * shift)
        case Normal(mean, std):
            return Normal(moved(mean), factor * std)
        case TruncatedNormal(mean, std, low, high):
            return TruncatedNormal(moved(mean), factor * std, moved(low), moved(high))
        case Beta(a, b, low, high):
            return Beta(a, b, moved(low), moved(high))
        case Choice(values):
            return Choice(tuple(moved(value) for value in values))
        case Within(base, _):
            return dataclasses.replace(distribution, base=_scaled(base, centre, factor))
    raise TypeError(f"no distribution: {distribution!r}")
