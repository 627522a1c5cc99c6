"""What an identification rests on, for its report: predictions, residuals, ranges, checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sim2real.identification.checks import check_log_alone
from sim2real.identification.family import Family
from sim2real.identification.log import Log
from sim2real.identification.parts import Part, parts_of, size
from sim2real.identification.posterior import Posterior
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.replay import Windows
from sim2real.learning.adaptive.space import share_of
from sim2real.task import Array, IntArray, units_of


@dataclass(frozen=True)
class Evidence:
    """Predictions and residuals of k channels, with the d unknowns in their ranges.

    Held-out windows: `starts` (w,), in s of log, and `measured`, `nominal` and `identified`
    (w, rows, k), what was read and what the two worlds predict, in units of the channels. Windows
    that were fitted: `times` (f,) and `residuals` (f, k), root mean squares as shares of a
    channel's change in a step; `parts` gives the same by the part of the motion, all steps first.
    `shares` has, by unknown, the places of the nominal value, the ends of the 90 % interval and the
    estimate in the prior, from 0 to 1; `ranges` the ends of the prior; `correlation` is (d, d).
    `findings` are what the checks of the log found, a sentence each.
    """

    task: str
    family: str
    dt: float
    names: tuple[str, ...]
    units: tuple[str, ...]
    starts: Array
    measured: Array
    nominal: Array
    identified: Array
    times: Array
    residuals: Array
    parts: tuple[Part, ...]
    shares: dict[str, tuple[float, float, float, float]]
    ranges: dict[str, tuple[float, float]]
    correlation: Array
    findings: tuple[str, ...]


def evidence_of(
    problem: Problem,
    held_out: Problem,
    predicted: Sequence[Fit],
    fit: Fit,
    posterior: Posterior,
    values: Mapping[str, Sequence[float]],
    logs: Sequence[Log],
    starts: IntArray,
) -> Evidence:
    """The evidence of a `fit`; `predicted` are the held-out windows in nominal and fitted world.

    `values` has, by unknown, the nominal value, the ends of the 90 % interval and the estimate;
    `starts` the rows where episodes begin, and the number of rows.
    """
    replay, channels = problem.replay, problem.channels
    used, dt = channels.used, replay.dt
    measured = held_out.windows.observations[:, :, used]
    nominal, identified = (measured - one.residuals * channels.scale[used] for one in predicted)
    family = replay.family
    return Evidence(
        task=replay.task.name,
        family=family.domain.name,
        dt=dt,
        names=tuple(name for name, one in zip(channels.names, used, strict=True) if one),
        units=tuple(unit for unit, one in zip(units_of(replay.sensed), used, strict=True) if one),
        starts=_seconds(held_out.windows, dt),
        measured=measured,
        nominal=nominal,
        identified=identified,
        times=_seconds(problem.windows, dt),
        residuals=size(fit.residuals[:, 1:], (1,)),
        parts=parts_of(problem, fit, starts),
        shares={name: _places(family, name, own) for name, own in values.items()},
        ranges=dict(zip(family.names, [base.support for base in family.space.bases], strict=True)),
        correlation=posterior.correlation,
        findings=tuple(str(one) for log in logs for one in check_log_alone(log)),
    )


def behind(windows: Windows, rows: int) -> Windows:
    """The windows of a log that follows `rows` of others."""
    return replace(windows, first=windows.first + rows)


def _seconds(windows: Windows, dt: float) -> Array:
    """When the windows begin, in s of log, (w,)."""
    found: Array = np.asarray(windows.first * dt, dtype=np.float64)
    return found


def _places(
    family: Family, name: str, values: Sequence[float]
) -> tuple[float, float, float, float]:
    """The four values of an unknown as shares of its prior."""
    base = family.space.bases[family.names.index(name)]
    nominal, low, high, value = share_of(base, np.array(values)).tolist()
    return nominal, low, high, value
