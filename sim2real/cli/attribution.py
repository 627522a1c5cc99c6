"""The verb `attribute`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import PolicyCommand, accept_domains
from sim2real.cli.output import Outcome, can_write, table
from sim2real.files import unused, write_text

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.evaluation.attribution import Attribution
    from sim2real.evaluation.statistics import Interval


@dataclass(frozen=True, kw_only=True)
class Attribute(PolicyCommand):
    """Divide the gap between two domains among their physical differences."""

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model."""
    target: str
    """Domain where the return is lower: one of the task's, or my_domains.yaml:windy, such as the
    identified.yaml:identified of `identify`."""
    source: str = "nominal"
    """Domain where the return is higher."""
    episodes: int = 50
    """Episodes of each set of differences."""
    seed: int = 0
    """Seed of the episodes and of the sampled orders."""
    pairs: int | None = None
    """Pairs of orders to sample; by default all sets are evaluated for up to 6 differences, and 16
    pairs are sampled for more."""
    num_envs: int | None = None
    """Worlds stepped together; the results do not depend on it."""
    out: Path | None = None
    """Folder of the result; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.attribution.attribute`."""
        from sim2real.domains import load_domain
        from sim2real.domains.domain import dump_domains
        from sim2real.evaluation.attribution import attribute, without_each

        run = self.load(self.policy)
        accept_domains(run.task, (self.source, self.target), self.trust_code)
        folder = self.out or run.results / "report"
        kept = can_write(folder)
        found = attribute(
            run.policy,
            run.task,
            self.source,
            self.target,
            episodes=self.episodes,
            seed=self.seed,
            pairs=self.pairs,
            num_envs=self.num_envs,
            accept_changes=self.accept_changes,
        )
        data: dict[str, Any] = {"policy": str(self.policy), **found.plain()}
        shown = [attributed(str(self.policy), found)]
        if not kept:
            return Outcome(data, shown)
        from sim2real.evaluation.attribution.waterfall import write_waterfall  # matplotlib

        result, csv, figure, domains = unused(
            folder, "attribution.json", "attribution.csv", "attribution.svg", "attribution.yaml"
        )
        write_waterfall(figure, csv, found)
        source, target = (load_domain(run.task, name) for name in (self.source, self.target))
        write_text(domains, dump_domains(without_each(source, target)))
        return Outcome(data, shown, result, page=figure)


def attributed(policy: str, found: Attribution) -> Table:
    """An attribution as a table, one line per difference, the largest first."""
    from sim2real.evaluation.numbers import percent, whole

    def between(one: Interval) -> str:
        return f"{whole(one.value)} ({whole(one.low)} to {whole(one.high)})"

    gap = found.gap.value
    rows = [
        {
            "difference": part.name,
            "part of the gap": between(part.shapley),
            "share": percent(part.shapley.value / gap) if gap else "–",
            **({} if found.pairs is None else {"± of orders": whole(part.error)}),
            "lost with it alone": between(part.alone),
            "regained without it": between(part.regained),
        }
        for part in found.parts
    ]
    title = (
        f"{policy}: {found.source} {between(found.source_return)} -> {found.target} "
        f"{between(found.target_return)}, gap {between(found.gap)}"
    )
    shown = table(title, rows)
    how = "all" if found.pairs is None else f"{found.pairs} pairs of orders of the differences,"
    amount = f"{how} {found.sets} sets of differences, {found.episodes} episodes each"
    note = "95 % intervals over the episodes of this policy"
    shown.caption = "; ".join([amount, note, *found.notes])
    return shown
