"""The base classes of the commands, and NAME=VALUE options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tyro.conf import arg

from sim2real.cli.output import Outcome
from sim2real.errors import UserError, brief
from sim2real.plain import parse_yaml

if TYPE_CHECKING:
    from sim2real.runs.run import Run
    from sim2real.task import Task

Pairs = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")]


def pairs(given: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE arguments; the values are read as YAML.

    >>> pairs(["learning_rate=3e-4", "net_arch=[64, 64]", "target_kl=null"])
    {'learning_rate': 0.0003, 'net_arch': [64, 64], 'target_kl': None}
    """
    found = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"expected NAME=VALUE, got {pair!r}")
        try:
            found[name.replace("-", "_")] = parse_yaml(value)
        except ValueError as error:
            raise UserError(f"{name}: {brief(value)} is not a YAML value: {error}") from None
    return found


@dataclass(frozen=True, kw_only=True)
class Command:
    """The options of every verb."""

    interrupted: ClassVar[str] = "nothing was written"
    """The message after Ctrl-C, unless the interrupted function gives another."""

    json: bool = False
    """Print the result as JSON instead of a table."""

    def run(self) -> Outcome:
        """Execute the verb and return its result."""
        raise NotImplementedError("def run(self) -> Outcome")


@dataclass(frozen=True, kw_only=True)
class RunCommand(Command):
    """The options of every verb that loads a run."""

    task: str | None = None
    """Task instead of the one that the run names: a name, my_robot.py, or "module:Class"."""
    task_options: Pairs = ()
    """Options of the task, in addition to those of the run."""
    trust_code: bool = False
    """Accept and import the Python code that the run, or the file of a domain, names."""
    accept_changes: bool = False
    """Continue although the task or the run's files changed since the run was made."""

    def loading(self) -> dict[str, Any]:
        """The arguments of `load_run` and `resume`."""
        from sim2real.registry import refuse_policy

        refuse_policy(self.task)
        return {
            "task": self.task,
            "task_options": pairs(self.task_options),
            "trust_code": self.trust_code,
            "accept_changes": self.accept_changes,
        }


@dataclass(frozen=True, kw_only=True)
class PolicyCommand(RunCommand):
    """The options of every verb that takes a run or the .zip of a Stable-Baselines3 model."""

    algorithm: str | None = None
    """Algorithm of a .zip, where its weights do not determine it."""
    normalization: Path | None = None
    """Observation statistics of a .zip: a file of VecNormalize, or an .npz with mean and var."""

    def load(self, source: Path) -> Run:
        """The run, or the policy of a .zip as one."""
        from sim2real.runs.load import load_run

        foreign: dict[str, Any] = {"algorithm": self.algorithm, "normalization": self.normalization}
        return load_run(source, **foreign, **self.loading())


def accept_domains(task: str | Task, domains: Sequence[str | None], trust_code: bool) -> None:
    """With `trust_code`, accept the Python code that the files of `domains` name."""
    from sim2real.domains import default_domain, load_domain

    for domain in domains if trust_code else ():
        load_domain(task, domain or default_domain(task), trust_code=True)


def of_one_task(runs: dict[str, Run]) -> dict[str, Run]:
    """The runs; UserError unless their policies are of one task."""
    tasks = {name: run.task.reference for name, run in runs.items()}
    if len(set(tasks.values())) > 1:
        said = ", ".join(f"{name} on {task}" for name, task in tasks.items())
        raise UserError(f"the policies are of several tasks: {said}; --task names one for all")
    return runs


def named_task(reference: str, options: tuple[str, ...] = ()) -> Task:
    """The task that a command line names, with its NAME=VALUE options. Raises UserError."""
    from sim2real.registry import load_task

    return load_task(reference, **pairs(options))
