"""One evaluated episode again, bit for bit: what an episode draws depends on its number alone."""

from __future__ import annotations

from pathlib import Path

from sim2real.domains import Domain
from sim2real.evaluation.rollout import Policy, Row, evaluate
from sim2real.evaluation.view import MOST_SECONDS, view
from sim2real.task import Task


def replay(
    policy: Policy,
    task: str | Task,
    domain: str | Domain = "nominal",
    *,
    episode: int,
    seed: int = 0,
    size: tuple[int, int] = (640, 480),
    out: Path | str | None = None,
    accept_changes: bool = False,
) -> Row:
    """Show the episode of this number to its end, and return its row.

    The row equals that of `evaluate` with the same policy, domain and `seed`, bit for bit, on the
    same versions and processor. With `out`, a .gif or .mp4, a film of `size` (width, height) in
    pixels is written; without it the episode runs in MuJoCo's viewer. `evaluate` with
    `episodes=[episode]` gives the row alone. Raises UserError as `evaluate` and `view` do.
    """
    (row,) = evaluate(
        policy, task, domain, episodes=[episode], seed=seed, accept_changes=accept_changes
    )
    view(
        policy,
        task,
        domain,
        episodes=[episode],
        seed=seed,
        seconds=MOST_SECONDS,
        size=size,
        out=out,
        accept_changes=accept_changes,
    )
    return row


def replay_command(policy: Path | str, row: Row) -> str:
    """The command that shows the episode of a row: `sim2real replay RUN --domain D ...`."""
    seed = f" --seed {row.seed}" if row.seed else ""
    return f"sim2real replay {policy} --domain {row.domain} --episode {row.episode}{seed}"
