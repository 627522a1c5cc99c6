"""The verbs `log info`, `log compare`, `log record` and `log convert`, and their tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sim2real.cli.command import Command, Pairs, PolicyCommand, accept_domains, named_task
from sim2real.cli.output import Outcome, can_write, table
from sim2real.errors import UserError
from sim2real.files import require_writable, unused

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.identification.compare import Comparison
    from sim2real.identification.info import Info
    from sim2real.identification.log import Log


@dataclass(frozen=True, kw_only=True)
class LogCommand(Command):
    """The options of every verb that reads a log."""

    file: Positional[Path]
    """A log: a file of `Log.save`, of another format (CSV, Parquet, MCAP, ...), or a folder."""
    mapping: Path | None = None
    """YAML file that says which column of the file is what."""

    def load(self) -> Log:
        """The log in the file."""
        from sim2real.identification.log import Log

        return Log.load(self.file, self.mapping)


@dataclass(frozen=True, kw_only=True)
class LogInfo(LogCommand):
    """Show the episodes, rate and channels of a log, and what is wrong with them."""

    def run(self) -> Outcome:
        """Call `sim2real.identification.info.info`."""
        from sim2real.identification.info import info

        found = info(self.load())
        return Outcome(found.plain(), informed(str(self.file), found))


@dataclass(frozen=True, kw_only=True)
class LogCompare(LogCommand):
    """Compare a log with a simulated world: which channels does it predict, and how far?"""

    task: str
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"."""
    domain: str | None = None
    """One of the task's domains, or my_domains.yaml:windy; by default the nominal world."""
    task_options: Pairs = ()
    """Options of the task."""
    trust_code: bool = False
    """Accept and import the Python code that the file of the domain names."""
    horizon: int = 15
    """Control steps of a prediction."""
    out: Path | None = None
    """Folder for compare.json and the figure compare.png; by default nothing is written."""

    def run(self) -> Outcome:
        """Call `sim2real.identification.compare.compare`."""
        from sim2real.identification.compare import compare

        task = named_task(self.task, self.task_options)
        accept_domains(task, [self.domain] if self.domain else [], self.trust_code)
        found = compare(self.load(), task, self.domain, horizon=self.horizon)
        file, page = None, None
        if self.out is not None and can_write(self.out):
            from sim2real.identification.picture import write_picture

            file, page = unused(self.out, "compare.json", "compare.png")
            write_picture(page, found)
        return Outcome(found.plain(), compared(found), file, page)


@dataclass(frozen=True, kw_only=True)
class LogRecord(PolicyCommand):
    """Record a log of a policy in a simulated world."""

    policy: Positional[Path]
    """Run folder, or the .zip of a Stable-Baselines3 model."""
    domain: str | None = None
    """One of the task's domains, or my_domains.yaml:windy; by default the nominal world."""
    steps: int = 2000
    """Control steps, at most 1,000,000."""
    noise: float = 0.1
    """Standard deviation of exploration noise, in halves of the range of an action."""
    seed: int = 0
    """Seed of the world and of the noise."""
    out: Path
    """File of the log."""

    def run(self) -> Outcome:
        """Call `sim2real.identification.record.record`."""
        from sim2real.domains import Domain
        from sim2real.identification.record import record
        from sim2real.simulation.front_ends.vec_env import make_vec_env

        _refuse(self.out)
        run = self.load(self.policy)
        accept_domains(run.task, [self.domain] if self.domain else [], self.trust_code)
        domain = self.domain or Domain(name="nominal")
        history = run.config.parsed_recipe().history
        env = make_vec_env(run.task, domain, num_envs=1, seed=self.seed, history=history)
        try:
            log = record(env, run.policy, self.steps, noise=self.noise, seed=self.seed)
        finally:
            env.close()
        return _saved(log, self.out)


@dataclass(frozen=True, kw_only=True)
class LogConvert(LogCommand):
    """Read a log of any format and write it as one file for `sim2real identify`."""

    out: Path
    """File of the log."""

    def run(self) -> Outcome:
        """Call `Log.load` and `Log.save`."""
        _refuse(self.out)
        return _saved(self.load(), self.out)


def _saved(log: Log, out: Path) -> Outcome:
    """Write a log and describe it."""
    from sim2real.identification.info import info

    log.save(out)
    found = info(log)
    return Outcome(found.plain(), informed(str(out), found), page=out)


def _refuse(out: Path) -> None:
    """UserError for a file that exists, that cannot be written, or would be read as another."""
    from sim2real.identification.formats.read import check_name

    if out.exists():
        raise UserError(f"{out} exists already; choose another name or remove it")
    check_name(out)
    require_writable(out.parent)


LOG_VERBS: dict[str, type[Command]] = {
    "info": LogInfo,
    "compare": LogCompare,
    "record": LogRecord,
    "convert": LogConvert,
}


def informed(title: str, found: Info) -> list[Table]:
    """A log as a table of its size and rate, one of its channels, and what was found."""
    about = [
        {"of the log": what, "": value}
        for what, value in (
            ("episodes", f"{found.episodes}, of which {found.fallen} ended by themselves"),
            ("steps", f"{found.steps:,} in {found.seconds:.4g} s"),
            ("control step", f"{found.control_dt * 1e3:.4g} ms"),
            (
                "time between rows",
                f"{found.step_s * 1e3:.4g} ms ({found.shortest_s * 1e3:.4g} to "
                f"{found.longest_s * 1e3:.4g} ms), jitter {found.jitter:.1%}",
            ),
            ("rate", "even" if found.even else "uneven: it is resampled to the control step"),
        )
    ]
    shown = [
        {
            "channel": one.name,
            "unit": one.unit,
            "smallest": f"{one.low:.4g}",
            "largest": f"{one.high:.4g}",
            "change in a row": f"{one.change:.3g}",
            "found": ", ".join(one.found) or "–",
        }
        for one in found.channels
    ]
    return [table(title, about), table("Channels", shown), *_noted(map(str, found.findings))]


def compared(found: Comparison) -> list[Table]:
    """A comparison as a table of the errors of each channel, and what was found."""
    rows = [
        {
            "channel": one.name,
            "unit": one.unit,
            "error after one step": f"{one.one_step:.3g}",
            "of its change": f"{one.one_step_share:.1%}",
            f"after {found.horizon} steps": f"{one.many_steps:.3g}",
            "of its change then": f"{one.many_steps_share:.1%}",
        }
        for one in found.errors
    ]
    title = f"{found.task} in {found.domain}: {len(found.windows)} windows; median absolute errors"
    notes = [found.sentence, *map(str, found.findings)]
    return [table(title, rows), *_noted([*notes, *filter(None, [found.resampling])])]


def _noted(notes: Iterable[str]) -> list[Table]:
    found = [{"note": note} for note in notes]
    return [table("Notes", found)] if found else []
