"""What is known of each log: values of unknowns that differ between logs of one target."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sim2real.errors import UserError, unknown
from sim2real.identification.family import Family
from sim2real.identification.replay import Windows


def check_known(known: Sequence[Mapping[str, float]], family: Family, logs: int) -> None:
    """Raise UserError unless each log has the same names, of unknowns, with values in range."""
    if known and len(known) != logs:
        raise UserError(f"known has {len(known)} entries; allowed: {logs}, one for each log")
    for one in known:
        if one.keys() != known[0].keys():
            raise UserError(f"known: one log has {list(one)}, another {list(known[0])}")
        for name, value in one.items():
            _check_value(name, value, family)


def _check_value(name: str, value: float, family: Family) -> None:
    if name not in family.names:
        raise UserError(f"known: {unknown('unknown', name, family.names)}")
    low, high = family.space.bases[family.names.index(name)].support
    if not low <= value <= high:
        raise UserError(f"known: {name} is {value}; allowed by the family: {low:g} to {high:g}")


def with_known(windows: Windows, known: Mapping[str, float]) -> Windows:
    """The windows of a log of which the values `known` are known."""
    values = {name: np.full(len(windows), float(value)) for name, value in known.items()}
    return dataclasses.replace(windows, known=values)
