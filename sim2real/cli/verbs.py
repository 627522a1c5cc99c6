"""The verbs that train nothing, and what all verbs have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tyro.conf import Positional, arg

from sim2real.cli.output import Outcome, audited, can_write, evaluated, pairs, published, table
from sim2real.files import require_writable, unused

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.domains import Domain
    from sim2real.runs.run import Run
    from sim2real.task import Task

Pairs = Annotated[tuple[str, ...], arg(metavar="NAME=VALUE ...")]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What every verb has."""

    interrupted: ClassVar[str] = "nothing was written"
    """What Ctrl-C leaves, unless the function that was called says it."""

    json: bool = False
    """Print the machine-readable result in place of the table."""

    def run(self) -> Outcome:
        """Do it."""
        raise NotImplementedError("def run(self) -> Outcome")


def named_task(reference: str, options: tuple[str, ...] = ()) -> Task:
    """The task that a command line names, with its NAME=VALUE options."""
    from sim2real.registry import load_task
    from sim2real.runs.pretrained import refuse_policy

    refuse_policy(reference)
    return load_task(reference, **pairs(options))


@dataclass(frozen=True, kw_only=True)
class OfRun(Command):
    """What the verbs that load a run have."""

    task: str | None = None
    """Task in place of the one that the run names: a name, my_robot.py, or "module:Class"."""
    task_options: Pairs = ()
    """Options of the task, besides those of the run."""
    trust_code: bool = False
    """Accept, and import, the Python code that the run names."""
    accept_changes: bool = False
    """Go on where the task, or the run's files, are not what they were when it was made."""

    def loading(self) -> dict[str, Any]:
        """The arguments of `load_run` and `resume`."""
        from sim2real.runs.pretrained import refuse_policy

        refuse_policy(self.task or "")
        return {
            "task": self.task,
            "task_options": pairs(self.task_options),
            "trust_code": self.trust_code,
            "accept_changes": self.accept_changes,
        }


@dataclass(frozen=True, kw_only=True)
class OfPolicy(OfRun):
    """What the verbs that take a run or the .zip of a Stable-Baselines3 model have."""

    algorithm: str | None = None
    """Algorithm of a .zip, where its weights leave it open."""
    normalization: Path | None = None
    """Observation statistics of a .zip: a file of VecNormalize, or an .npz with mean and var."""

    def load(self, source: Path) -> Run:
        """The run, or the policy of a .zip as one."""
        from sim2real.runs.load import load_run

        told: dict[str, Any] = {"algorithm": self.algorithm, "normalization": self.normalization}
        return load_run(source, **told, **self.loading())


@dataclass(frozen=True, kw_only=True)
class Audit(Command):
    """Probe a domain at both ends of every range: each parameter must act, no world be broken."""

    task: Positional[str]
    """Task: a name (see `sim2real list`), a file my_robot.py, or "module:Class"; or a Gymnasium id,
    such as Hopper-v5, with a domain out of a file."""
    domain: str | None = None
    """One of the task's domains, or my_domains.yaml:windy; by default randomized, or nominal for a
    task without it."""
    task_options: Pairs = ()
    """Options of the task."""
    waive: tuple[str, ...] = ()
    """Parameters whose errors do not count."""
    out: Path | None = None
    """Folder for audit.json and the picture audit.png; by default nothing is written."""

    def run(self) -> Outcome:
        """Call `sim2real.audit`."""
        from sim2real.domains import default_domain
        from sim2real.evaluation.audit import audit
        from sim2real.runs.pretrained import refuse_policy
        from sim2real.simulation.front_ends.foreign import find_foreign

        refuse_policy(self.task)
        if find_foreign(self.task) is None:
            task: Any = named_task(self.task, self.task_options)
            domain = self.domain or default_domain(task)
        else:
            task, domain = self.task, self.domain or "randomized"
        report = audit(task, domain, waive=self.waive)
        file, picture = None, None
        if self.out is not None and can_write(self.out):
            from sim2real.evaluation.audit.picture import write_picture

            file, picture = unused(self.out, "audit.json", "audit.png")
            write_picture(picture, report)
        code = 0 if report.passed else 1
        return Outcome(report.plain(), audited(report), file, picture, code)


@dataclass(frozen=True, kw_only=True)
class Publish(OfPolicy):
    """Write a run's policy without its training state, with a card of what it is worth."""

    source: Positional[Path]
    """Run folder."""
    out: Path
    """New folder, which is accepted wherever a run is."""
    domains: tuple[str, ...] = ()
    """Domains of the card; by default every one beside the task's file."""
    episodes: int = 100
    """Episodes in each domain."""
    seed: int = 1
    """Seed of the episodes."""

    def run(self) -> Outcome:
        """Call `sim2real.runs.publish`."""
        from sim2real.runs.pretrained import read_card
        from sim2real.runs.publish import publish

        folder = publish(
            self.load(self.source),
            self.out,
            domains=self.domains or None,
            episodes=self.episodes,
            seed=self.seed,
        )
        card = read_card(folder)
        return Outcome(card, [evaluated(str(folder), card["domains"])], page=folder / "card.md")


@dataclass(frozen=True, kw_only=True)
class View(OfPolicy):
    """Show a policy at work: in a window where there is a screen, else as a film."""

    policy: Positional[Path]
    """Run folder, or pretrained:hopper and its like."""
    domains: tuple[str, ...] = ()
    """Domains to show, side by side in a film; by default the one that was learned in."""
    episodes: int = 1
    """Episodes in each domain; the same that `evaluate` runs."""
    seed: int = 0
    """Seed of the episodes."""
    seconds: float = 20.0
    """Simulated seconds of an episode, at most."""
    size: tuple[int, int] = (640, 480)
    """Width and height of the film in pixels, for each domain."""
    out: Path | None = None
    """Write a .gif or .mp4 here; without a screen by default view.mp4 in the run's report/."""

    def run(self) -> Outcome:
        """Call `sim2real.view`."""
        from sim2real.evaluation.view import view
        from sim2real.simulation.front_ends.screen import has_screen

        run = self.load(self.policy)
        out = self.out
        if out is None and not has_screen():
            (out,) = unused(run.results / "report", "view.mp4")
        if out is not None:
            require_writable(out.parent)
        domains = self.domains or (run.domain,)
        view(
            run.policy,
            run.task,
            domains,
            episodes=self.episodes,
            seed=self.seed,
            seconds=self.seconds,
            size=self.size,
            out=out,
        )
        names = [domain if isinstance(domain, str) else domain.name for domain in domains]
        data = {"policy": str(self.policy), "domains": names, "film": str(out) if out else None}
        return Outcome(data, [], page=out)


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Show versions, drawing, threads, disk, and how quick the physics is here."""

    def run(self) -> Outcome:
        """Call `sim2real.cli.doctor.doctor`."""
        from sim2real.cli.doctor import doctor

        found = doctor()
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        rows = [{"what": k.replace("_", " "), "found": v} for k, v in found.items()]
        rows[0]["found"] = versions
        return Outcome(found, [table("doctor", rows)])


@dataclass(frozen=True, kw_only=True)
class List(Command):
    """Show the tasks and their domains, the algorithms and the methods."""

    task: Positional[str | None] = None
    """Tell only this task's domains, in words."""

    def run(self) -> Outcome:
        """Read the registries."""
        from sim2real.domains import preset_domains, task_domains
        from sim2real.registry import task_names

        names = [self.task] if self.task else task_names()
        tasks = {name: task_domains(named_task(name)) for name in names}
        rows = [
            {"task": name, "domain": domain.name, "about": domain.about}
            for name, domains in tasks.items()
            for domain in domains.values()
        ]
        presets = {name: preset_domains(name) for name in names}
        data: dict[str, Any] = {
            "tasks": rows,
            "presets": {name: list(found) for name, found in presets.items()},
        }
        shown = [table("tasks and their domains", rows), _presets(presets)]
        data["pretrained"] = published(self.task)
        if data["pretrained"]:
            shown.append(table("reference policies", data["pretrained"]))
        if not self.task:
            data |= _kinds()
            kinds = [{"kind": kind, "names": ", ".join(found)} for kind, found in _kinds().items()]
            shown.append(table("algorithms and methods", kinds))
        return Outcome(data, shown)


def _presets(presets: dict[str, dict[str, Domain]]) -> Table:
    """Those of one task with what they are about, those of several as a line each."""
    if len(presets) == 1:
        (found,) = presets.values()
        rows = [{"preset": name, "about": domain.about} for name, domain in found.items()]
    else:
        rows = [
            {"task": task, "presets": ", ".join(dict.fromkeys(map(_shortened, found)))}
            for task, found in presets.items()
        ]
    return table("presets: published benchmarks as domains", rows)


def _shortened(name: str) -> str:
    """A preset without its level."""
    return name.rpartition("-")[0] + "-LEVEL" if "-" in name else name


def _kinds() -> dict[str, list[str]]:
    from sim2real.learning.adaptive import RANDOMIZATIONS
    from sim2real.policies.recipe import ALGORITHMS
    from sim2real.transfer.method import METHODS

    randomizations = {"randomizations": list(RANDOMIZATIONS)}
    return {"algorithms": list(ALGORITHMS), "methods": list(METHODS)} | randomizations
