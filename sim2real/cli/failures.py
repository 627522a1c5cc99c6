"""The verb `failures`: which episodes fail, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import PolicyCommand, accept_domains
from sim2real.cli.output import Outcome, can_write, table
from sim2real.errors import UserError
from sim2real.files import unused

if TYPE_CHECKING:
    from rich.table import Table

FILM_SIZE = (320, 240)


@dataclass(frozen=True, kw_only=True)
class Failures(PolicyCommand):
    """Run a policy in a domain; tell where in the drawn context it fails, and how."""

    policy: Positional[Path]
    """Run folder, a shipped policy such as pretrained:hopper, or the .zip of a Stable-Baselines3
    model."""
    domain: str | None = None
    """Domain: one of the task's, or my_domains.yaml:windy; by default that of the training. One
    with ranges: a rule says which of the drawn values end in failures."""
    episodes: int = 200
    """Episodes; a rule needs at least 5 that fail and 5 that do not."""
    seed: int = 0
    """Seed of the episodes."""
    below: float | None = None
    """Also an episode with a lower return than this counts as a failure."""
    films: bool = False
    """Write a film of the typical episode of each cluster beside the result."""
    out: Path | None = None
    """Folder of the result; by default the run's report/, or beside the .zip."""

    def run(self) -> Outcome:
        """Call `sim2real.evaluation.failures.failures`."""
        from sim2real.evaluation.failures import failures
        from sim2real.evaluation.replay import replay, replay_command
        from sim2real.evaluation.rollout import evaluate

        run = self.load(self.policy)
        domain = self.domain or run.domain
        accept_domains(run.task, [self.domain], self.trust_code)
        folder = self.out or run.results / "report"
        kept = can_write(folder)
        if self.films and not kept:
            raise UserError(f"--films needs a folder that can be written, {folder} cannot")
        rows = evaluate(run.policy, run.task, domain, episodes=self.episodes, seed=self.seed)
        found = failures(rows, self.below)
        data = {"policy": str(self.policy), "seed": self.seed, **found.plain()}
        for cluster, plain in zip(found.clusters, data["clusters"], strict=True):
            plain["replay"] = replay_command(self.policy, cluster.typical)
            if self.films:
                episode = cluster.typical.episode
                (film,) = unused(folder, f"episode-{episode}.gif")
                replay(
                    run.policy,
                    run.task,
                    domain,
                    episode=episode,
                    seed=self.seed,
                    size=FILM_SIZE,
                    out=film,
                )
                plain["film"] = str(film)
        (file,) = unused(folder, "failures.json") if kept else (None,)
        return Outcome(data, told(data), file)


def told(data: Mapping[str, Any]) -> list[Table]:
    """The result as sentences, then a line for each cluster with the command of its replay."""
    how_many, rule, *clusters = data["sentences"]
    rows = [{"": how_many}, {"": rule}]
    for words, cluster in zip(clusters, data["clusters"], strict=True):
        film = f"\n{cluster['film']}" if "film" in cluster else ""
        rows.append({"": f"{words}\ntypical: {cluster['replay']}{film}"})
    shown = table(f"failures of {data['policy']}", rows)
    shown.show_header, shown.show_lines = False, True
    return [shown]
