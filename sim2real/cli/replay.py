"""The verb `replay`: one evaluated episode again, or a fault of a training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from sim2real.cli.command import PolicyCommand, accept_domains
from sim2real.cli.fault import is_fault, repeated
from sim2real.cli.output import Outcome, table
from sim2real.files import require_writable, unused

if TYPE_CHECKING:
    from rich.table import Table

    from sim2real.evaluation.rollout import Row


@dataclass(frozen=True, kw_only=True)
class Replay(PolicyCommand):
    """Show one episode of an evaluation again, in a window or as a film, and print its row.

    Of a fault of a training, RUN/faults/STEP: the error again, with the states before it.
    """

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, the .zip of a Stable-Baselines3
    model, or the folder of a fault."""
    domain: str | None = None
    """Domain of the episode: one of the task's, or my_domains.yaml:windy; by default that of the
    training."""
    episode: int = 0
    """Number of the episode, as `evaluate` counts them from 0."""
    seed: int = 0
    """Seed of the evaluation."""
    size: tuple[int, int] = (640, 480)
    """Width and height of the film in pixels."""
    video: Path | None = None
    """Write a .gif or .mp4 here; without a screen by default replay.mp4 in the run's report/."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.replay.replay`, or `learning.faults.replay_fault`."""
        if is_fault(self.policy):
            return repeated(self.policy, self.loading())
        from sim2real.evaluation.replay import replay
        from sim2real.simulation.front_ends.screen import has_screen

        run = self.load(self.policy)
        domain = self.domain or run.domain
        accept_domains(run.task, [self.domain], self.trust_code)
        film = self.video
        if film is None and not has_screen():
            (film,) = unused(run.results / "report", "replay.mp4")
        if film is not None:
            require_writable(film.parent)
        row = replay(
            run.policy,
            run.task,
            domain,
            episode=self.episode,
            seed=self.seed,
            size=self.size,
            out=film,
        )
        data = {"policy": str(self.policy), **dataclasses.asdict(row)}
        return Outcome(data | {"film": str(film) if film else None}, told(row), page=film)


def told(row: Row) -> list[Table]:
    """An episode as a table of its result, and one of what was drawn."""
    end = "failed" if row.failed else "unstable" if row.unstable else "out of time"
    result = {"return": row.total, "control steps": row.length, "end": end}
    if row.success is not None:
        result["success"] = str(row.success)
    results = result | {f"reward {name}": value for name, value in row.terms.items()}
    title = f"episode {row.episode} in {row.domain}, seed {row.seed}"
    tables = [table(title, [{"what": name, "value": value} for name, value in results.items()])]
    drawn = [{"parameter": name, "drawn": f"{v:.4g}"} for name, v in row.context.items()]
    return [*tables, table("what the domain drew", drawn)] if drawn else tables
