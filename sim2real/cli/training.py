"""The verbs that make a run: `pretrain`, `transfer`, `distill` and `resume`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tyro.conf import Positional

from sim2real.cli.command import (
    Command,
    Pairs,
    PolicyCommand,
    RunCommand,
    accept_domains,
    named_task,
    pairs,
)
from sim2real.cli.output import Outcome, table
from sim2real.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.runs.run import Run
    from sim2real.task import Task

RESUME = "`sim2real resume RUN` goes on from the last checkpoint"


@dataclass(frozen=True, kw_only=True)
class Training(Command):
    """The options of every verb that makes a run."""

    interrupted: ClassVar[str] = RESUME

    seed: int = 0
    """Seed of every random draw."""
    out: Path | None = None
    """New run folder; by default runs/, named after what is trained."""
    num_envs: int | None = None
    """Worlds stepped together; by default as many as the recipe says."""
    set: Pairs = ()
    """Options of the recipe or method, such as learning_rate=3e-4."""
    curve: int | None = None
    """Equal parts of the learning curve: the policy is evaluated after each, in the domain that it
    learns in. RUN@best is then the checkpoint with the highest return."""
    keep_checkpoints: int | None = None
    """Keep the last so many checkpoints and the best of the curve; by default all."""

    def common(self) -> dict[str, Any]:
        """The arguments that the training functions share."""
        options = {"options": pairs(self.set), "progress": not self.json, "curve": self.curve}
        options["keep_checkpoints"] = self.keep_checkpoints
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
    history: int | None = None
    """Control steps that the policy observes at once: what was sensed and commanded."""
    steps: int = 1_000_000
    """Control steps, summed over all worlds."""
    task_options: Pairs = ()
    """Options of the task."""
    checkpoint_every: int | None = None
    """Control steps between checkpoints; the last step always makes one."""
    trust_code: bool = False
    """Accept and import the Python code that the files of the domains name."""
    target: str | None = None
    """A domain to show in the animations beside the source."""
    randomization: str = "uniform"
    """uniform, or an adaptive method that changes the ranges during training: adr, doraemon or
    curriculum."""
    randomization_options: Pairs = ()
    """Options of the randomization, such as high=600."""
    pictures_every: int | None = None
    """Control steps between animations of the policy."""

    def run(self) -> Outcome:
        """Call `sim2real.pretrain`."""
        from sim2real.learning.pretrain import pretrain

        task = named_task(self.task, self.task_options)
        accept_domains(task, [self.domain, self.target], self.trust_code)
        run = pretrain(
            task,
            self.domain,
            algorithm=self.algorithm,
            history=self.history,
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
class Moving(Training, PolicyCommand):
    """The options of the verbs that take a policy into a target."""

    target_task: str | None = None
    """Task of the target, by default that of the run. For other observations or actions add --set
    match=by_name, which matches them with the run's."""
    target_task_options: Pairs = ()
    """Options of that task."""

    def tasks(self, source: Run) -> tuple[Task, dict[str, Any]]:
        """The task of the target, and the argument `task` of the library, if it is given."""
        if self.target_task is None:
            if self.target_task_options:
                raise UserError("--target-task-options needs --target-task")
            return source.task, {}
        task = named_task(self.target_task, self.target_task_options)
        return task, {"task": task}


@dataclass(frozen=True, kw_only=True)
class Transfer(Moving):
    """Transfer a run's policy to a target domain, with a limited number of its control steps."""

    source: Positional[Path]
    """Run folder of the policy to transfer, or a shipped policy such as pretrained:hopper."""
    domain: str
    """Target domain."""
    method: str | None = None
    """Transfer method: a name (see `sim2real list`), my_method.py, or "module:Class"; by default
    chosen by what is known of the target."""
    budget: int = 100_000
    """Control steps of the target domain that the method may use."""

    def run(self) -> Outcome:
        """Call `sim2real.transfer`."""
        from sim2real.transfer.api import transfer

        source = self.load(self.source)
        task, other = self.tasks(source)
        accept_domains(task, [self.domain], self.trust_code)
        run = transfer(
            source,
            self.domain,
            method=self.method,
            budget=self.budget,
            out=self.out,
            **other,
            **self.common(),
        )
        return moved(run)


@dataclass(frozen=True, kw_only=True)
class Distill(Moving):
    """Train a student network to imitate a run's policy, with a limited number of control steps."""

    teacher: Positional[Path]
    """Run folder of the teacher, or a shipped policy such as pretrained:hopper."""
    domain: str | None = None
    """Domain in which the student acts. By default randomized, or nominal for a task without it."""
    student: str = "small"
    """Size of the student: small, same, or layers such as 64x64; rma: it estimates an encoding."""
    history: int | None = None
    """Control steps that the student observes at once; by default as many as the teacher."""
    budget: int = 500_000
    """Control steps that the student may use."""

    def run(self) -> Outcome:
        """Call `sim2real.distill`."""
        from sim2real.domains import default_domain
        from sim2real.transfer.api import distill

        teacher = self.load(self.teacher)
        task, other = self.tasks(teacher)
        accept_domains(task, [self.domain], self.trust_code)
        run = distill(
            teacher,
            self.domain or default_domain(task),
            student=self.student,
            history=self.history,
            budget=self.budget,
            out=self.out,
            **other,
            **self.common(),
        )
        return moved(run)


@dataclass(frozen=True, kw_only=True)
class Resume(RunCommand):
    """Continue an interrupted run; the result equals that of a run without interruption."""

    interrupted: ClassVar[str] = RESUME

    path: Positional[Path]
    """Run folder."""
    steps: int | None = None
    """Total control steps, to extend a run that is finished."""

    def run(self) -> Outcome:
        """Call `sim2real.resume`."""
        from sim2real.transfer.resume import resume

        run = resume(self.path, not self.json, self.steps, **self.loading())
        return trained(run) if run.config.method is None else moved(run)


def trained(run: Run) -> Outcome:
    """The settings and the size of a new run."""
    config = run.config
    data = {
        "run": str(run.path),
        "kind": config.kind,
        "task": config.task,
        "domain": config.domain,
        "algorithm": config.algorithm,
        "steps": run.step,
        "seed": config.seed,
    }
    rows = [{"what": name, "value": value} for name, value in data.items()]
    return Outcome(data, [table("run", rows)], run.path / "report" / f"{config.kind}.json")


def moved(run: Run) -> Outcome:
    """The result of a transfer: returns before and after, and what was used of the target."""
    from sim2real.evaluation.numbers import duration, percent, whole
    from sim2real.files import read_json
    from sim2real.studies.report.formats import without_seeds
    from sim2real.transfer.choice import REPORT as CHOICE
    from sim2real.transfer.outcome import outcome

    made, found = trained(run), outcome(run)
    used, closed = found["used"], found["gap_closed"]
    rows = {
        "return before (zero-shot)": without_seeds(found["zero_shot"], "whole"),
        "return after": without_seeds(found["after"], "whole"),
        "difference": without_seeds(found["difference"], "whole"),
        "gap closed": percent(closed) if closed is not None else "no references of both domains",
        **_at_home(found["source"]),
        "control steps used": whole(used["steps"]),
        "episodes, resets, falls": f"{used['episodes']:,}, {used['resets']:,}, {used['falls']:,}",
        "robot time": duration(used["seconds"]),
    }
    title = f"{found['domain']}, {found['episodes']} episodes (95 % interval of these policies)"
    shown = table(title, [{"what": name, "value": value} for name, value in rows.items()])
    rounds = _rounds(run)
    more = [one for number, found in enumerate(rounds, 1) for one in _round(number, found)]
    data = {"rounds": rounds} if rounds else {}
    why = run.path / CHOICE
    if why.is_file():
        data |= {"choice": read_json(why)}
    tables = [*made.tables, *more, shown, *_acting(found["quality"])]
    return Outcome(made.data | found | data, tables, made.file)


def _acting(quality: dict[str, dict[str, float]]) -> list[Table]:
    """The means of `evaluation.action_quality`; no table in a foreign environment."""
    rows = [
        {"policy": policy, **{name: f"{mean:.3g}" for name, mean in quality[key].items()}}
        for policy, key in (("zero-shot", "zero_shot"), ("after", "after"))
    ]
    return [table("how it acts in the target", rows)] if quality["after"] else []


def _at_home(found: dict[str, Any] | None) -> dict[str, Any]:
    """The returns in the source, where they were measured."""
    from sim2real.studies.report.formats import without_seeds

    if found is None:
        return {}
    home = f"in the source, {found['domain']}"
    return {
        f"return {home}, before": without_seeds(found["before"], "whole"),
        f"return {home}, after": without_seeds(found["after"], "whole"),
    }


def _rounds(run: Run) -> list[dict[str, Any]]:
    """The rounds of the method `identify`; none of another method."""
    from sim2real.files import read_json
    from sim2real.transfer.methods.identify import REPORT

    path = run.path / REPORT
    return list(read_json(path)["rounds"]) if path.is_file() else []


def _round(number: int, found: dict[str, Any]) -> list[Table]:
    """The tables of one round: what was identified, and what it gave."""
    from sim2real.cli.identify import identified
    from sim2real.transfer.methods.identify import results

    rows = [{"what": name, "value": value} for name, value in results(found).items()]
    tables = identified(found) if "table" in found else []
    return [*tables, table(f"round {number}", rows)]
