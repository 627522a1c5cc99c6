"""Which episodes fail, where in the context, and how: clusters with a rule in words.

The rule is a shallow tree over what the domain drew (see `tree`). It is kept only if it holds for
episodes that it was not made from, more than chance explains: the balanced accuracy on held-out
episodes is compared with that of the same search where the failures are shuffled among the episodes
(a permutation test, Ojala & Garriga 2010, "Permutation tests for studying classifier performance",
JMLR 11). Otherwise the answer is that no rule was found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sim2real.errors import UserError
from sim2real.evaluation.rollout import Row
from sim2real.evaluation.tree import MOST_DEPTH, SMALLEST_LEAF, Condition, Leaf, grow, held_out
from sim2real.task import Array, BoolArray

Kind = Literal["unstable", "failed", "no success", "low return"]

SHUFFLES, MOST_AS_GOOD = 99, 4
"""A rule needs to be better than 95 of 99 searches among shuffled failures: p = 0.05."""
CLEARER = 0.02
"""By how much a deeper tree must be better on held-out episodes to be taken."""
APART = 2.0
"""Factor between the lengths of two neighbouring episodes that fail early and late."""
WORDS = {
    "unstable": "becomes unstable",
    "failed": "fails",
    "no success": "has no success",
    "low return": "has a low return",
}


@dataclass(frozen=True)
class Rule:
    """A tree of `depth`, and of which share of the held-out failures, and of the others, it says
    what they are."""

    depth: int
    failures_found: float
    others_found: float

    @property
    def accuracy(self) -> float:
        """Balanced: the mean of both shares, 0.5 for a guess."""
        return (self.failures_found + self.others_found) / 2


@dataclass(frozen=True)
class Cluster:
    """Episodes that fail alike: of one kind, in one region of the context, early or late.

    `region` is the number of episodes where all `conditions` hold; without conditions these are
    all, or all that no other cluster's conditions hold for (`elsewhere`). `steps` are the fewest,
    the median and the most control steps until the end.
    """

    kind: Kind
    conditions: tuple[Condition, ...]
    elsewhere: bool
    region: int
    episodes: tuple[int, ...]
    steps: tuple[int, int, int]
    typical: Row

    def __str__(self) -> str:
        where = " and ".join(map(str, self.conditions))
        when = f" when {where}" if where else " elsewhere" if self.elsewhere else ""
        first, median, last = self.steps
        steps = f"after {first} to {last} control steps (median {median})"
        return f"{WORDS[self.kind]}{when}: {len(self.episodes)} of {self.region} episodes, {steps}"


@dataclass(frozen=True)
class Failures:
    """The failures of a policy in a domain. Without a `rule`, `why` is the reason."""

    domain: str
    episodes: int
    failed: int
    clusters: tuple[Cluster, ...]
    rule: Rule | None = None
    why: str = ""

    def sentences(self) -> list[str]:
        """The result in words: how many, the rule or why there is none, then a line a cluster."""
        found = [f"{self.failed} of {self.episodes} episodes in {self.domain} fail"]
        if self.rule is None:
            found.append(f"no rule found: {self.why}")
        else:
            found.append(
                f"the rule tells {self.rule.failures_found:.0%} of the failures and "
                f"{self.rule.others_found:.0%} of the others in held-out episodes"
            )
        return [*found, *map(str, self.clusters)]

    def plain(self) -> dict[str, Any]:
        """As JSON; a limit of a condition that is infinite is None."""
        found = dataclasses.asdict(self)
        if self.rule is not None:
            found["rule"]["accuracy"] = self.rule.accuracy
        for cluster in found["clusters"]:
            for one in cluster["conditions"]:
                one |= {end: None for end in ("low", "high") if not np.isfinite(one[end])}
        return found | {"sentences": self.sentences()}


def failures(rows: Iterable[Row], below: float | None = None) -> Failures:
    """The failures among episodes of one domain, clustered; a pure function of the rows.

    An episode fails if it ended as failed or unstable, or without the success that its task
    defines; with `below`, also if its return is less. Raises UserError without rows, and for rows
    of several domains.
    """
    ordered = sorted(rows, key=lambda row: row.episode)
    domains = {row.domain for row in ordered}
    if len(domains) != 1:
        raise UserError(
            f"rows of {len(domains)} domains are given; allowed: those of one, see `by_domain`"
        )
    kinds = [kind_of(row, below) for row in ordered]
    failing = np.array([kind is not None for kind in kinds])
    names, values = _varied(ordered)
    rule, why = _rule(values, failing, names)
    leaves = [] if rule is None else grow(values, failing, names, rule.depth)
    clusters = _clusters(ordered, kinds, values, leaves)
    count = int(failing.sum())
    return Failures(ordered[0].domain, len(ordered), count, clusters, rule, why)


def kind_of(row: Row, below: float | None = None) -> Kind | None:
    """How an episode failed; None if it did not."""
    if row.unstable:
        return "unstable"
    if row.failed:
        return "failed"
    if row.success is False:
        return "no success"
    return "low return" if below is not None and row.total < below else None


def _varied(rows: Sequence[Row]) -> tuple[tuple[str, ...], Array]:
    """What the episodes drew differently: the names (k,) and the values (n, k)."""
    names = [n for n in rows[0].context if len({row.context[n] for row in rows}) > 1]
    values = np.array([[row.context[name] for name in names] for row in rows], dtype=float)
    return tuple(names), values.reshape(len(rows), len(names))


def _rule(values: Array, failing: BoolArray, names: Sequence[str]) -> tuple[Rule | None, str]:
    """The best tree on held-out episodes, and why there is none."""
    count, others = int(failing.sum()), int((~failing).sum())
    if not names:
        return None, "the domain draws nothing that differs between episodes"
    if min(count, others) < SMALLEST_LEAF:
        needed = f"a rule needs {SMALLEST_LEAF} failures and {SMALLEST_LEAF} others"
        return None, f"there are {count} failures and {others} others; {needed}"
    best = _best(values, failing, names)
    rng, as_good = np.random.default_rng(0), 0
    for _ in range(SHUFFLES):
        as_good += _best(values, rng.permutation(failing), names).accuracy >= best.accuracy
        if as_good > MOST_AS_GOOD:
            return None, (
                f"in held-out episodes the best tree tells {best.failures_found:.0%} of the "
                f"failures and {best.others_found:.0%} of the others, which may be chance"
            )
    return best, ""


def _best(values: Array, failing: BoolArray, names: Sequence[str]) -> Rule:
    """The depth with the best balanced accuracy on held-out episodes; a deeper one if CLEARER."""
    rules = [_measured(depth, values, failing, names) for depth in range(1, MOST_DEPTH + 1)]
    best = rules[0]
    for rule in rules[1:]:
        best = rule if rule.accuracy > best.accuracy + CLEARER else best
    return best


def _measured(depth: int, values: Array, failing: BoolArray, names: Sequence[str]) -> Rule:
    said = held_out(values, failing, names, depth)
    return Rule(depth, float(said[failing].mean()), float((~said)[~failing].mean()))


def _clusters(
    rows: Sequence[Row], kinds: Sequence[Kind | None], values: Array, leaves: Sequence[Leaf]
) -> tuple[Cluster, ...]:
    """The failing episodes by region, kind and time, the largest cluster first."""
    risky = [(leaf.conditions, leaf.rows) for leaf in leaves if leaf.says]
    inside = np.concatenate([np.zeros(0, int), *(members for _, members in risky)])
    rest = np.setdiff1d(np.arange(len(rows)), inside)
    spread = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    found = []
    for conditions, region in [*risky, ((), rest)]:
        for kind in WORDS:
            members = [int(one) for one in region if kinds[one] == kind]
            for part in _by_time(rows, members):
                lengths = [rows[one].length for one in part]
                cluster = Cluster(
                    kind=kind,  # type: ignore[arg-type]
                    conditions=conditions,
                    elsewhere=not conditions and bool(risky),
                    region=len(region),
                    episodes=tuple(rows[one].episode for one in part),
                    steps=(min(lengths), int(np.median(lengths)), max(lengths)),
                    typical=rows[_central(part, standard, lengths)],
                )
                found.append(cluster)
    return tuple(sorted(found, key=lambda one: -len(one.episodes)))


def _by_time(rows: Sequence[Row], members: Sequence[int]) -> list[list[int]]:
    """The members, cut into early and late ones at the largest gap between their lengths.

    They stay together where the gap is below a factor of `APART`, or a side too small.
    """
    ordered = sorted(members, key=lambda one: (rows[one].length, one))
    lengths = np.array([rows[one].length for one in ordered], dtype=float)
    if len(ordered) < 2 * SMALLEST_LEAF:
        return [ordered] if ordered else []
    ratios = lengths[1:] / lengths[:-1]
    sides = np.arange(1, len(ordered))
    ratios[(sides < SMALLEST_LEAF) | (len(ordered) - sides < SMALLEST_LEAF)] = 0.0
    cut = int(np.argmax(ratios)) + 1
    return [ordered[:cut], ordered[cut:]] if ratios[cut - 1] >= APART else [ordered]


def _central(part: Sequence[int], standard: Array, lengths: Sequence[int]) -> int:
    """The member nearest to the medians of the context and of the logarithm of the length."""
    logs = np.log(lengths)
    near = np.abs(standard[list(part)] - np.median(standard[list(part)], axis=0)).sum(axis=1)
    near = near + np.abs(logs - np.median(logs)) / (logs.std() or 1.0)
    return min(zip(near.tolist(), part, strict=True))[1]
