"""Use the mirror symmetry of a task: learn from each step and from its mirror image.

    augment:  each minibatch also holds (M o, M a) with the advantage and the return of (o, a)
    loss:     the loss has the term  w E |pi(o) - M pi(M o)|^2,  pi(o) the mean action

M is the task's `mirror`. `augment` doubles the samples without simulation (Abdolhosseini et al.
2019, "On learning symmetric locomotion"; Mittal et al. 2024, arXiv:2403.04359), `loss`
asks for a symmetric policy alone (Yu et al. 2018, "Learning symmetric and low-energy locomotion",
arXiv:1801.08093, w = 4). A mirror image has the probability ratio pi(M a | M o) / pi_old(a | o), as
the action was drawn with the probability in the denominator. What it adds to the divergence of an
update by the asymmetry of the policy before it is no reason to stop the update.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.config import Config
from sim2real.errors import UserError
from sim2real.mirror import Mirror, Reflection
from sim2real.policies.added_loss import add_loss, remove_loss
from sim2real.policies.rollouts import Expand, Rollouts
from sim2real.simulation.history import LAST_ACTION, newest_of
from sim2real.simulation.observations import CONTEXT, TRUTH
from sim2real.task import IntArray, ObservationTerm, Task

STOP = 1.5
"""An update of stable-baselines3's PPO stops early at this many times `target_kl`."""


class Symmetry(Config):
    """Options of a recipe that uses the task's mirror symmetry."""

    symmetry: Literal["augment", "loss"] | None = None
    """`augment` learns from the mirror image of each step, too; `loss` asks for equal actions in a
    state and in its mirror image."""
    symmetry_weight: Annotated[float, Field(gt=0.0)] = 4.0
    """Weight of that loss."""


class Image:
    """Mirrored rows of numbers."""

    def __init__(self, reflection: Reflection) -> None:
        self._places = torch.tensor(reflection.places)
        self._signs = torch.tensor(reflection.signs)

    def __call__(self, rows: Tensor) -> Tensor:
        """The mirror image. Shape: (m, k)."""
        return rows[:, self._places] * self._signs.to(rows.dtype)


class Mirroring:
    """Updates with the mirror image of rollouts, by their `observation` and `action`.

    With a `weight` they have the loss of asymmetric actions, without one each step is doubled.
    """

    def __init__(
        self, observation: Reflection, action: Reflection, weight: float | None = None
    ) -> None:
        self.doubles = weight is None
        self.observation, self.action = observation, action
        self._observation, self._action = Image(observation), Image(action)
        self._weight = weight

    @contextlib.contextmanager
    def applied(self, learner: PPO, rollouts: Rollouts) -> Iterator[list[float]]:
        """Let an update of the `learner` learn from the mirror image of its `rollouts`, too.

        Gives a list that gets the asymmetry of each minibatch: where that is a loss its value, else
        what it adds to the Kullback-Leibler divergence from the policy before the update.
        """
        found: list[float] = []
        optimizer = learner.policy.optimizer
        target = learner.target_kl
        if self._weight is None:
            rollouts.expand = self._doubling(learner, rollouts, found)
        else:
            rollouts.expand, begin = self._penalty(learner.policy, self._weight, found)
            add_loss(optimizer, begin)
        try:
            yield found
        finally:
            rollouts.expand, learner.target_kl = None, target
            remove_loss(optimizer)

    def asymmetry(self, policy: ActorCriticPolicy, observations: Tensor) -> Tensor:
        """Mean square distance of the mean actions to the mirrored ones of the mirror image."""
        here, there = (
            policy.get_distribution(seen).distribution.mean  # type: ignore[union-attr]
            for seen in (observations, self._observation(observations))
        )
        return (here - self._action(there)).square().sum(dim=1).mean()

    def _doubling(self, learner: PPO, rollouts: Rollouts, found: list[float]) -> Expand:
        """What adds to samples their mirror image, and lets the update diverge by as much more."""
        rollouts.flatten()
        target = learner.target_kl
        seen = self._observation(rollouts.to_torch(rollouts.observations))
        with torch.no_grad():
            given = self._action(rollouts.to_torch(rollouts.actions))
            _, log_prob, _ = learner.policy.evaluate_actions(seen, given)
        ratios = log_prob - rollouts.to_torch(rollouts.log_probs).flatten()
        divergences = (ratios.exp() - 1.0 - ratios).numpy()  # as PPO estimates them

        def doubled(samples: RolloutBufferSamples, steps: IntArray) -> RolloutBufferSamples:
            found.append(float(divergences[steps].mean()) / 2.0)  # of half of the samples
            if target is not None:
                learner.target_kl = target + found[-1] / STOP
            pairs = [
                (samples.observations, self._observation(samples.observations)),
                (samples.actions, self._action(samples.actions)),
                (samples.old_values, samples.old_values),
                (samples.old_log_prob, samples.old_log_prob),
                (samples.advantages, samples.advantages),
                (samples.returns, samples.returns),
            ]
            return RolloutBufferSamples(*(torch.cat(pair) for pair in pairs))

        return doubled

    def _penalty(
        self, policy: ActorCriticPolicy, weight: float, found: list[float]
    ) -> tuple[Expand, Callable[[], None]]:
        """What notes the samples of a minibatch, and what adds the gradient of the loss."""
        latest: list[Tensor] = []

        def noted(samples: RolloutBufferSamples, _: IntArray) -> RolloutBufferSamples:
            latest[:] = [samples.observations]
            return samples

        def begin_gradient() -> None:
            loss = self.asymmetry(policy, *latest)
            found.append(float(loss.detach()))
            if loss.requires_grad:  # a frozen actor has no gradient
                (weight * loss).backward()  # type: ignore[no-untyped-call]

        return noted, begin_gradient


def mirroring_in(env: VecEnv, recipe: Symmetry) -> Mirroring | None:
    """How a learner of `recipe` on `env` uses the task's mirror; None if it does not.

    UserError for an environment that is no simulation of a task, and as `mirroring_of`.
    """
    if recipe.symmetry is None:
        return None
    try:
        task, terms = env.get_attr("task")[0], env.get_attr("observation_terms")[0]
    except AttributeError:
        task = terms = None
    if task is None or terms is None:
        raise UserError("symmetry needs a simulation of a task that declares its mirror")
    return mirroring_of(recipe, task, terms, env.action_space)  # type: ignore[arg-type]


def mirroring_of(
    recipe: Symmetry, task: Task, terms: Sequence[ObservationTerm], actions: spaces.Box
) -> Mirroring:
    """How a learner of `recipe` uses the mirror of `task`, whose observation has the `terms`.

    UserError for a task that declares none or a wrong one, and where columns that must be mirrored
    have no mirror image.
    """
    mirror = task.mirror
    if mirror is None:
        raise UserError(f"symmetry: task {task.name!r} declares no mirror")
    action = Reflection.of(mirror.action, f"task {task.name!r}: action")
    if not _fits(action, actions):
        raise UserError(
            f"mirror of task {task.name!r}: action: {mirror.action!r} is not of {actions.shape[0]} "
            "actions whose ranges are mirrored, too"
        )
    teacher = getattr(recipe, "privileged_actor", False)
    whole = recipe.symmetry == "augment" or teacher
    rows = [
        _row(mirror, task, term, terms)
        if whole or term.group == "policy"
        else Reflection.identity(term.size)
        for term in terms
    ]
    weight = recipe.symmetry_weight if recipe.symmetry == "loss" else None
    return Mirroring(Reflection.side_by_side(rows), action, weight)


def _row(
    mirror: Mirror, task: Task, term: ObservationTerm, terms: Sequence[ObservationTerm]
) -> Reflection:
    """The reflection of the columns of a term, its history among them."""
    if term.group == "privileged" and term.name == CONTEXT:
        raise UserError(
            f"symmetry: what the domain draws ({', '.join(term.columns[:3])}, ...) has no mirror "
            "image, and critic or actor see it; allowed: symmetry=loss with a critic that sees it, "
            "privileged=false, or a domain that draws nothing"
        )
    if term.group == "privileged" and term.name == TRUTH:
        sensed = [one.name for one in terms if one.group == "policy" and one.name in mirror.terms]
        return Reflection.side_by_side([_named(mirror, task, name) for name in sensed])
    added = term.name == LAST_ACTION and term.name not in mirror.terms
    row = Reflection.of(mirror.action, "action") if added else _named(mirror, task, term.name)
    size = len(newest_of(term))
    if len(row) != size:
        raise UserError(
            f"mirror of task {task.name!r}: {term.name}: {len(row)} places; the term has {size}"
        )
    return Reflection.side_by_side([row] * (term.size // len(row)))


def _named(mirror: Mirror, task: Task, name: str) -> Reflection:
    if name not in mirror.terms:
        raise UserError(f"mirror of task {task.name!r}: the term {name!r} has no row")
    return Reflection.of(mirror.terms[name], f"task {task.name!r}: {name}")


def _fits(action: Reflection, space: spaces.Box) -> bool:
    """Whether the mirror image of each action is an action."""
    if space.shape != (len(action),):
        return False
    low, high = space.low[list(action.places)], space.high[list(action.places)]
    flipped = np.array(action.signs) < 0
    mirrored = np.where(flipped, -high, low), np.where(flipped, -low, high)
    return bool(np.allclose([space.low, space.high], mirrored))
