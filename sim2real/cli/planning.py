"""The verbs `plan` and `decide`: how many episodes an interval or a verdict needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from sim2real.cli.command import Command, PolicyCommand, accept_domains, of_one_task
from sim2real.cli.output import Outcome, can_write, table
from sim2real.files import unused


@dataclass(frozen=True, kw_only=True)
class PlanVerb(Command):
    """Plan from a pilot how many seeds and episodes an interval of a given width needs."""

    rows: Positional[tuple[Path, ...]]
    """The evaluation.jsonl that `evaluate` writes, one file per training seed. A single file plans
    the number of episodes of this policy."""
    width: float
    """Width of the 95 % interval of the mean return, from end to end."""
    domain: str | None = None
    """Domain of the pilot, where it has several."""
    episodes: tuple[int, ...] = ()
    """Numbers of episodes per seed to plan seeds for; by default 5, 10, 20, 50, 100 and 200."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.planning.plan`."""
        from sim2real.evaluation.planning import ASSURED, EPISODES, pilot_returns, plan
        from sim2real.evaluation.row_files import load_rows

        pilot = pilot_returns([load_rows(path) for path in self.rows], self.domain)
        sizes = [asdict(one) for one in plan(pilot, self.width, self.episodes or EPISODES)]
        seeds, episodes = pilot.shape
        data = {
            "pilot": {"seeds": seeds, "episodes": episodes},
            "width": self.width,
            "assured": ASSURED,
            "sizes": sizes,
        }
        shown = table(f"sample sizes for an interval of width {self.width:g}", sizes)
        shown.caption = (
            f"from a pilot of {seeds} x {episodes} episodes; "
            f"about {ASSURED:.0%} of evaluations keep the width"
        )
        return Outcome(data, [shown])


@dataclass(frozen=True, kw_only=True)
class Decide(PolicyCommand):
    """Compare two policies in a domain with as few episodes as the verdict needs."""

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model."""
    baseline: Path
    """The policy that it is compared with, given in the same way."""
    domain: str = "nominal"
    """Domain of the task, or my_domains.yaml:windy."""
    looks: tuple[int, ...] = ()
    """Numbers of episodes after which they are compared; by default 60, 120, 180, 240 and 300."""
    seed: int = 0
    """Seed of the episodes."""
    num_envs: int | None = None
    """Worlds stepped together; the results do not depend on it."""
    out: Path | None = None
    """Folder for decision.json; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.sequential.decide`."""
        from sim2real.evaluation.sequential import LOOKS, decide

        paths = (self.policy, self.baseline)
        mine, other = (self.load(path) for path in paths)
        of_one_task({str(path): run for path, run in zip(paths, (mine, other), strict=True)})
        accept_domains(mine.task, (self.domain,), self.trust_code)
        folder = self.out or mine.results / "report"
        kept = can_write(folder)
        found = decide(
            mine.policy,
            other.policy,
            mine.task,
            self.domain,
            looks=self.looks or LOOKS,
            seed=self.seed,
            num_envs=self.num_envs,
            accept_changes=self.accept_changes,
        )
        data: dict[str, Any] = {
            "policy": str(self.policy),
            "baseline": str(self.baseline),
            "task": mine.task.reference,
            "domain": self.domain,
            "seed": self.seed,
            **asdict(found),
        }
        line = {
            "verdict": found.verdict,
            "difference": found.value,
            "episodes": found.episodes,
            "p": f"{found.p:.2g}",
            "decided if p is at most": f"{found.boundary:.2g}",
        }
        shown = table(f"{self.policy} against {self.baseline} in {self.domain}", [line])
        (file,) = unused(folder, "decision.json") if kept else (None,)
        return Outcome(data, [shown], file)
