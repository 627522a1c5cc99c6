"""The values that an option may have in a search, in the words of domain files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sim2real.domains.distributions.distribution import LogUniform, Uniform, parse_distribution
from sim2real.errors import UserError, brief, unknown

WORDS = ("uniform", "log_uniform", "choice")


@dataclass(frozen=True)
class Space:
    """What is searched of one option: a range, or a choice of values of any type (`choices`)."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def examples(self) -> tuple[Any, ...]:
        """Values to check the option with: all of a choice, the ends of a range."""
        return self.choices or (self.low, self.high)

    def distribution(self, optuna: Any, whole: bool) -> Any:
        """As Optuna takes it; `whole`: only whole numbers."""
        if self.choices:
            return optuna.distributions.CategoricalDistribution(
                tuple(json.dumps(choice) for choice in self.choices)
            )
        if whole:
            low, high = int(self.low), int(self.high)
            return optuna.distributions.IntDistribution(low, high, log=self.log)
        return optuna.distributions.FloatDistribution(self.low, self.high, log=self.log)

    def value(self, found: Any) -> Any:
        """The value of the option for what Optuna has drawn."""
        return json.loads(found) if self.choices else found

    def plain(self) -> dict[str, Any]:
        """As in a file."""
        if self.choices:
            return {"choice": list(self.choices)}
        return {"log_uniform" if self.log else "uniform": [self.low, self.high]}


def parse_space(option: str, data: Any) -> Space:
    """{uniform: [low, high]}, {log_uniform: [low, high]} or {choice: [value, ...]} of an option.

    Whole numbers as ends stay whole. Raises ValueError for anything else.
    """
    if isinstance(data, Space):
        return data
    if not isinstance(data, Mapping) or len(data) != 1:
        raise ValueError(
            f"{option}: expected one of {', '.join(WORDS)} with its numbers, got {brief(data)}"
        )
    ((word, numbers),) = data.items()
    if word not in WORDS:
        raise ValueError(f"{option}: {unknown('distribution', word, WORDS)}")
    if word == "choice":
        if not isinstance(numbers, list | tuple) or not numbers:
            raise ValueError(f"{option}: a choice is a list of values, got {brief(numbers)}")
        return Space(choices=tuple(numbers))
    try:
        found = parse_distribution({word: numbers})
    except (UserError, ValueError) as error:
        raise ValueError(f"{option}: {error}") from None
    assert isinstance(found, Uniform | LogUniform)
    if found.low == found.high:
        raise ValueError(f"{option}: both ends are {found.low:g}; allowed: a range")
    low, high = numbers
    return Space(low, high, log=word == "log_uniform")


def nested(options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with `values`, whose names may lead into an option: "recipe.learning_rate".

    >>> nested({"recipe": {"gamma": 0.9}}, {"recipe.n_steps": 8, "critic": None})
    {'recipe': {'gamma': 0.9, 'n_steps': 8}, 'critic': None}
    """
    found = dict(options)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        inner = found.get(first)
        found[first] = (
            nested(inner if isinstance(inner, Mapping) else {}, {rest: value}) if rest else value
        )
    return found
