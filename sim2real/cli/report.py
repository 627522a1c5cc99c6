"""The verbs `report` and `compare`: what runs are worth, for others to read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sim2real.cli.command import RunCommand, accept_domains
from sim2real.cli.output import Outcome, table


@dataclass(frozen=True, kw_only=True)
class Report(RunCommand):
    """Write the report of one transfer into its report/: a page, its figures, a LaTeX table."""

    path: Positional[Path]
    """Run folder of a transfer or of a distillation."""
    film: bool = False
    """Show the policies before and after, side by side; needs OpenGL."""

    def run(self) -> Outcome:
        """Call `sim2real.studies.transfer_report.report`."""
        from sim2real.files import read_json
        from sim2real.runs.load import load_run
        from sim2real.studies.report.transfer_page import answer, text_of
        from sim2real.studies.transfer_report import report

        page = report(load_run(self.path, **self.loading()), film=self.film)
        data = read_json(page.with_name("report.json"))
        return Outcome(data, [table(" ".join(answer(data)), text_of(data))], page=page)


@dataclass(frozen=True, kw_only=True)
class Compare(RunCommand):
    """Runs of one task side by side: returns on the same episodes, and what differs in them."""

    runs: Positional[tuple[Path, ...]]
    """Run folders or shipped policies, two or more; the first is compared with the others."""
    domains: tuple[str, ...] = ("nominal",)
    """Domains of the task, or my_domains.yaml:windy."""
    episodes: int = 100
    """Episodes in each domain."""
    seed: int = 0
    """Seed of the episodes."""
    out: Path | None = None
    """Folder for a page, index.html, the data, compare.json, and figures."""

    def run(self) -> Outcome:
        """Call `sim2real.studies.compare_runs.compare`."""
        from sim2real.files import require_writable
        from sim2real.runs.load import load_run
        from sim2real.studies.compare_runs import compare
        from sim2real.studies.report.runs_page import tables_of, write_runs

        if self.out is not None:
            require_writable(self.out)
        runs = [load_run(path, **self.loading()) for path in self.runs]
        accept_domains(runs[0].task, self.domains, self.trust_code)
        data = compare(runs, self.domains, episodes=self.episodes, seed=self.seed)
        tables = [table(title, rows) for title, rows in tables_of(data).items() if rows]
        if self.out is None:
            return Outcome(data, tables)
        return Outcome(data, tables, self.out / "compare.json", write_runs(self.out, data))
