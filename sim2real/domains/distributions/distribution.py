"""Distributions of one number, each as its quantile function.

A draw is `distribution.quantile(u)` with u uniform in [0, 1): every distribution takes exactly one
uniform number, so that changing one parameter of a domain leaves the draws of the others alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, PlainSerializer
from scipy.special import betaincinv, ndtr, ndtri

from sim2real.errors import brief, unknown

Array = NDArray[np.float64]

SMALLEST, LARGEST = 1e-20, 1e20
"""Magnitudes of the numbers of a distribution that are not 0."""
LARGEST_SHAPE = 1e6
"""The largest shape of a beta: its quantiles beyond are wrong, or no numbers at all."""


class Distribution(Protocol):
    """A distribution of one number."""

    @property
    def support(self) -> tuple[float, float]:
        """Smallest and largest value that can be drawn."""

    def quantile(self, u: Array) -> Array:
        """Values at the probabilities `u` in [0, 1); same shape."""

    def describe(self) -> str:
        """The distribution in one phrase."""


class Numbers:
    """A distribution given by numbers, which are checked; one with `low` and `high` is a range."""

    def __post_init__(self) -> None:
        given = {one.name: getattr(self, one.name) for one in fields(self)}  # type: ignore[arg-type]
        _sound(*np.ravel([*given.values()]).tolist())
        if "low" in given:
            _ordered(given["low"], given["high"])
        if given.get("std", 0.0) < 0:
            raise ValueError(f"a standard deviation must not be negative, got {given['std']:g}")
        self._check()

    def _check(self) -> None:
        """Refuse numbers that contradict each other. By default none."""

    @property
    def support(self) -> tuple[float, float]:
        """The two ends of the range."""
        return self.low, self.high  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Constant(Numbers):
    """Always `value`."""

    value: float

    @property
    def support(self) -> tuple[float, float]:
        """The value, twice."""
        return self.value, self.value

    def quantile(self, u: Array) -> Array:
        """`value` everywhere."""
        return np.full_like(u, self.value)

    def describe(self) -> str:
        """The number."""
        return f"{self.value:g}"


@dataclass(frozen=True)
class Uniform(Numbers):
    """Uniform between `low` and `high`."""

    low: float
    high: float

    def quantile(self, u: Array) -> Array:
        """Linear between the ends."""
        return self.low + (self.high - self.low) * u

    def describe(self) -> str:
        """The range."""
        return f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class LogUniform(Numbers):
    """Uniform in the logarithm, between `low` and `high`, both positive."""

    low: float
    high: float

    def _check(self) -> None:
        if self.low <= 0:
            raise ValueError(f"a log_uniform range must be positive, got {self.low:g}")

    def quantile(self, u: Array) -> Array:
        """Geometric between the ends."""
        return self.low * (self.high / self.low) ** u

    def describe(self) -> str:
        """The range."""
        return f"{self.low:g} to {self.high:g} (log-uniform)"


@dataclass(frozen=True)
class ShiftedLogUniform(Numbers):
    """Uniform in the logarithm of the value plus `shift`, between `low` and `high`.

    The scale is logarithmic well above `shift` and linear well below it: for a quantity that may be
    0, or of any order of magnitude.
    """

    low: float
    high: float
    shift: float

    def _check(self) -> None:
        if self.low + self.shift <= 0:
            raise ValueError(
                "the low end plus the shift of a shifted_log_uniform must be positive, got "
                f"{self.low:g} plus {self.shift:g}"
            )

    def quantile(self, u: Array) -> Array:
        """Geometric between the shifted ends."""
        first, last = self.low + self.shift, self.high + self.shift
        value: Array = self.low + first * np.expm1(u * np.log(last / first))
        clipped: Array = np.clip(value, self.low, self.high)
        return clipped

    def describe(self) -> str:
        """The range and the shift."""
        return f"{self.low:g} to {self.high:g} (log-uniform, shifted by {self.shift:g})"


@dataclass(frozen=True)
class Normal(Numbers):
    """Normal with mean and standard deviation."""

    mean: float
    std: float

    @property
    def support(self) -> tuple[float, float]:
        """Unbounded, unless the standard deviation is 0."""
        return (self.mean, self.mean) if self.std == 0 else (-np.inf, np.inf)

    def quantile(self, u: Array) -> Array:
        """The inverse normal distribution function, of u, which is at least half a float's step."""
        return self.mean + self.std * ndtri(np.maximum(u, 2.0**-54))

    def describe(self) -> str:
        """Mean and standard deviation."""
        return f"{self.mean:g} ± {self.std:g}"


@dataclass(frozen=True)
class TruncatedNormal(Numbers):
    """Normal with mean and standard deviation, cut off outside [low, high]."""

    mean: float
    std: float
    low: float
    high: float

    def _check(self) -> None:
        if not self.low <= self.mean <= self.high:
            raise ValueError(f"the mean {self.mean:g} must lie in [{self.low:g}, {self.high:g}]")

    def quantile(self, u: Array) -> Array:
        """The inverse normal distribution function, on the probabilities between the cuts."""
        if self.std == 0:
            return np.full_like(u, self.mean)
        low, high = ndtr((np.array([self.low, self.high]) - self.mean) / self.std)
        value = self.mean + self.std * ndtri(low + (high - low) * u)
        clipped: Array = np.clip(value, self.low, self.high)
        return clipped

    def describe(self) -> str:
        """Mean, standard deviation and cuts."""
        return f"{self.mean:g} ± {self.std:g} within {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Choice(Numbers):
    """One of `values`, each as likely."""

    values: tuple[float, ...]

    def _check(self) -> None:
        if not self.values:
            raise ValueError("a choice needs at least one value")

    @property
    def support(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return min(self.values), max(self.values)

    def quantile(self, u: Array) -> Array:
        """The values in their order, at equal shares of [0, 1)."""
        index = np.minimum((u * len(self.values)).astype(np.intp), len(self.values) - 1)
        return np.array(self.values)[index]

    def describe(self) -> str:
        """The values."""
        return " or ".join(f"{value:g}" for value in self.values)


@dataclass(frozen=True)
class Beta(Numbers):
    """Beta with the shapes `a` and `b`, stretched from [0, 1] to [low, high]."""

    a: float
    b: float
    low: float
    high: float

    def _check(self) -> None:
        if not (0 < self.a <= LARGEST_SHAPE and 0 < self.b <= LARGEST_SHAPE):
            raise ValueError(
                f"a beta's shapes must be positive and at most {LARGEST_SHAPE:g}, got {self.a:g} "
                f"and {self.b:g}"
            )

    def quantile(self, u: Array) -> Array:
        """The inverse regularized incomplete beta function, stretched."""
        value: Array = self.low + (self.high - self.low) * betaincinv(self.a, self.b, u)
        return value

    def describe(self) -> str:
        """The range and the shapes."""
        return f"{self.low:g} to {self.high:g} (beta {self.a:g}, {self.b:g})"


@dataclass(frozen=True)
class Within:
    """The part of `base` that `share`, a distribution on [0, 1], draws of its probability.

    With v drawn from `share` the value is `base.quantile(v)`: a share uniform on [0, 1] leaves
    `base` as it is, one uniform on [0.25, 0.75] gives its middle half, and all others weigh it.
    """

    base: Distribution
    share: Distribution

    def __post_init__(self) -> None:
        if isinstance(self.base, Choice):
            raise ValueError("a choice has no order, so no part of it can be taken")
        low, high = self.share.support
        if low < 0 or high > 1:
            raise ValueError(f"a share must lie within 0 to 1, got {self.share.describe()}")

    @property
    def support(self) -> tuple[float, float]:
        """The base's quantiles at the ends of the share."""
        low, high = np.clip(self.base.quantile(np.array(self.share.support)), *self.base.support)
        return float(low), float(high)

    def quantile(self, u: Array) -> Array:
        """The base's quantiles at the share's."""
        return self.base.quantile(self.share.quantile(u))

    def describe(self) -> str:
        """The base, and the part of it."""
        return f"{self.base.describe()}, of which {self.share.describe()}"


_FORMS: dict[str, tuple[type, int]] = {
    "uniform": (Uniform, 2),
    "log_uniform": (LogUniform, 2),
    "shifted_log_uniform": (ShiftedLogUniform, 3),
    "normal": (Normal, 2),
    "truncated_normal": (TruncatedNormal, 4),
    "beta": (Beta, 4),
}
_NAMES = (*_FORMS, "choice", "within")


def parse_distribution(data: Any) -> Distribution:
    """A distribution from plain data: a number, {name: [numbers]}, or {within: [base, share]}.

    Raises ValueError (UserError for an unknown name), with what is wrong.
    """
    if isinstance(data, (Numbers, Within)):
        return data  # type: ignore[return-value]
    if not isinstance(data, dict):
        return Constant(_number(data))
    if len(data) != 1:
        raise ValueError(f"expected one distribution, got {brief(data)}")
    name, values = next(iter(data.items()))
    if name not in _NAMES:
        raise unknown("distribution", name, _NAMES)
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"{name} takes a list of numbers, got {brief(values)}")
    if name == "within":
        if len(values) != 2:
            raise ValueError(f"within takes two distributions, got {len(values)}")
        return Within(*(parse_distribution(value) for value in values))
    numbers = tuple(_number(value) for value in values)
    if name == "choice":
        return Choice(numbers)
    form, count = _FORMS[name]
    if len(numbers) != count:
        raise ValueError(f"{name} takes {count} numbers, got {len(numbers)}")
    distribution: Distribution = form(*numbers)
    return distribution


def plain_distribution(distribution: Any) -> Any:
    """The plain data that `parse_distribution` makes `distribution` from."""
    if isinstance(distribution, Constant):
        return distribution.value
    if isinstance(distribution, Choice):
        return {"choice": list(distribution.values)}
    if isinstance(distribution, Within):
        return {
            "within": [
                plain_distribution(distribution.base),
                plain_distribution(distribution.share),
            ]
        }
    name = next(name for name, (form, _) in _FORMS.items() if isinstance(distribution, form))
    return {name: list(astuple(distribution))}


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise ValueError(f"expected a number, got {brief(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"expected a finite number, got {brief(value)}") from None


def _sound(*numbers: float) -> None:
    """Refuse numbers that overflow in squares, quotients and fifth powers of the simulation."""
    for number in numbers:
        if not math.isfinite(number):
            raise ValueError(f"expected a finite number, got {number}")
        if number and not SMALLEST <= abs(number) <= LARGEST:
            allowed = f"0, or {SMALLEST:g} to {LARGEST:g} and their negatives"
            raise ValueError(f"the number {number:g} is absurd; allowed: {allowed}")


def _ordered(low: float, high: float) -> None:
    if low > high:
        raise ValueError(
            f"the range [{low:g}, {high:g}] is inverted; did you mean [{high:g}, {low:g}]?"
        )


_parse: Callable[[Any], Any] = parse_distribution
DistributionField = Annotated[
    Any, BeforeValidator(_parse), PlainSerializer(plain_distribution, return_type=Any)
]
"""A pydantic field that holds a distribution and is written as plain data."""
