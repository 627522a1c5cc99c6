"""`sim2real <verb>`: every verb is the library's function of the same name, as a typed command.

A command prints a table and writes the same as JSON beside it; `--json` prints the JSON instead.
Exit codes: 0 done, 1 an audit found errors or the machine refused (a full disk), 2 bad input,
130 interrupted.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import tyro
from tyro.conf import Positional

from sim2real import __version__
from sim2real.cli.arguments import check_words
from sim2real.cli.output import (
    Outcome,
    audited,
    can_write,
    compared,
    evaluated,
    moved,
    pairs,
    pretrainings,
    show,
    table,
    trained,
)
from sim2real.cli.verbs import (
    Audit,
    Command,
    Doctor,
    List,
    OfPolicy,
    OfRun,
    Pairs,
    Publish,
    View,
    named_task,
)
from sim2real.errors import ChangedError, UserError
from sim2real.files import unused, write_json

REFUSED = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
)
"""What a file system says of a disk that is full, and of a folder that cannot be written."""

ABOUT = (
    "Pretrain a policy in randomized worlds, transfer it, measure the gap. "
    "`sim2real --version` prints the version."
)
RESUME = "`sim2real resume RUN` goes on from the last checkpoint"


@dataclass(frozen=True, kw_only=True)
class Training(Command):
    """What the verbs that make a run have."""

    interrupted: ClassVar[str] = RESUME

    seed: int = 0
    """Seed of everything that is drawn."""
    out: Path | None = None
    """New run folder; by default a telling name under runs/."""
    num_envs: int | None = None
    """Worlds stepped together; by default the recipe's."""
    set: Pairs = ()
    """Options of the recipe or method, such as learning_rate=3e-4."""

    def common(self) -> dict[str, Any]:
        """The arguments that the training functions share."""
        options = {"options": pairs(self.set), "progress": not self.json}
        return {"seed": self.seed, "num_envs": self.num_envs} | options


@dataclass(frozen=True, kw_only=True)
class Pretrain(Training):
    """Train a policy in a source domain."""

    task: Positional[str]
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"."""
    domain: str | None = None
    """Source domain: one of the task's, or my_domains.yaml:windy; by default randomized, or nominal
    for a task without it."""
    algorithm: str = "ppo"
    """ppo, sac or td3."""
    steps: int = 1_000_000
    """Control steps, over all worlds."""
    task_options: Pairs = ()
    """Options of the task."""
    checkpoint_every: int | None = None
    """Control steps between checkpoints; there is always one at the end."""
    target: str | None = None
    """A domain to show in the pictures beside the source."""
    randomization: str = "uniform"
    """uniform, or what lets the domain follow the policy: adr, doraemon or curriculum."""
    randomization_options: Pairs = ()
    """Options of the randomization, such as high=600."""
    pictures_every: int | None = None
    """Control steps between pictures of the policy."""

    def run(self) -> Outcome:
        """Call `sim2real.pretrain`."""
        from sim2real.learning.pretrain import pretrain

        run = pretrain(
            named_task(self.task, self.task_options),
            self.domain,
            algorithm=self.algorithm,
            steps=self.steps,
            out=self.out,
            checkpoint_every=self.checkpoint_every,
            target=self.target,
            randomization={"name": self.randomization, **pairs(self.randomization_options)},
            pictures_every=self.pictures_every,
            **self.common(),
        )
        return trained(run)


@dataclass(frozen=True, kw_only=True)
class Transfer(Training, OfPolicy):
    """Move a run's policy into another domain, within a budget of its control steps."""

    source: Positional[Path]
    """Run folder of the policy to move, or pretrained:hopper and its like."""
    domain: str
    """Target domain."""
    method: str = "fine_tune"
    """Way to transfer (see `sim2real list`)."""
    budget: int = 100_000
    """Control steps of the target that may be used."""

    def run(self) -> Outcome:
        """Call `sim2real.transfer`."""
        from sim2real.transfer.api import transfer

        run = transfer(
            self.load(self.source),
            self.domain,
            method=self.method,
            budget=self.budget,
            out=self.out,
            **self.common(),
        )
        return moved(run)


@dataclass(frozen=True, kw_only=True)
class Distill(Training, OfPolicy):
    """Train a student to act as a run's policy does, within a budget of control steps."""

    teacher: Positional[Path]
    """Run folder of the teacher, or pretrained:hopper and its like."""
    domain: str | None = None
    """Domain in which the student acts; by default randomized, or nominal for a task without it."""
    student: str = "small"
    """Size of the student's network."""
    budget: int = 500_000
    """Control steps that may be used."""

    def run(self) -> Outcome:
        """Call `sim2real.distill`."""
        from sim2real.domains import default_domain
        from sim2real.transfer.api import distill

        teacher = self.load(self.teacher)
        run = distill(
            teacher,
            self.domain or default_domain(teacher.task),
            student=self.student,
            budget=self.budget,
            out=self.out,
            **self.common(),
        )
        return moved(run)


@dataclass(frozen=True, kw_only=True)
class Evaluate(OfPolicy):
    """Run a policy in domains; a table of returns, and one JSON line for every episode."""

    policy: Positional[Path]
    """Run folder, pretrained:hopper and its like, or the .zip of a Stable-Baselines3 model, of
    which nothing is executed."""
    domains: tuple[str, ...] = ("nominal",)
    """Domains of the task, or my_domains.yaml:windy."""
    episodes: int = 100
    """Episodes in each domain."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int | None = None
    """Worlds stepped together; the rows do not depend on it."""
    stochastic: bool = False
    """Sample the actions instead of taking the mean."""
    out: Path | None = None
    """Folder of the result; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluate`."""
        from sim2real.evaluation.rollout import evaluate, save_rows
        from sim2real.evaluation.sensitivity import by_parameter
        from sim2real.evaluation.sensitivity_figure import write_sensitivity
        from sim2real.evaluation.summary import summaries

        run = self.load(self.policy)
        folder = self.out or run.results / "report"
        kept = can_write(folder)
        rows = evaluate(
            run.policy,
            run.task,
            self.domains,
            episodes=self.episodes,
            seed=self.seed,
            num_envs=self.num_envs,
            deterministic=not self.stochastic,
        )
        data: dict[str, Any] = {
            "policy": str(self.policy),
            "task": run.task.reference,
            "episodes": self.episodes,
            "seed": self.seed,
            "domains": summaries(rows),
            "parameters": by_parameter(rows),
        }
        shown = [evaluated(f"{self.policy} on {run.task.name}", data["domains"])]
        if data["parameters"]:
            shown.append(table("return against what was drawn", data["parameters"]))
        if not kept:
            return Outcome(data, shown)
        table_file, rows_file, picture_file = unused(
            folder, "evaluation.json", "evaluation.jsonl", "sensitivity.png"
        )
        save_rows(rows_file, rows)
        return Outcome(data, shown, table_file, page=write_sensitivity(picture_file, rows))


@dataclass(frozen=True, kw_only=True)
class Study(Command):
    """Run a study: methods (or pretrainings) x targets x seeds on equal budgets, one report."""

    file: Positional[Path]
    """The study's YAML file."""
    workers: int | None = None
    """Processes; by default one a processor."""
    trust_code: bool = False
    """Accept, and import, the Python code that the study names."""

    def run(self) -> Outcome:
        """Call `sim2real.study`."""
        from sim2real.studies.audit import AuditFailed
        from sim2real.studies.config import load_study
        from sim2real.studies.study import CellsFailed, study

        asked = load_study(self.file, trust_code=self.trust_code)
        try:
            report = study(asked, workers=self.workers, progress=not self.json)
        except CellsFailed as error:  # with its tracebacks; all the rest is done and kept
            sys.exit(f"error: {error}")
        except AuditFailed as error:
            show([shown for report in error.reports for shown in audited(report)])
            raise
        shown = [pretrainings(report)] if "returns" in report else compared(report)
        return Outcome(report, shown, page=asked.folder / "report" / "index.html")


@dataclass(frozen=True, kw_only=True)
class Resume(OfRun):
    """Continue a run that was interrupted, as if it never had been."""

    interrupted: ClassVar[str] = RESUME

    path: Positional[Path]
    """Run folder."""
    steps: int | None = None
    """Control steps in all, to extend a run beyond what it was asked for."""

    def run(self) -> Outcome:
        """Call `sim2real.resume`."""
        from sim2real.transfer.resume import resume

        return trained(resume(self.path, not self.json, self.steps, **self.loading()))


# -- entry -------------------------------------------------------------------------------------

VERBS: dict[str, type[Command]] = {
    "pretrain": Pretrain,
    "transfer": Transfer,
    "distill": Distill,
    "evaluate": Evaluate,
    "study": Study,
    "resume": Resume,
    "publish": Publish,
    "view": View,
    "audit": Audit,
    "list": List,
    "doctor": Doctor,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code."""
    warnings.formatwarning = cast(Any, _one_line)
    words = sys.argv[1:] if argv is None else list(argv)
    if words == ["--version"]:
        print(f"sim2real {__version__}")
        return 0
    try:
        check_words(words, VERBS)
    except UserError as error:
        return fail(f"error: {error}", 2)
    command: Command = tyro.extras.subcommand_cli_from_dict(
        dict(VERBS),
        args=words,
        prog="sim2real",
        description=ABOUT,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        return _execute(command)
    except ChangedError as error:
        hint = "; --accept-changes goes on" if hasattr(command, "accept_changes") else ""
        return fail(f"error: {error.what}{hint}", 2)
    except UserError as error:
        return fail(f"error: {error}", 2)
    except KeyboardInterrupt as error:
        return fail(f"interrupted: {str(error) or command.interrupted}", 130)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        where = f" {error.filename}" if error.filename else ""
        reason = f"cannot write{where}: {error.strerror}"
        return fail(f"error: {reason}; what was saved before is whole", 1)


def _one_line(message: Warning | str, *_: Any, **__: Any) -> str:
    """A warning as the user reads it, without the line of the library that gave it."""
    return f"warning: {' '.join(str(message).split())}\n"


def _execute(command: Command) -> int:
    """Run the command with its standard output kept for the result; return the exit code."""
    from rich.console import Console

    with contextlib.redirect_stdout(sys.stderr if command.json else sys.stdout):
        outcome = command.run()
    if outcome.file is not None:
        write_json(outcome.file, outcome.data)
    if command.json:
        print(json.dumps(outcome.data, indent=2))
        return outcome.code
    for shown in outcome.tables:
        Console().print(shown)
    for written in filter(None, (outcome.file, outcome.page)):
        print(f"written to {written}")
    return outcome.code


def fail(message: str, code: int) -> int:
    """Say what is wrong on one line of standard error."""
    print(" ".join(message.split()), file=sys.stderr)
    return code
