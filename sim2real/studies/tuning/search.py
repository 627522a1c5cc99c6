"""The trials of a search: which options come next, which trials are pruned, what is known so far.

Optuna keeps the trials in a journal in the folder of the search, so a search that was stopped goes
on: trials that were running are continued from the last checkpoint of their runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.errors import UserError, brief
from sim2real.files import write_bytes
from sim2real.studies.executors.executor import Outcome
from sim2real.studies.ledger import Cell
from sim2real.studies.tuning.plan import TunePlan

JOURNAL = "journal.log"
PROBLEM = "problem"
"""The attribute of a failed trial with the reason."""


@dataclass
class _Running:
    """A trial that runs: the part that it is at, and the mean returns of that, by seed."""

    trial: Any
    part: int
    means: dict[str, float] = field(default_factory=dict)


class Search:
    """Asks Optuna for trials, and tells it what they reach, while their cells run somewhere.

    With one trial at a time the same seed gives the same trials, also after an interruption: the
    sampler is seeded again for each trial, by its number.
    """

    def __init__(self, plan: TunePlan) -> None:
        self.plan, self._optuna = plan, plan.optuna
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self.study = self._open(plan.config.folder / JOURNAL)
        self._running: dict[int, _Running] = {}
        self._trial_of: dict[str, int] = {}

    def begin(self, trials: int) -> list[Cell]:
        """The cells of the first trials, so many at once: those that were running before first."""
        cells = []
        for frozen in self._trials("RUNNING"):
            trial = self._optuna.trial.Trial(self.study, frozen._trial_id)
            values = frozen.intermediate_values
            part = max(values, default=0)
            cells += self._after(trial, part, values[part]) if part else self._go_on(trial, 1)
        while len(self._running) < trials and (more := self._next()):
            cells += more
        return cells

    def follow(self, outcome: Outcome) -> list[Cell]:
        """The cells that come after one that has ended."""
        number = self._trial_of[outcome.cell.id]
        running = self._running.get(number)
        if running is None or outcome.status in ("lost", "interrupted"):
            return []
        if outcome.status != "done":
            self._fail(running.trial, str(outcome.detail))
            return self._next()
        running.means[outcome.cell.id] = outcome.detail["mean"]
        if len(running.means) < len(self.plan.config.seeds):
            return []
        value = self.plan.value(float(np.mean([*running.means.values()])))
        running.trial.report(value, running.part)
        return self._after(running.trial, running.part, value)

    @property
    def left(self) -> int:
        """Trials that have not ended."""
        ended = sum(bool(trial.state.is_finished()) for trial in self.study.trials)
        return max(self.plan.config.trials - ended, 0)

    def _open(self, journal: Path) -> Any:
        """Optuna's study of the journal, new or continued. UserError if the file is damaged."""
        cut_unfinished_line(journal)
        storages = self._optuna.storages
        try:
            backend = storages.journal.JournalFileBackend(str(journal))
            return self._optuna.create_study(
                storage=storages.JournalStorage(backend),
                study_name=self.plan.config.name,
                direction="maximize",
                pruner=self._pruner(),
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise UserError(f"{journal} is damaged: {brief(str(error))}") from None

    def _after(self, trial: Any, part: int, value: float) -> list[Cell]:
        """What comes after a part whose value Optuna knows: the next part, or the next trial."""
        last = part == self.plan.config.parts
        if not last and not trial.should_prune():
            return self._go_on(trial, part + 1)
        if last:
            self.study.tell(trial, value)
        else:
            self.study.tell(trial, state=self._optuna.trial.TrialState.PRUNED)
        self._running.pop(trial.number, None)
        return self._next()

    def _next(self) -> list[Cell]:
        """The first part of the next trial; none when all have begun."""
        while (number := len(self.study.trials)) < self.plan.config.trials:
            self.study.sampler = self._sampler(number)
            trial = self.study.ask(self.plan.distributions)
            if cells := self._go_on(trial, 1):
                return cells
        return []

    def _go_on(self, trial: Any, part: int) -> list[Cell]:
        """The cells of a part; none where its options do not fit together: the trial has failed."""
        try:
            cells = self.plan.cells(trial.number, trial.params, part)
        except UserError as error:
            self._fail(trial, str(error))
            return []
        self._running[trial.number] = _Running(trial, part)
        self._trial_of |= dict.fromkeys((cell.id for cell in cells), trial.number)
        return cells

    def _fail(self, trial: Any, detail: str) -> None:
        self._running.pop(trial.number, None)
        lines = detail.strip().splitlines() or ["failed"]
        trial.set_user_attr(PROBLEM, lines[-1])
        self.study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _trials(self, state: str) -> list[Any]:
        return [trial for trial in self.study.trials if trial.state.name == state]

    def _sampler(self, number: int) -> Any:
        samplers, (seed,) = (
            self._optuna.samplers,
            np.random.SeedSequence([self.plan.config.seed, number]).generate_state(1),
        )
        if self.plan.config.sampler == "random":
            return samplers.RandomSampler(seed=int(seed))
        return samplers.TPESampler(seed=int(seed))

    def _pruner(self) -> Any:
        pruners, kind = self._optuna.pruners, self.plan.config.pruning
        if kind == "hyperband":
            return pruners.HyperbandPruner(
                min_resource=1, max_resource=self.plan.config.parts, reduction_factor=3
            )
        return pruners.MedianPruner() if kind == "median" else pruners.NopPruner()


def cut_unfinished_line(journal: Path) -> None:
    """Remove what a process that was killed has left of the last line: Optuna would append to it.

    Only while no other process writes to the file.
    """
    if journal.is_file() and not (content := journal.read_bytes()).endswith(b"\n"):
        write_bytes(journal, content[: content.rfind(b"\n") + 1])
