"""The verbs that show what there is: `list` and `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import Command, named_task
from sim2real.cli.output import Outcome, table

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.domains import Domain


@dataclass(frozen=True, kw_only=True)
class List(Command):
    """Show the shipped tasks with their domains, the algorithms and the methods."""

    task: Positional[str | None] = None
    """Show the domains of this task alone."""

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
            data |= kinds()
            named = [{"kind": kind, "names": ", ".join(found)} for kind, found in kinds().items()]
            shown.append(table("algorithms and methods", named))
        return Outcome(data, shown)


def _presets(presets: dict[str, dict[str, Domain]]) -> Table:
    """The presets of one task with their descriptions; of several tasks, one line per task."""
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


def kinds() -> dict[str, list[str]]:
    """The names of the algorithms, methods and randomizations; torch is not imported for them."""
    from sim2real.learning import ADAPTIVE
    from sim2real.policies import ALGORITHMS
    from sim2real.transfer.methods import METHODS

    found = {"algorithms": ALGORITHMS, "methods": METHODS, "randomizations": ADAPTIVE}
    return {kind: list(names) for kind, names in found.items()}


def published(task: str | None = None) -> list[dict[str, Any]]:
    """The shipped policies, all or those of one task, with their returns; one row each."""
    from sim2real.registry import POLICY
    from sim2real.runs.pretrained import pretrained_names, read_card

    cards = {name: read_card(POLICY + name) for name in pretrained_names()}
    return [
        {
            "policy": POLICY + name,
            "trained_in": card["domain"],
            "steps": card["steps"],
            "returns": ", ".join(
                f"{domain['domain']} {domain['mean_return']:,.0f}" for domain in card["domains"]
            ),
        }
        for name, card in cards.items()
        if task in (None, card["task"])
    ]


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Show versions, rendering, threads, disk space and the speed of the physics."""

    def run(self) -> Outcome:
        """Call `sim2real.cli.doctor.doctor`."""
        from sim2real.cli.doctor import doctor

        found = doctor()
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        rows = [{"what": k.replace("_", " "), "found": v} for k, v in found.items()]
        rows[0]["found"] = versions
        return Outcome(found, [table("doctor", rows)])
