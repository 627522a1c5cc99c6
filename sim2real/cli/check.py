"""The verb `check`: faults of a task, domains, a method, a kind or a study of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import Command, Pairs, accept_domains, named_task
from sim2real.cli.output import Outcome, table
from sim2real.errors import UserError

if TYPE_CHECKING:
    from sim2real.checks import Check as Result
    from sim2real.studies.comparison import ComparisonPlan
    from sim2real.studies.plan import StudyPlan

ALLOWED = (
    "a task, method or kind (my_robot.py), a file of domains (my_robot.yaml), a study (study.yaml)"
)
STUDY_KEYS = {"methods", "pretrainings", "targets", "budget"}


@dataclass(frozen=True, kw_only=True)
class Check(Command):
    """Check a task, method, kind of entry, file of domains or study: one line for each problem."""

    file: Positional[str]
    """The Python file of a task, method or kinds, or the YAML file of domains or of a study."""
    task: str | None = None
    """Task of domains, by default the Python file of the same stem; of kinds, by default hopper."""
    task_options: Pairs = ()
    """Options of the task."""
    trust_code: bool = False
    """Accept and import the Python code that a study or a file of domains names."""

    def run(self) -> Outcome:
        """Run the checks of the kind of the file."""
        results = list(self._results())
        failed = sum(not one.passed for one in results)
        rows = [{"check": r.name, "result": r.message or "passed"} for r in results]
        title = f"{self.file}: " + (
            f"{failed} of {len(rows)} checks failed" if failed else "passed"
        )
        data = {"file": self.file, "passed": not failed, "checks": list(map(asdict, results))}
        return Outcome(data, [table(title, rows)], code=1 if failed else 0)

    def _results(self) -> Iterator[Result]:
        if not self.file.endswith((".yaml", ".yml")):
            yield from self._of_code()
        elif STUDY_KEYS & set(data := self._read()):
            yield from self._of_study()
        else:
            yield from self._of_domains(list(data))

    def _of_code(self) -> Iterator[Result]:
        """The kinds of entries, the method or the task of a Python file fulfil their contract."""
        from sim2real.domains.entries.own import KINDS
        from sim2real.evaluation.kind_checks import check_kind
        from sim2real.evaluation.task_checks import check_task
        from sim2real.registry import TASKS
        from sim2real.transfer.conformance import check_method
        from sim2real.transfer.find import defines_method

        kinds = [] if TASKS.defined_by(self.file) else KINDS.defined_by(self.file)
        for kind in kinds:
            yield from check_kind(kind, named_task(self.task or "hopper", self.task_options))
        if kinds:
            return
        if self.task is not None:
            raise UserError(f"--task is for domains and kinds; {self.file} is a task itself")
        if defines_method(self.file):
            yield from check_method(self.file)
        else:
            yield from check_task(named_task(self.file, self.task_options))

    def _read(self) -> dict[str, Any]:
        from sim2real.files import read_yaml, user_path

        data = read_yaml(user_path(self.file))
        if not isinstance(data, dict) or not data:
            raise UserError(f"{self.file}: expected keys and values; allowed: {ALLOWED}")
        return data

    def _of_study(self) -> Iterator[Result]:
        """The study is valid, its plan can be made, and its domains pass their audit."""
        from sim2real.checks import Check as Result
        from sim2real.checks import run_checks
        from sim2real.studies.audit import reports_of, require_sound
        from sim2real.studies.config import load_study
        from sim2real.studies.study import plan_of

        plan = plan_of(load_study(self.file, self.trust_code))
        steps = sum(cell.steps for cell in plan.cells.values())
        yield Result(f"plan: {len(plan.cells)} results, {steps:,} control steps", True)

        def audit(made: StudyPlan | ComparisonPlan) -> None:
            require_sound(reports_of(made.config, made.task, made.worlds))

        yield from run_checks({"audit of its domains": audit}, plan)

    def _of_domains(self, names: list[str]) -> Iterator[Result]:
        """Each domain binds to the task's model and passes its audit."""
        from sim2real.checks import require, run_checks
        from sim2real.domains import load_domain
        from sim2real.evaluation.audit import audit
        from sim2real.simulation import Simulation

        task = named_task(self.task or self._beside(), self.task_options)
        accept_domains(task, [f"{Path(self.file)}:{name}" for name in names], self.trust_code)
        for name in names:
            reference = f"{Path(self.file)}:{name}"

            def bind(reference: str) -> None:
                Simulation(task, load_domain(task, reference), num_envs=2, threads=1)

            def effects(reference: str) -> None:
                report = audit(task, reference)
                require(report.passed, "; ".join(report.errors))

            checks = {f"{name}: fits the model": bind, f"{name}: audit": effects}
            for result in run_checks(checks, reference):
                yield result
                if not result.passed:
                    break  # a domain that does not fit cannot be audited

    def _beside(self) -> str:
        from sim2real.files import user_path

        beside = user_path(self.file).with_suffix(".py")
        if not beside.is_file():
            raise UserError(f"{self.file}: there is no {beside.name} beside it; add --task NAME")
        return str(beside)
