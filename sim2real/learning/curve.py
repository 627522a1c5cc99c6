"""A learning curve: evaluations of the policy, in the domain it learns in, at given steps.

They run in simulations of their own, on their own episodes, and are not charged to a budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.files import write_json
from sim2real.task import Task

SEED = 1_000_003
"""Added to a run's seed: the curve is measured on episodes that were not learned from."""
CURVE_EPISODES = 20

MOST_POINTS = 10_000
"""Evaluations of a learning curve."""


def schedule(points: int | Iterable[int] | None, steps: int) -> tuple[int, ...]:
    """When to evaluate: at these control steps, 0 and the end included; a number: so many parts.

    >>> schedule(4, 100), schedule([30], 100), schedule(None, 100)
    ((0, 25, 50, 75, 100), (0, 30, 100), ())
    """
    if points is None:
        return ()
    if isinstance(points, int):
        whole_number("the number of parts of the curve", points, 1, MOST_POINTS)
        points = [part * steps // points for part in range(points + 1)]
    wanted = sorted({0, *points, steps})
    if wanted[0] < 0 or wanted[-1] > steps:
        raise UserError(
            f"the curve asks for {wanted[0]} to {wanted[-1]} steps; allowed: 0 to {steps}"
        )
    return tuple(wanted)


class Curve(BaseCallback):
    """Evaluate at the first boundary of rollouts at or after each scheduled step."""

    def __init__(
        self,
        points: Sequence[int],
        task: Task,
        domain: Domain,
        *,
        seed: int,
        episodes: int,
        path: Path,
        tag: str = "target/return",
    ) -> None:
        super().__init__()
        self._tag = tag
        self._points = tuple(points)
        self._task, self._domain = task, domain
        self._seed, self._episodes, self._path = seed + SEED, episodes, path
        self.rows: list[dict[str, Any]] = []

    def state(self) -> dict[str, Any]:
        """The rows so far, for a checkpoint."""
        return {"rows": self.rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the rows of a checkpoint."""
        self.rows = list(state["rows"])

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        now = self.model.num_timesteps
        measured = self.rows[-1]["steps"] if self.rows else -1
        if any(measured < point <= now for point in self._points):
            self._log(now)

    def _on_training_end(self) -> None:
        if not self.rows or self.rows[-1]["steps"] != self.model.num_timesteps:
            self._log(self.model.num_timesteps)

    def _log(self, now: int) -> None:
        self.measure(self.model.policy, now)
        self.logger.record(self._tag, self.rows[-1]["mean"])

    def measure(self, policy: BasePolicy, now: int) -> None:
        """Evaluate `policy`, add the row of `now` control steps, and write all."""
        rows = evaluate(
            policy,
            self._task,
            self._domain,
            episodes=self._episodes,
            seed=self._seed,
            accept_changes=True,  # compared when the training began
        )
        unstable = sum(row.unstable for row in rows)
        # where no episode stayed stable their own returns keep the curve going, beside the count
        totals = returns(rows).tolist() if unstable < len(rows) else [row.total for row in rows]
        self.rows.append(
            {
                "steps": now,
                "mean": sum(totals) / len(totals),
                "totals": totals,
                "failed": sum(row.failed for row in rows),
                "unstable": unstable,
            }
        )
        self.write()

    def write(self) -> None:
        """Write the rows to the run's report/curve.json."""
        measured = {
            "domain": self._domain.name,
            "seed": self._seed,
            "episodes": self._episodes,
            "charged_to_budget": False,
            "rows": self.rows,
        }
        write_json(self._path, measured)
