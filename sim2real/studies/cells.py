"""How a cell is made: what is to be done, in which world, from which other cell."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.evaluation.references import content_key
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.studies.config import Table
from sim2real.studies.ledger import Cell
from sim2real.task import Task

EVALUATION_COST = 0.3
"""Time of a control step in an evaluation, of one in training; for telling how much is left."""


@dataclasses.dataclass(frozen=True)
class Cells:
    """The cells of one task whose runs lie under `folder`, by name."""

    task: Task
    folder: Path
    by_name: dict[str, Cell] = dataclasses.field(default_factory=dict)

    def add(
        self,
        kind: str,
        name: str,
        domain: Domain,
        effort: float,
        trained: Cell | None = None,
        **content: Any,
    ) -> Cell:
        """Enter a cell; its key comes from `content`, the task, the domain and what it starts from.

        Where things lie (the run's folder, the folder of the policy) does not count.
        """
        source = trained.key if trained else None
        key = content_key(self.task, domain, kind=kind, source=source, **content)
        cell = Cell(name, key, {}, (trained.id,) if trained else (), round(effort))
        work = {
            "kind": kind,
            "key": key,
            "task": self.task.reference,
            "task_options": self.task.options,
            "domain": {"name": domain.name, **domain.plain()},
            **content,
            "run": str(self.folder / "runs" / cell.name),
            "source": trained.work["run"] if trained else None,
        }
        self.by_name[name] = dataclasses.replace(cell, work=work)
        return self.by_name[name]


class TablePlan:
    """What the plans of all studies have: a task, the domains it looks at, and cells by name.

    Raises UserError for an unknown name, a domain that does not fit, and two of the same name.
    """

    def __init__(self, config: Table, source: str) -> None:
        self.task = load_task(config.task, **config.task_options)
        self.source = load_domain(self.task, source)
        self.targets = [load_domain(self.task, target) for target in config.targets]
        self.domains = [self.source, *self.targets]
        names = [domain.name for domain in self.domains]
        if len(set(names)) != len(names):
            raise UserError(f"source and targets need different names, got {', '.join(names)}")
        worlds = [Simulation(self.task, domain, threads=1) for domain in self.domains]
        self._evaluation = worlds[0].episode_steps * config.episodes * EVALUATION_COST
        self._cells = Cells(self.task, config.folder)
        self.cells = self._cells.by_name
