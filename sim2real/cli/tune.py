"""The verb `tune`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from sim2real.cli.command import Command
from sim2real.cli.output import Outcome, table

MOST_TRIALS = 10
"""Trials that are printed, the best first."""


@dataclass(frozen=True, kw_only=True)
class Tune(Command):
    """Search for the options of a recipe or a method that reach most, with Optuna."""

    file: Positional[Path]
    """The YAML file of the search."""
    executor: str = "local"
    """Where the runs are made: "local" (processes of this machine), "inline" (this one), "ray"."""
    address: str | None = None
    """Address of a running Ray cluster, or "auto"; without one Ray is started here."""
    workers: int | None = None
    """Runs at once, at most four per processor; by default one per processor."""
    out: Path | None = None
    """Folder of the search, in place of the one that the file names."""
    trust_code: bool = False
    """Accept and import the Python code that the search names."""

    def run(self) -> Outcome:
        """Call `studies.tune.tune`."""
        from sim2real.studies.tune import tune
        from sim2real.studies.tuning.config import load_tune

        asked = load_tune(self.file, trust_code=self.trust_code)
        report = tune(
            asked,
            executor=self.executor,
            address=self.address,
            workers=self.workers,
            out=self.out,
            progress=not self.json,
        )
        finished = [one for one in report["trials"] if one["state"] == "complete"]
        rows = [
            {"trial": one["number"], report["objective"]: f"{one['value']:,.4g}"}
            | {name: _text(value) for name, value in one["options"].items()}
            for one in sorted(finished, key=lambda one: -one["value"])[:MOST_TRIALS]
        ]
        states = [one["state"] for one in report["trials"]]
        shown = table(f"{report['name']}: {report['objective']} in {report['evaluated_in']}", rows)
        lines = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
        shown.caption, shown.caption_justify = f"Trials: {', '.join(lines)}.", "left"
        folder = asked.folder if self.out is None else self.out
        return Outcome(report, [shown], page=folder / "report" / "report.md")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
