"""What a transfer takes along: the difference of the two contracts, and the fate of each tensor."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike
from rich.console import Console
from rich.table import Table

from sim2real.errors import UserError
from sim2real.task import ObservationTerm

Action = Literal["copied", "adapted", "fresh", "frozen"]


@dataclass(frozen=True)
class Contract:
    """What a policy must know of the side it runs on: observations, actions, control step (s)."""

    observations: tuple[ObservationTerm, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    control_dt: float
    privileged_actor: bool = False
    """Whether the policy acts on the privileged terms too, and so cannot do without."""

    @classmethod
    def of(
        cls, terms: Iterable[ObservationTerm], action_range: spaces.Box, control_dt: float
    ) -> Contract:
        """The contract of a simulation or a run; actions in the range of the task."""
        return cls(tuple(terms), _row(action_range.low), _row(action_range.high), control_dt)


def _row(values: ArrayLike) -> tuple[float, ...]:
    return tuple(float(value) for value in np.ravel(values))


@dataclass(frozen=True)
class Difference:
    """One line of the contract, on both sides; `fits` says whether tensors can be taken along."""

    item: str
    source: str
    target: str
    fits: bool

    @property
    def same(self) -> bool:
        """Whether both sides agree."""
        return self.source == self.target


def compare(source: Contract, target: Contract) -> tuple[Difference, ...]:
    """Every line of the two contracts beside each other, in the order of the observation."""
    left = {term.name: term for term in source.observations}
    right = {term.name: term for term in target.observations}
    names = list(dict.fromkeys([*left, *right]))
    lines = [
        line
        for name in names
        for line in _term_lines(left.get(name), right.get(name), source.privileged_actor)
    ]
    order = _line("observation order", " ".join(left), " ".join(right))
    lines += [] if order.same or set(left) != set(right) else [order]
    lines.append(_line("action space", _actions(source), _actions(target)))
    step = f"{source.control_dt:g} s", f"{target.control_dt:g} s"
    return (*lines, Difference("control step", *step, fits=True))


def _line(item: str, source: str, target: str) -> Difference:
    return Difference(item, source, target, fits=source == target)


def _term_lines(
    left: ObservationTerm | None, right: ObservationTerm | None, needed: bool
) -> list[Difference]:
    """One line for a term; where it draws other columns, one for each that is not on both sides.

    What is privileged is not `needed` unless the actor sees it.
    """
    term = left or right
    assert term is not None
    may_differ = term.group == "privileged" and not needed
    lines = [_line(f"observation {term.name}", _term(left), _term(right))]
    if left and right and left.columns != right.columns:
        lines = [
            _line(f"observation {label}", *(_there(label, one) for one in (left, right)))
            for label in dict.fromkeys([*left.labels, *right.labels])
            if (label in left.labels) != (label in right.labels)
        ]
    return [replace(line, fits=line.fits or may_differ) for line in lines]


def _there(label: str, term: ObservationTerm) -> str:
    return "(1,)" if label in term.labels else "absent"


def _term(term: ObservationTerm | None) -> str:
    if term is None:
        return "absent"
    return f"({term.size},) {term.unit}".strip()


def _actions(contract: Contract) -> str:
    bounds = collections.Counter(zip(contract.action_low, contract.action_high, strict=True))
    ranges = ", ".join(f"{count} in [{low:g}, {high:g}]" for (low, high), count in bounds.items())
    return ranges if len(bounds) == 1 else f"{ranges} ({contract.action_low})"


def require_fit(differences: Iterable[Difference]) -> None:
    """Raise UserError naming every line that keeps the policy from running in the target."""
    wrong = [line for line in differences if not line.fits]
    if wrong:
        what = "; ".join(
            f"{line.item} is {line.source} in the source, {line.target} in the target"
            for line in wrong
        )
        raise UserError(f"the run does not fit the target: {what}; allowed: the same spaces")


@dataclass(frozen=True)
class Row:
    """The fate of one tensor.

    copied: starts as the source's and learns on; adapted: made from the source's; fresh: new;
    frozen: the source's, and stays so to the last bit.
    """

    tensor: str
    shape: tuple[int, ...]
    action: Action


@dataclass(frozen=True)
class Manifest:
    """The contract difference and the fate of every tensor of the policy that will learn."""

    method: str
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the frozen tensors."""
        return tuple(row.tensor for row in self.rows if row.action == "frozen")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "method": self.method,
            "contract": [asdict(line) for line in self.differences],
            "tensors": [asdict(row) | {"shape": list(row.shape)} for row in self.rows],
        }

    def print(self, console: Console) -> None:
        """Print both; tensors of the same module and fate share a line."""
        if all(line.same for line in self.differences):
            lines = ", ".join(f"{line.item} {line.target}" for line in self.differences)
            console.print(f"[bold]Contract[/bold] no difference: {lines}", highlight=False)
        else:
            console.print(_contract_table(self.differences))
        console.print(_tensor_table(self.method, self.rows))


def _contract_table(differences: Sequence[Difference]) -> Table:
    table = Table(title="Contract", title_justify="left", title_style="bold")
    for heading in ("", "source", "target", ""):
        table.add_column(heading)
    for line in differences:
        table.add_row(line.item, line.source, line.target, "same" if line.same else "differs")
    return table


def _tensor_table(method: str, rows: Sequence[Row]) -> Table:
    table = Table(title=f"Tensors ({method})", title_justify="left", title_style="bold")
    for heading in ("module", "tensors", "numbers", "fate"):
        table.add_column(heading, justify="right" if heading == "numbers" else "left")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.tensor.rpartition(".")[0], row.action), []).append(row)
    for (module, action), members in groups.items():
        names = ", ".join(f"{row.tensor.rpartition('.')[2]} {list(row.shape)}" for row in members)
        count = sum(int(np.prod(row.shape)) for row in members)
        table.add_row(module or "-", names, str(count), action)
    return table
