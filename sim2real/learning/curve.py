"""A learning curve: evaluations of the policy, in the domain it learns in, at given steps.

They run in separate simulations, on separate episodes, and are not charged to a budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from stable_baselines3.common.policies import BasePolicy

from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.references import known_references
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.evaluation.statistics import Estimate
from sim2real.evaluation.summary import mean_quality
from sim2real.evaluation.wrappers import GAP, SIDES, RepeatedEvaluation
from sim2real.files import read_json, write_json
from sim2real.learning.front_page import GAP_CLOSED, SCORES
from sim2real.task import Task

SEED = 1_000_003
"""Added to a run's seed: the curve is measured on episodes that no training used."""
CURVE_EPISODES = 20

MOST_POINTS = 10_000
"""Evaluations of a learning curve."""


def measure(
    policy: BasePolicy, task: Task, domain: Domain, *, seed: int, episodes: int
) -> dict[str, Any]:
    """A row of a curve: returns of `policy` in `domain`, on the episodes of a run's `seed`.

    And how it acts: `quality` has the means of `evaluation.action_quality`.
    """
    rows = evaluate(
        policy,
        task,
        domain,
        episodes=episodes,
        seed=seed + SEED,
        accept_changes=True,  # compared when the training began
    )
    unstable = sum(row.unstable for row in rows)
    # where no episode stayed stable their own returns continue the curve, beside the count
    totals = returns(rows).tolist() if unstable < len(rows) else [row.total for row in rows]
    return {
        "mean": sum(totals) / len(totals),
        "totals": totals,
        "failed": sum(row.failed for row in rows),
        "unstable": unstable,
        "quality": mean_quality(rows),
    }


def schedule(points: int | Iterable[int] | None, steps: int) -> tuple[int, ...]:
    """The control steps to evaluate at, 0 and the end included; a number asks for equal parts.

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


class Curve(RepeatedEvaluation):
    """Evaluate at the first boundary of rollouts at or after each scheduled step.

    Logs source/mean_reward or target/mean_reward, by the `side` that `domain` is on. With
    `other_side`, the mean return on the other side, in `other_domain`, that and rollout/gap are
    logged, too. Where a study has left references of both domains, their scores and, in a target,
    rollout/gap_closed are logged as well.
    """

    def __init__(
        self,
        points: Sequence[int],
        task: Task,
        domain: Domain,
        *,
        seed: int,
        episodes: int,
        path: Path,
        side: Literal["source", "target"],
        other_side: Callable[[BasePolicy], float] | None = None,
        other_domain: Domain | None = None,
    ) -> None:
        super().__init__()
        known = [known_references(task, one) for one in (domain, other_domain) if one is not None]
        self._references = [one for one in known if one is not None and one.oracle > one.random]
        self._side, self._other_side = side, other_side
        self._points = tuple(points)
        self._task, self._domain = task, domain
        self._seed, self._episodes, self._path = seed, episodes, path
        self.rows: list[dict[str, Any]] = []

    def state(self) -> dict[str, Any]:
        """The rows so far, for a checkpoint."""
        return {"rows": self.rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the rows of a checkpoint."""
        self.rows = list(state["rows"])

    def _last(self) -> int | None:
        return self.rows[-1]["steps"] if self.rows else None

    def _due(self, steps: int, last: int | None) -> bool:
        return any((-1 if last is None else last) < point <= steps for point in self._points)

    def _evaluate(self) -> None:
        self.measure(self.model.policy, self.model.num_timesteps)
        means = [self.rows[-1]["mean"]]
        if self._other_side is not None:
            means.append(self._other_side(self.model.policy))
        order = 1 if self._side == "source" else -1
        for tag, mean in zip(SIDES[::order], means, strict=False):
            self.logger.record(tag, mean)
        if len(means) == 2:
            self.logger.record(GAP, order * (means[0] - means[1]))
        if len(means) == len(self._references) == 2:
            self._log_scores(means, order)

    def _log_scores(self, means: Sequence[float], order: int) -> None:
        """Log the scores of the mean returns here and on the other side."""
        own, other = self._references
        scores = own.score(Estimate(means[0])).value, other.score(Estimate(means[1])).value
        for tag, score in zip(SCORES[::order], scores, strict=True):
            self.logger.record(tag, score)
        before = own.score(Estimate(self.rows[0]["mean"])).value
        if self._side == "target" and scores[1] > before:
            self.logger.record(GAP_CLOSED, (scores[0] - before) / (scores[1] - before))

    def resume(self, now: int) -> None:
        """Take over what was written for fewer than `now` control steps."""
        if self._path.is_file():
            self.rows = [row for row in read_json(self._path)["rows"] if row["steps"] < now]

    def measure(self, policy: BasePolicy, now: int) -> None:
        """Evaluate `policy`, add the row of `now` control steps, and write all."""
        how = {"seed": self._seed, "episodes": self._episodes}
        row = {"steps": now} | measure(policy, self._task, self._domain, **how)
        self.rows.append(row)
        measured = {
            "domain": self._domain.name,
            "seed": self._seed + SEED,
            "episodes": self._episodes,
            "charged_to_budget": False,
            "rows": self.rows,
        }
        write_json(self._path, measured)
