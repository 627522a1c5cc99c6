"""The verbs `sweep` and `influence`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import PolicyCommand, accept_domains, of_one_task
from sim2real.cli.output import Outcome, can_write, table
from sim2real.errors import UserError
from sim2real.files import unused

if TYPE_CHECKING:
    from sim2real.evaluation.sweeps import Sweep


@dataclass(frozen=True, kw_only=True)
class SweepVerb(PolicyCommand):
    """Measure policies at many values of one or two parameters; show where each is safe."""

    policies: Positional[tuple[Path, ...]]
    """Run folders, shipped policies such as pretrained:hopper, or .zip files of Stable-Baselines3
    models."""
    parameter: tuple[str, ...]
    """One or two parameters, by their names in the context, such as dof_damping."""
    domain: str = "nominal"
    """Domain that has the other parameters."""
    ranges: str | None = None
    """Domain whose ranges are swept; by default randomized, or nominal for a task without it."""
    values: tuple[float, ...] = ()
    """Values of one parameter; by default quantiles of its range."""
    count: int = 20
    """Number of quantiles, for each parameter."""
    measure: str = "return"
    """What is measured: return or success."""
    threshold: float | None = None
    """A policy is safe where the interval of its mean lies above this number."""
    episodes: int = 50
    """Episodes at each point."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int | None = None
    """Worlds stepped together; the results do not depend on it."""
    out: Path | None = None
    """Folder of the result; by default the first run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.sweeps.sweep`."""
        from sim2real.domains import default_domain, load_domain
        from sim2real.evaluation.sweeps import axis, sweep

        runs = of_one_task({str(path): self.load(path) for path in self.policies})
        first = next(iter(runs.values()))
        named = self.ranges or default_domain(first.task)
        accept_domains(first.task, (self.domain, named), self.trust_code)
        if self.values and len(self.parameter) > 1:
            raise UserError("--values are those of one parameter; --count is for two")
        base, ranges = (load_domain(first.task, name) for name in (self.domain, named))
        axes = [axis(name, base, ranges, self.values, self.count) for name in self.parameter]
        folder = self.out or first.results / "report"
        kept = can_write(folder)
        found = sweep(
            {name: run.policy for name, run in runs.items()},
            first.task,
            axes,
            domain=base,
            measure=self.measure,
            episodes=self.episodes,
            seed=self.seed,
            num_envs=self.num_envs,
            accept_changes=self.accept_changes,
        )
        data: dict[str, Any] = {
            **{name: getattr(found, name) for name in ("task", "domain", "measure")},
            **{name: getattr(found, name) for name in ("episodes", "seed")},
            "threshold": self.threshold,
            "points": found.records(self.threshold),
        }
        shown = [table(_title(found), swept_table(found, self.threshold))]
        if not kept:
            return Outcome(data, shown)
        from sim2real.evaluation.sweeps.figure import write_sweep  # matplotlib

        result, csv, figure = unused(folder, "sweep.json", "sweep.csv", "sweep.svg")
        write_sweep(figure, csv, found, self.threshold)
        return Outcome(data, shown, result, page=figure)


@dataclass(frozen=True, kw_only=True)
class InfluenceVerb(PolicyCommand):
    """Measure which parameters of a domain cause the variance of the return."""

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model."""
    domain: str | None = None
    """Domain with ranges; by default randomized, or nominal for a task without it."""
    samples: int = 64
    """Samples of the design, a power of 2; d parameters take samples x (d + 2) contexts."""
    episodes: int = 3
    """Episodes in each context."""
    seed: int = 0
    """Seed of the samples and of the episodes."""
    num_envs: int | None = None
    """Worlds stepped together; the results do not depend on it."""
    out: Path | None = None
    """Folder for influence.json; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.sweeps.influence`."""
        from sim2real.domains import default_domain
        from sim2real.evaluation.numbers import percent
        from sim2real.evaluation.sweeps import influence

        run = self.load(self.policy)
        domain = self.domain or default_domain(run.task)
        accept_domains(run.task, (domain,), self.trust_code)
        folder = self.out or run.results / "report"
        kept = can_write(folder)
        found = influence(
            run.policy,
            run.task,
            domain,
            samples=self.samples,
            episodes=self.episodes,
            seed=self.seed,
            num_envs=self.num_envs,
            accept_changes=self.accept_changes,
        )

        def share(value: float, interval: tuple[float, float]) -> str:
            return f"{percent(value)} ({percent(interval[0])} to {percent(interval[1])})"

        rows = [
            {
                "parameter": one.name,
                "alone": share(one.first, one.first_interval),
                "with others": share(one.total, one.total_interval),
            }
            for one in found
        ]
        data = {
            "policy": str(self.policy),
            "task": run.task.reference,
            "domain": domain,
            "samples": self.samples,
            "episodes": self.episodes,
            "seed": self.seed,
            "parameters": [one.plain() for one in found],
        }
        title = f"{self.policy} in {domain}: share of the variance of the return (Sobol' indices)"
        (file,) = unused(folder, "influence.json")
        return Outcome(data, [table(title, rows)], file if kept else None)


def _title(found: Sweep) -> str:
    return f"{found.task} in {found.domain}: mean {found.measure} (95 % interval of each policy)"


def swept_table(found: Sweep, threshold: float | None) -> list[dict[str, Any]]:
    """One line per policy: the range of its means, and where it is safe."""
    from sim2real.evaluation.numbers import percent, whole
    from sim2real.evaluation.sweeps.sweep import safe_ranges

    def at(place: int) -> str:
        return ", ".join(f"{value:.3g}" for value in found.points[place])

    rows = []
    for curve in found.curves:
        order = sorted(range(len(curve.means)), key=lambda k: float(curve.means[k]))
        row: dict[str, Any] = {"policy": curve.policy}
        for name, place in (("lowest", order[0]), ("highest", order[-1])):
            row[name] = f"{whole(curve.means[place])} at {at(place)}"
        if threshold is not None:
            verdicts = curve.verdicts(threshold)
            row[f"points above {threshold:g}"] = percent(_share(verdicts))
            if len(found.axes) == 1:
                ranges = safe_ranges(found.axes[0].values, verdicts)
                said = [f"{low:.3g} to {high:.3g}" for low, high in ranges]
                row[f"safe {found.axes[0].name}"] = ", ".join(said) or "nowhere"
        rows.append(row)
    return rows


def _share(verdicts: Sequence[str]) -> float:
    return sum(one == "safe" for one in verdicts) / len(verdicts)
