"""The cells of a plan: what each one does, in which domain, and from which other cell."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real.domains import Domain, load_each
from sim2real.evaluation.provenance import Contents, key_of
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.studies.config import Table
from sim2real.studies.ledger import Cell
from sim2real.task import Task
from sim2real.transfer.find import find_method

EVALUATION_COST = 0.3
"""Time of a control step of an evaluation, as a share of one of a training; an estimate."""


CODE = {
    "pretrain": "sim2real.learning.pretrain",
    "oracle": "sim2real.learning.pretrain",
    "random": "sim2real.evaluation.references",
    "evaluate": "sim2real.evaluation.rollout",
    "best": "sim2real.evaluation.rollout",
    "transfer": "sim2real.transfer.api",
    "continue": "sim2real.transfer.api",
    "given": "sim2real.runs.load",
}
"""The module that makes each kind of cell; a result depends on its code and what it imports."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of one task whose runs lie under `folder`, by name."""

    task: Task
    folder: Path
    by_name: dict[str, Cell] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def _contents(self) -> Contents:
        return Contents(self.task)

    def add(
        self,
        kind: str,
        name: str,
        domain: Domain,
        effort: float,
        trained: Cell | None = None,
        rank: int = 0,
        place: Mapping[str, str] = {},
        **details: Any,
    ) -> Cell:
        """Enter a cell, whose key is a digest of `details`, the task, the domain and what it needs.

        The key depends on the code that makes it and on versions, too, but not on paths: the run's
        folder, the folder of the policy, `place`.
        """
        source = trained.key if trained else None
        method = details.get("method")
        code: list[str | type] = [CODE[kind]]
        code += [find_method(method["name"])] if method else []
        made_of = self._contents.of(domain, code, kind=kind, source=source, **details)
        needs = (trained.id,) if trained else ()
        cell = Cell(name, key_of(made_of), {}, needs, round(effort), made_of, rank)
        work = {
            "kind": kind,
            "key": cell.key,
            "task": self.task.reference,
            "task_options": self.task.options,
            "domain": {"name": domain.name, **domain.plain()},
            **details,
            **place,
            "run": str(self.folder / "runs" / cell.name),
            "source": trained.work["run"] if trained else None,
        }
        self.by_name[name] = dataclasses.replace(cell, work=work)
        return self.by_name[name]


class TablePlan:
    """The base of the plans of all studies: a task, its domains, and cells by name.

    Domains of one name from different files are distinguished (see `load_each`); the source may be
    among the targets, as a control. Raises UserError for an unknown name and for a domain that
    does not fit.
    """

    def __init__(self, config: Table, source: str | Domain) -> None:
        self.task = load_task(config.task, **config.task_options)
        self.domains = list(load_each(self.task, [source, *config.targets]))
        self.source = self.domains[0]
        alone = load_each(self.task, config.targets)
        self.targets = self.domains if len(alone) == len(self.domains) else self.domains[1:]
        worlds = [Simulation(self.task, domain, threads=1) for domain in self.domains]
        self._evaluation = worlds[0].episode_steps * config.episodes * EVALUATION_COST
        self._cells = Cells(self.task, config.folder)
        self.cells = self._cells.by_name
