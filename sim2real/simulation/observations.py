"""Observations: a task's terms, as a domain's sensors give them, and privileged columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim2real.errors import UserError
from sim2real.simulation.contract import privileged_terms
from sim2real.simulation.history import History
from sim2real.simulation.images import Images
from sim2real.simulation.randomness import Clock
from sim2real.simulation.signals.imperfections import Imperfections
from sim2real.simulation.soundness import check_columns, finite, sound_worlds
from sim2real.simulation.worlds import Worlds
from sim2real.task import Array, BoolArray, IntArray, ObservationTerm, Task, labels


class Observations:
    """The observations of the n worlds of `task`, whose terms are `sensed`.

    `policy_terms` are what a policy sees, of `history` control steps and with the task's images
    behind them, `terms` all of it. Only
    finite numbers are shown: where the physics is not finite the world is unstable, and any other
    number that is not raises UserError with the author, the term, the world and the control step.
    """

    def __init__(
        self,
        task: Task,
        world: Worlds,
        sensed: tuple[ObservationTerm, ...],
        privileged: Shows,
        history: int,
    ) -> None:
        self._task, self._world, self._sensed = task, world, sensed
        self._all = np.arange(world.num_envs)
        self._sizes = [(term.name, term.size) for term in sensed]
        self._history = History(task, sensed, world, history)
        names = tuple(term.name for term in self._history.terms)
        self._images = Images(task, world, names)
        shown = (*self._history.terms, *self._images.terms)
        self._privileged = None
        if privileged:
            only_context = privileged == CONTEXT
            self._privileged = Privileged(task, world, sensed, shown, only_context)
        self.policy_terms = self.terms = shown
        self._shown = np.zeros((world.num_envs, 0))

    def bind(self, domain: str, context: tuple[str, ...], imperfections: Imperfections) -> None:
        """Use the `imperfections` of a `domain`, and the names of its context."""
        self._domain, self._imperfections = domain, imperfections
        if self._privileged is not None:
            self.terms = (*self.policy_terms, *self._privileged.terms(context))
        self._shown = np.zeros((self._world.num_envs, len(labels(self.terms))))

    @property
    def shown(self) -> Array:
        """A copy of what each world showed last, (n, k)."""
        return self._shown.copy()

    def begin(self, commanded: Array | None, context: Array, ids: IntArray, clock: Clock) -> Array:
        """The first observations of the worlds `ids`, (m, k), whose sensors begin anew.

        `commanded` (m, nu) is what the actuators were asked so far; None leaves them as they are.
        Where the physics is not finite there are zeros, and the next step is unstable.
        """
        truth = self._truth()[ids]
        if not finite(truth):
            self._check_truth(truth, self._lose_unsound()[ids], ids)
            np.nan_to_num(truth, copy=False, posinf=0.0, neginf=0.0)
        if commanded is None:
            seen = self._imperfections.observe_first(truth, ids, clock)
        else:
            seen = self._imperfections.begin(truth, commanded, ids, clock)
        shown = self._history.begin(seen, ids)
        if self._images:
            shown = np.concatenate([shown, self._images.begin(ids)], axis=1)
        observation = self._with_privileged(shown, context, ids)
        if not finite(observation):
            self._check_shown(observation, self._lose_unsound()[ids], ids)
            np.nan_to_num(observation, copy=False, posinf=0.0, neginf=0.0)
        self._shown = self._shown.copy()  # the last one was given away
        self._shown[ids] = observation
        return observation

    def observe(
        self, unstable: BoolArray, active: BoolArray | None, context: Array, clock: Clock
    ) -> Array:
        """The observations after a control step, (n, k).

        Worlds whose physics is not finite join the `unstable`, (n,). These, and the worlds that are
        not `active`, show what they showed last.
        """
        truth = self._truth()
        if not finite(truth):
            self._check_truth(truth, sound_worlds(self._world, unstable, active), self._all)
        if unstable.any():  # what the sensors remember stays finite
            truth[unstable] = self._shown[unstable][:, self._history.newest]
        sensed = self._imperfections.observe(truth, clock, active)
        seen = self._history.push(sensed, active)
        if self._images:
            going = ~unstable if active is None else active & ~unstable
            seen = np.concatenate([seen, self._images.observe(going)], axis=1)
        observation = self._with_privileged(seen, context, self._all)
        if not finite(observation):
            sound = sound_worlds(self._world, unstable, active)
            self._check_shown(observation, sound, self._all)
        unchanged = unstable if active is None else unstable | ~active
        if unchanged.any():
            observation[unchanged] = self._shown[unchanged]
        self._shown = observation.copy()
        return observation

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Copies of what was shown, by name."""
        return {"observation": self.shown, **self._history.snapshot(), **self._images.snapshot()}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `snapshot` gave."""
        self._shown = np.array(snapshot["observation"])
        self._history.restore(snapshot)
        self._images.restore(snapshot)

    def close(self) -> None:
        """Give the OpenGL contexts of images back."""
        self._images.close()

    def _truth(self) -> Array:
        """The readings of perfect sensors, (n, k)."""
        terms = self._task.observe(self._world)
        sizes = [(name, np.shape(values)[-1]) for name, values in terms.items()]
        if sizes != self._sizes:
            raise UserError(
                f"task {self._task.name!r}: observe: the terms and their sizes are {sizes}, at the "
                f"start they were {self._sizes}; allowed: the same at every step"
            )
        return np.concatenate(list(terms.values()), axis=1)

    def _with_privileged(self, seen: Array, context: Array, ids: IntArray) -> Array:
        """The observations `seen` of the worlds `ids`, with the privileged columns behind them."""
        if self._privileged is None:
            return seen
        return self._privileged.append(seen, self._truth()[ids], context[ids], ids)

    def _lose_unsound(self) -> BoolArray:
        """Lose the worlds whose physics is not finite; return which are sound, (n,)."""
        self._world.lost |= self._world.unsound()
        return ~self._world.lost

    def _check_truth(self, truth: Array, sound: BoolArray, ids: IntArray) -> None:
        """UserError where what a task observes is not finite although the physics is `sound`."""
        author = f"task {self._task.name!r}: observe"
        check_columns(author, labels(self._sensed), truth, self._world, sound, ids)

    def _check_shown(self, observation: Array, sound: BoolArray, ids: IntArray) -> None:
        """UserError where an observation is not finite although the physics is `sound`."""
        names, count = labels(self.terms), len(labels(self.policy_terms))
        sensed, privileged = observation[:, :count], observation[:, count:]
        author = f"task {self._task.name!r}: privileged"
        check_columns(author, names[count:], privileged, self._world, sound, ids)
        author = f"domain {self._domain!r}: sensing"
        check_columns(author, names[:count], sensed, self._world, sound, ids)


TRUTH = "truth"
CONTEXT: Literal["context"] = "context"
Shows: TypeAlias = bool | Literal["context"]
"""Whether observations have privileged columns: none, all, or the context alone."""


class Privileged:
    """Observations that only a simulator has, of a `task` with the terms `sensed`.

    Its policy sees the `policy_terms`, their histories among them.

    The columns are [policy | the task's privileged terms | truth | context]: what a policy on a
    robot sees, imperfections and all, comes first and is the same with and without the rest, so
    that an actor takes the first columns and a critic all of them (Pinto et al. 2018, "Asymmetric
    actor critic for image-based robot learning", arXiv:1710.06542). `truth` is the observation
    without the domain's imperfections; `context` the draws of the episode, one column each; it
    comes last because its size is all that depends on the domain. With `only_context` it is all
    that there is: what a universal policy acts on.
    """

    def __init__(
        self,
        task: Task,
        world: Worlds,
        sensed: Sequence[ObservationTerm],
        policy_terms: Sequence[ObservationTerm],
        only_context: bool = False,
    ) -> None:
        self._task, self._world, self._only_context = task, world, only_context
        own = privileged_terms(task, world, policy_terms, reserved=(TRUTH, CONTEXT))
        self._reads = bool(own)
        columns = tuple(label for term in sensed for label in term.labels)
        truth = ObservationTerm(TRUTH, len(columns), group="privileged", columns=columns)
        self._fixed = () if only_context else (*own, truth)

    def terms(self, context_names: Sequence[str]) -> tuple[ObservationTerm, ...]:
        """The terms of the columns; a domain that draws nothing has no context."""
        if not context_names:
            return self._fixed
        columns = tuple(context_names)
        context = ObservationTerm(CONTEXT, len(columns), group="privileged", columns=columns)
        return (*self._fixed, context)

    def append(self, observation: Array, truth: Array, context: Array, ids: IntArray) -> Array:
        """Observation (m, k), truth (m, k) and context (m, c) of the worlds `ids`, side by side.

        Between the first two are the task's own terms.
        """
        if self._only_context:
            return np.concatenate([observation, context], axis=1)
        own = self._task.privileged(self._world).values() if self._reads else ()
        return np.concatenate(
            [observation, *(values[ids] for values in own), truth, context], axis=1
        )


def shows(terms: Sequence[ObservationTerm]) -> Shows:
    """Which privileged columns a policy of `terms` needs."""
    names = {term.name for term in terms if term.group == "privileged"}
    return CONTEXT if names == {CONTEXT} else bool(names)
