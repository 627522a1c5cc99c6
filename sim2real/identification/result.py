"""What an identification found: two domains, a table, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sim2real import files
from sim2real.domains import Domain
from sim2real.domains.distributions.correlation import Correlated
from sim2real.domains.distributions.distribution import (
    Constant,
    Distribution,
    TruncatedNormal,
)
from sim2real.domains.domain import dump_domains
from sim2real.identification.evidence import Evidence
from sim2real.identification.family import Family
from sim2real.identification.posterior import Misfit, Posterior
from sim2real.identification.problem import Fit
from sim2real.identification.residual import Residual
from sim2real.identification.score import Missing
from sim2real.task import Array, BoolArray

IDENTIFIED, POSTERIOR = "identified", "posterior"
NORMAL_90 = 1.6448536269514722
"""Standard deviations to either side that hold 90 % of a normal distribution."""
BOUNDARY = 0.01
"""Share of a range next to its ends that counts as its boundary."""
UNKNOWN_STD = 0.2
"""Standard deviation of a share from which the log says hardly more than the prior, 0.29."""
HARDLY_BETTER = 0.5
"""Share of the nominal world's error, above which the identified one is hardly better."""
LARGEST_CORRELATION = 0.999

Status = Literal["identified", "at the boundary of its range", "hardly determined", "no effect"]


@dataclass(frozen=True)
class Row:
    """One unknown: its nominal and its identified value, and the interval of 90 %."""

    name: str
    nominal: float
    value: float
    low: float
    high: float
    std: float
    status: Status


@dataclass(frozen=True)
class Best:
    """The best fit of a problem, with the posterior and the misfit at it."""

    fit: Fit
    posterior: Posterior
    misfit: Misfit


@dataclass(frozen=True)
class Validation:
    """Prediction errors on windows that were held out: of the nominal and of the identified world.

    The median over windows and channels of the error relative to a channel's change in a step,
    after one control step and at the end of a window of `steps`.
    """

    steps: int
    windows: int
    one_step_nominal: float
    one_step: float
    many_steps_nominal: float
    many_steps: float

    @property
    def failed(self) -> bool:
        """Whether the identified world predicts hardly better than the nominal one."""
        return self.many_steps > HARDLY_BETTER * self.many_steps_nominal


@dataclass(frozen=True)
class Identification:
    """The result of `identify`.

    `domain` has a constant for each unknown: the best estimate, and the noise that the sensors
    showed. `posterior` has a distribution for each, correlated where they are known in combination.
    `notes` are what a user has to know, a sentence each. `steps` are those of the log,
    `simulated_steps` and `seconds` the price. `missing` are the entries whose addition
    to the family explains most of what it does not explain, the best first. `residual` are forces
    that were fitted to that, if this was asked for. `evidence` is what the report shows.
    `together` are the unknowns of which the log shows the proportions only.
    """

    domain: Domain
    posterior: Domain
    table: tuple[Row, ...]
    misfit: Misfit
    validation: Validation
    notes: tuple[str, ...]
    steps: int
    simulated_steps: int
    seconds: float
    evidence: Evidence
    missing: tuple[Missing, ...] = ()
    residual: Residual | None = None
    together: tuple[str, ...] = ()

    @property
    def explained(self) -> bool:
        """Whether the family explains the log down to its noise."""
        return not self.misfit.noticed

    def plain(self) -> dict[str, Any]:
        """The result as JSON, without the domains."""
        misfit = {
            name: one.tolist() if isinstance(one, np.ndarray) else one
            for name, one in vars(self.misfit).items()
        }
        return {
            "steps": self.steps,
            "simulated_steps": self.simulated_steps,
            "seconds": self.seconds,
            "table": [asdict(row) for row in self.table],
            "explained": self.explained,
            "sentence": self.misfit.sentence,
            "noticed": list(self.misfit.noticed),
            "misfit": misfit,
            "parts": [
                {"name": one.name, "share": one.share, "residual": one.residual.tolist()}
                for one in self.evidence.parts
            ],
            "missing": [asdict(one) for one in self.missing],
            "residual": None if self.residual is None else asdict(self.residual),
            "validation": asdict(self.validation),
            "notes": list(self.notes),
        }

    def save(self, folder: Path | str) -> Path:
        """Write identified.yaml into `folder`; its domains are `identified` and `posterior`.

        `load_domain(task, "FOLDER/identified.yaml:identified")` reads it. Returns the file.
        """
        path = files.user_path(folder) / "identified.yaml"
        domains = {IDENTIFIED: self.domain, POSTERIOR: self.posterior}
        files.write_text(path, dump_domains(domains))
        return path

    def page(self) -> str:
        """The report as one HTML page, figures inside: what was found, and how well it is known."""
        from sim2real.identification.report import page

        return page(self.plain(), self.evidence)

    def pictures(self) -> dict[str, bytes]:
        """Three figures of the page as PNG files, by name."""
        from sim2real.identification.report import pictures

        return pictures(self.plain(), self.evidence)


def rows_of(family: Family, posterior: Posterior, effective: BoolArray) -> tuple[Row, ...]:
    """The table of all unknowns; those that are not `effective` (d,) keep the nominal value."""
    std = posterior.std
    ends = [posterior.mean - NORMAL_90 * std, posterior.mean, posterior.mean + NORMAL_90 * std]
    low, value, high = family.values(np.clip(ends, 0.0, 1.0))
    value = family.rounded(value)
    rounding = np.where(family.is_delay, family.timestep, 0.0)
    spread = np.hypot(value_std(family, posterior), rounding / np.sqrt(12.0))
    return tuple(
        Row(
            name=name,
            nominal=float(family.nominal_values[k]),
            value=float(value[k] if effective[k] else family.nominal_values[k]),
            low=float(min(low[k], max(value[k] - 0.5 * rounding[k], base.support[0]))),
            high=float(max(high[k], value[k] + 0.5 * rounding[k])),
            std=float(spread[k]),
            status=_status(bool(effective[k]), posterior.mean[k], family.nominal[k], std[k]),
        )
        for k, (name, base) in enumerate(zip(family.names, family.space.bases, strict=True))
    )


def value_std(family: Family, posterior: Posterior) -> Array:
    """Standard deviations of the values, (d,), from those of the shares."""
    half = 0.5 * np.minimum(posterior.std, 0.5)
    low, high = np.clip([posterior.mean - half, posterior.mean + half], 0.0, 1.0)
    ends = family.values(np.stack([low, high]))
    widths = np.maximum(high - low, 1e-12)
    std: Array = (ends[1] - ends[0]) / widths * posterior.std
    return std


def _status(effective: bool, share: float, nominal: float, std: float) -> Status:
    if not effective:
        return "no effect"
    if not BOUNDARY <= share <= 1 - BOUNDARY and abs(share - nominal) > BOUNDARY:
        return "at the boundary of its range"  # the prior would keep it away from there
    return "hardly determined" if std > UNKNOWN_STD else "identified"


def point_domain(family: Family, table: tuple[Row, ...], noise: Mapping[str, float]) -> Domain:
    """The domain `identified`: each unknown at its value, with the noise of the observed terms."""
    constants: dict[str, Distribution] = {row.name: Constant(row.value) for row in table}
    return with_noise(family.with_distributions(constants, IDENTIFIED), noise)


def posterior_domain(
    family: Family, table: tuple[Row, ...], posterior: Posterior, noise: Mapping[str, float]
) -> Domain:
    """The domain `posterior`: each unknown from a normal distribution within its range, correlated.

    What the log does not determine keeps its range.
    """
    known = [row.status not in ("no effect", "hardly determined") for row in table]
    distributions: dict[str, Distribution] = {
        row.name: _normal(row, base)
        for row, base, one in zip(table, family.space.bases, known, strict=True)
        if one
    }
    domain = with_noise(family.with_distributions(distributions, POSTERIOR), noise)
    return domain.model_copy(update={"correlated": _correlated(posterior, np.array(known))})


def _normal(row: Row, base: Distribution) -> Distribution:
    low, high = base.support
    if not (np.isfinite(low) and np.isfinite(high)):
        low, high = row.value - 8 * row.std, row.value + 8 * row.std
    return TruncatedNormal(min(max(row.value, low), high), row.std, low, high)


def _correlated(posterior: Posterior, known: BoolArray) -> tuple[Correlated, ...]:
    names = [name for name, one in zip(posterior.names, known, strict=True) if one]
    if len(names) < 2:
        return ()
    matrix = posterior.correlation[np.ix_(known, known)]
    shrunk = np.round(LARGEST_CORRELATION * 0.5 * (matrix + matrix.T), 6)
    np.fill_diagonal(shrunk, 1.0)
    rows = tuple(tuple(row) for row in shrunk.tolist())
    return (Correlated(parameters=tuple(names), correlation=rows),)


def with_noise(domain: Domain, noise: Mapping[str, float]) -> Domain:
    """The domain with normal noise on observation terms, by their standard deviations."""
    entries = [{"noise": {"normal": [0.0, std]}, "of": term} for term, std in noise.items() if std]
    added = Domain(sensing=entries).sensing  # type: ignore[arg-type]
    return domain.model_copy(update={"sensing": (*domain.sensing, *added)})
