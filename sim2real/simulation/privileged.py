"""What a simulator knows and a robot does not, put behind the observation.

The columns are [policy | the task's privileged terms | truth | context]: what a policy on a robot
sees, imperfections and all, comes first and is the same with and without the rest, so that an
actor takes the first columns and a critic all of them (Pinto et al. 2018, "Asymmetric actor critic
for image-based robot learning", arXiv:1710.06542). `truth` is the observation without the domain's
imperfections; `context` the draws of the episode, one column each; it comes last because its size
is all that depends on the domain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.simulation.contract import privileged_terms
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, IntArray, ObservationTerm, Task

TRUTH, CONTEXT = "truth", "context"


class Privileged:
    """The privileged columns of a simulation of `task`, whose policy sees `policy_terms`."""

    def __init__(self, task: Task, world: Worlds, policy_terms: Sequence[ObservationTerm]) -> None:
        self._task, self._world = task, world
        own = privileged_terms(task, world, policy_terms, reserved=(TRUTH, CONTEXT))
        self._reads = bool(own)
        columns = tuple(label for term in policy_terms for label in term.labels)
        truth = ObservationTerm(TRUTH, len(columns), group="privileged", columns=columns)
        self._fixed = (*own, truth)

    def terms(self, context_names: Sequence[str]) -> tuple[ObservationTerm, ...]:
        """What the columns are; a domain that draws nothing has no context."""
        if not context_names:
            return self._fixed
        columns = tuple(context_names)
        context = ObservationTerm(CONTEXT, len(columns), group="privileged", columns=columns)
        return (*self._fixed, context)

    def append(self, observation: Array, truth: Array, context: Array, ids: IntArray) -> Array:
        """Observation (m, k), truth (m, k) and context (m, c) of the worlds `ids`, side by side.

        Between the first two are the task's own terms.
        """
        own = self._task.privileged(self._world).values() if self._reads else ()
        return np.concatenate(
            [observation, *(values[ids] for values in own), truth, context], axis=1
        )
