"""The difference of two contracts, and the action of a transfer for each tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sim2real.policies.anatomy import named_tensors
from sim2real.policies.modifiers import merge
from sim2real.runs.contract import Difference, contract_table
from sim2real.transfer.matching import Matching

Action = Literal["copied", "adapted", "fresh", "frozen"]


@dataclass(frozen=True)
class TensorRow:
    """The action for one tensor.

    copied: starts as the source's and learns on; adapted: made from the source's; fresh: new;
    frozen: the source's, and stays so to the last bit.
    """

    tensor: str
    shape: tuple[int, ...]
    action: Action
    alias_of: str = ""
    """Name under which the same tensor was listed before: PPO has three for one normalizer."""


@dataclass(frozen=True)
class Manifest:
    """The contract difference and the action for every tensor of the policy that will learn."""

    method: str
    differences: tuple[Difference, ...]
    rows: tuple[TensorRow, ...]
    matching: Matching | None = None
    """What of another task is the source's."""

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the frozen tensors."""
        return tuple(row.tensor for row in self.rows if row.action == "frozen")

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "method": self.method,
            "contract": [asdict(line) for line in self.differences],
            **({} if self.matching is None else {"matching": self.matching.to_json()}),
            "tensors": [
                {"tensor": row.tensor, "shape": list(row.shape), "action": row.action}
                for row in self.rows
                if not row.alias_of
            ],
        }

    def print(self, console: Console) -> None:
        """Print both; tensors of the same module and action share a line."""
        if all(line.same for line in self.differences):
            lines = ", ".join(f"{line.item} {line.target}" for line in self.differences)
            title = Text("Contract", style="bold")
            console.print(title, f"no difference: {lines}", highlight=False)
        else:
            console.print(contract_table(self.differences))
        for line in () if self.matching is None else self.matching.lines():
            console.print(line, highlight=False)
        if self.rows:  # not known before the end for a method with a loop of its own
            console.print(_tensor_table(self.method, self.rows))


def result_rows(
    source: BasePolicy, policy: BasePolicy, frozen: Collection[str]
) -> tuple[TensorRow, ...]:
    """One row for each tensor of the policy that a method has returned.

    copied: equal to the source's; adapted: of the same shape; fresh: all others.
    """
    before, rows = named_tensors(merge(source)), []
    first: dict[int, str] = {}
    for name, tensor in named_tensors(policy).items():
        listed = first.setdefault(id(tensor), name)
        action = "frozen" if name in frozen else _result(before.get(name), tensor)
        rows.append(TensorRow(name, tuple(tensor.shape), action, "" if listed == name else listed))
    return tuple(rows)


def _result(before: Tensor | None, after: Tensor) -> Action:
    if before is None or before.shape != after.shape:
        return "fresh"
    return "copied" if torch.equal(before, after) else "adapted"


def _tensor_table(method: str, rows: Sequence[TensorRow]) -> Table:
    table = Table(title=f"Tensors ({method})", title_justify="left", title_style="bold")
    for heading in ("module", "tensors", "numbers", "action"):
        table.add_column(
            heading, overflow="fold", justify="right" if heading == "numbers" else "left"
        )
    groups: dict[tuple[str, str], list[TensorRow]] = {}
    for row in rows:
        if row.alias_of:
            continue
        groups.setdefault((row.tensor.rpartition(".")[0], row.action), []).append(row)
    for (module, action), members in groups.items():
        names = ", ".join(f"{row.tensor.rpartition('.')[2]} {list(row.shape)}" for row in members)
        count = sum(int(np.prod(row.shape)) for row in members)
        table.add_row(module or "-", names, str(count), action)
    table.caption = _numbers(row for row in rows if not row.alias_of)
    return table


def _numbers(rows: Iterable[TensorRow]) -> str:
    """How many numbers are frozen, and how many are not."""
    counts = {True: 0, False: 0}
    for row in rows:
        counts[row.action == "frozen"] += int(np.prod(row.shape))
    return f"{counts[True]:,} numbers are frozen, {counts[False]:,} are not"
