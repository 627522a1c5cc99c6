"""What the family lacks: a score test over entries that a robot may have besides.

At a fit, an entry that is added at its nominal value changes the residuals along its slopes. The
part of the residuals along them, beyond what the unknowns of the family and the start states can
do, tells how much the entry would explain (Rao's score test): with efficient score s and
information v, the sum of squares falls by s' v^-1 s. The best entries are then fitted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sim2real.errors import UserError
from sim2real.identification.candidates import Sections, added_to, candidates, has_kind
from sim2real.identification.family import Family, family_of
from sim2real.identification.fit import equations_at, start_from
from sim2real.identification.posterior import misfit_of
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.refine import settled
from sim2real.identification.replay import Replay
from sim2real.task import BoolArray

FITTED = 3
"""Candidates of the highest score that are fitted."""
STEPS = 8
"""Gauss-Newton steps of each candidate, at most; one that is absent in the nominal world begins at
the middle of its range."""
WORTH = 0.1
"""Share of what is not explained that an entry has to explain to be named."""


@dataclass(frozen=True)
class Missing:
    """An entry that the family lacks, and the share of what is not explained that it explains."""

    name: str
    explains: float

    @property
    def sentence(self) -> str:
        """In words."""
        return f"adding {self.name} explains {self.explains:.0%} of the residual"


def missing(
    problem: Problem, fit: Fit, replay_of: Callable[[Family], Replay]
) -> tuple[Missing, ...]:
    """The entries that explain most of what the family does not, the best first.

    `replay_of` makes the worlds of a larger family; they are closed again. Empty where no
    candidate explains `WORTH` of it.
    """
    family = problem.replay.family
    known = candidates(family.task)
    open_entries = {
        name: sections for name, sections in known.items() if not has_kind(family.domain, sections)
    }
    scored = []
    for name, sections in open_entries.items():
        with _Larger.of(problem, sections, replay_of) as larger:
            if larger is not None:
                scored.append((larger.score(fit), name))
    best = [name for _, name in sorted(scored, reverse=True)[:FITTED]]
    found = []
    for name in best:
        with _Larger.of(problem, open_entries[name], replay_of) as larger:
            assert larger is not None
            found.append(Missing(name, larger.explains(fit)))
    ranked = sorted(found, key=lambda one: -one.explains)
    return tuple(one for one in ranked if one.explains > WORTH)


class _Larger:
    """A problem with one entry more in its family."""

    def __init__(self, problem: Problem, replay: Replay | None) -> None:
        self.smaller, self.replay = problem, replay

    @classmethod
    def of(
        cls, problem: Problem, sections: Sections, replay_of: Callable[[Family], Replay]
    ) -> _Larger:
        family = problem.replay.family
        try:
            larger = family_of(family.task, added_to(family.domain, sections))
        except UserError:  # the model has nothing that the entry could change
            return cls(problem, None)
        return cls(problem, replay_of(larger))

    def __enter__(self) -> _Larger | None:
        return None if self.replay is None else self

    def __exit__(self, *_: object) -> None:
        if self.replay is not None:
            self.replay.close()

    @property
    def problem(self) -> Problem:
        assert self.replay is not None
        return Problem(self.replay, self.smaller.windows, self.smaller.channels)

    def _start(self, fit: Fit) -> tuple[Problem, Fit, BoolArray]:
        """The larger problem, the fit in it, and which of its unknowns are new, (d,)."""
        problem = self.problem
        family, old = problem.replay.family, self.smaller.replay.family
        shares = family.nominal.copy()
        new = np.array([name not in old.names for name in family.names])
        shares[~new] = [fit.shares[old.names.index(n)] for n in family.names if n in old.names]
        return problem, start_from(problem, shares, fit.offsets), new

    def score(self, fit: Fit) -> float:
        """By how much the weighted sum of squares falls, to first order."""
        problem, at_start, new = self._start(fit)
        equations = equations_at(problem, at_start)
        information = equations.total + np.diag(problem.replay.family.precision(at_start.shares))
        gradient = equations.gradient.sum(axis=0)
        known = np.linalg.solve(information[np.ix_(~new, ~new)], information[np.ix_(~new, new)])
        score = gradient[new] - known.T @ gradient[~new]
        value = information[np.ix_(new, new)] - information[np.ix_(new, ~new)] @ known
        nominal = problem.replay.family.nominal[new]
        inward = np.where(nominal < 1e-6, np.maximum(score, 0.0), score)
        return float(inward @ np.linalg.solve(value, inward))

    def explains(self, fit: Fit) -> float:
        """The share of what is not explained that a fit of the larger family explains."""
        problem, found, new = self._start(fit)
        before = _power(problem, found)
        shares = np.where(new & problem.replay.family.is_absent, 0.5, found.shares)
        found = start_from(problem, shares, found.offsets)
        found = settled(problem, found, STEPS, lambda _: None)
        return 1.0 - _power(problem, found) / max(before, 1e-12)


def _power(problem: Problem, fit: Fit) -> float:
    """The mean square of what is not explained, in units of the channels' changes."""
    misfit = misfit_of(problem.channels, fit)
    return float(np.mean((misfit.unexplained / misfit.change) ** 2))


def named(found: Sequence[Missing]) -> tuple[str, ...]:
    """What is missing, in words; only the best explains what it says alone."""
    if not found:
        return ("no single entry that is known explains the residual",)
    others = ", ".join(f"{one.name} {one.explains:.0%}" for one in found[1:])
    return (found[0].sentence + (f" (instead of it: {others})" if others else ""),)
