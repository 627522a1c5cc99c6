"""The verbs that use a policy and do not train it: `evaluate`, `view` and `publish`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import PolicyCommand, accept_domains
from sim2real.cli.output import Outcome, can_write, table
from sim2real.files import require_writable, unused

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Evaluate(PolicyCommand):
    """Run a policy in domains; print a table of returns, write a JSON line for each episode."""

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model. No code in the .zip is executed."""
    domains: tuple[str, ...] = ("nominal",)
    """Domains of the task, or my_domains.yaml:windy."""
    episodes: int = 100
    """Episodes in each domain."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int | None = None
    """Worlds stepped together; the results do not depend on it."""
    stochastic: bool = False
    """Sample the actions instead of taking the mean."""
    out: Path | None = None
    """Folder of the result; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluate`."""
        from sim2real.evaluation.rollout import evaluate
        from sim2real.evaluation.row_files import save_rows
        from sim2real.evaluation.sensitivity import by_parameter
        from sim2real.evaluation.sensitivity_figure import write_sensitivity
        from sim2real.evaluation.summary import summaries

        run = self.load(self.policy)
        accept_domains(run.task, self.domains, self.trust_code)
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
        if rows[0].quality:
            shown.append(table("how it acts", _qualities(data["domains"])))
        if data["parameters"]:
            shown.append(table("return against the drawn parameters", data["parameters"]))
        if not kept:
            return Outcome(data, shown)
        table_file, rows_file, figure_file = unused(
            folder, "evaluation.json", "evaluation.jsonl", "sensitivity.png"
        )
        save_rows(rows_file, rows)
        return Outcome(data, shown, table_file, page=write_sensitivity(figure_file, rows))


@dataclass(frozen=True, kw_only=True)
class View(PolicyCommand):
    """Show a policy in a window, or write a video where there is no screen."""

    policy: Positional[Path]
    """Run folder, or a shipped policy such as pretrained:hopper."""
    beside: tuple[Path, ...] = ()
    """Other runs, whose policies are shown beside it in the same episodes."""
    domains: tuple[str, ...] = ()
    """Domains to show, side by side in a video; by default the domain of the training."""
    episodes: int = 1
    """Episodes in each domain; the first ones that `evaluate` runs with the same seed."""
    seed: int = 0
    """Seed of the episodes."""
    seconds: float = 20.0
    """Simulated seconds of an episode, at most."""
    size: tuple[int, int] = (640, 480)
    """Width and height of the video in pixels, for each domain."""
    out: Path | None = None
    """Write a .gif or .mp4 here; without a screen by default view.mp4 in the run's report/."""

    def run(self) -> Outcome:
        """Call `sim2real.view`."""
        from sim2real.evaluation.view import view
        from sim2real.simulation.front_ends.screen import has_screen

        run = self.load(self.policy)
        accept_domains(run.task, self.domains, self.trust_code)
        out = self.out
        if out is None and not has_screen():
            (out,) = unused(run.results / "report", "view.mp4")
        if out is not None:
            require_writable(out.parent)
        domains = self.domains or (run.domain,)
        others = {str(path): self.load(path).policy for path in self.beside}
        view(
            {str(self.policy): run.policy, **others} if others else run.policy,
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
class Publish(PolicyCommand):
    """Write a run's policy without its training state, with a card of its returns."""

    source: Positional[Path]
    """Run folder."""
    out: Path
    """New folder. Every verb that takes a run takes it."""
    domains: tuple[str, ...] = ()
    """Domains of the card; by default all domains beside the task's file."""
    episodes: int = 100
    """Episodes in each domain."""
    seed: int = 1
    """Seed of the episodes."""

    def run(self) -> Outcome:
        """Call `sim2real.runs.publish`."""
        from sim2real.domains import domain_names
        from sim2real.runs.pretrained import read_card
        from sim2real.runs.publish import publish

        source = self.load(self.source)
        accept_domains(source.task, self.domains or domain_names(source.task), self.trust_code)
        folder = publish(
            source,
            self.out,
            domains=self.domains or None,
            episodes=self.episodes,
            seed=self.seed,
        )
        card = read_card(folder)
        return Outcome(card, [evaluated(str(folder), card["domains"])], page=folder / "card.md")


def _qualities(domains: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The means of `evaluation.action_quality` in each domain."""
    return [
        {"domain": one["domain"], **{name: f"{mean:.3g}" for name, mean in one["quality"].items()}}
        for one in domains
    ]


def evaluated(title: str, domains: Sequence[Mapping[str, Any]]) -> Table:
    """The table of the `summary` of a policy in each domain, intervals in brackets."""
    from sim2real.evaluation.numbers import percent, whole
    from sim2real.evaluation.unstable import NOTE

    def between(found: Sequence[float | None], shown: Any) -> str:
        return "" if None in found else f" ({shown(found[0])} to {shown(found[1])})"

    def number(value: float | None) -> str:
        return "–" if value is None else f"{value:,.2f}"

    def gap(one: Mapping[str, Any]) -> str:
        found = one["gap_to_first"]
        if found is None:
            return "–"
        return number(found["value"]) + between((found["low"], found["high"]), number)

    several = len(domains) > 1 and "gap_to_first" in domains[0]
    rows = [
        {
            "domain": one["domain"],
            "mean_return": number(one["mean_return"]) + between((one["low"], one["high"]), number),
            **({f"gap_to_{domains[0]['domain']}": gap(one)} if several else {}),
            "mean_length": whole(one["mean_length"]),
            "failed": percent(one["failure_rate"]) + between(one["failure_interval"], percent),
            "unstable": str(one["unstable"]),
            **(
                {"success": percent(one["success"]) + between(one["success_interval"], percent)}
                if "success" in one
                else {}
            ),
        }
        for one in domains
    ]
    shown = table(f"{title} (95 % interval over the episodes of this policy)", rows)
    shown.caption = NOTE if any(one["unstable"] for one in domains) else None
    return shown
