"""Find the affine map of a target's observations with which its transitions are the source's.

    max over V, c:   E_target log p(V s' + c | V s + c, a) + log |det V|

with p the dynamics of the source, as models of its transitions know them. This is the likelihood
of what was observed in the target, if it observes A s + b for the state s of the source and
V = A^-1, c = -A^-1 b: the determinant is that of the change of variables. What is conditioned on s
and a does not depend on how often s and a occur, so a policy that acts on wrong observations, and
so reaches other states than in the source, does no harm. Errors have a Student's t distribution,
so that states which the models do not know count little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from sim2real.evaluation.rollout import Policy
from sim2real.identification.log import Log
from sim2real.policies.adam import Adam
from sim2real.task import Array, ObservationTerm
from sim2real.transfer.transition_models import TransitionModels

FREEDOM = 4.0
"""Degrees of freedom of the t distribution of the errors."""
BATCH = 256
"""Transitions in a minibatch of the training of the models."""
ITERATIONS = 100
"""Of L-BFGS, at most."""


@dataclass(frozen=True)
class Steps:
    """Transitions: observations before and after actions. Shapes: (m, n), (m, k), (m, n)."""

    observations: Tensor
    actions: Tensor
    next_observations: Tensor

    def __len__(self) -> int:
        return len(self.observations)

    def at(self, rows: Tensor) -> Steps:
        """The transitions at `rows`."""
        return Steps(self.observations[rows], self.actions[rows], self.next_observations[rows])


def joined(parts: Sequence[Steps]) -> Steps:
    """All transitions of the parts."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Steps(*(torch.cat(column) for column in columns))


@dataclass(frozen=True)
class Alignment:
    """The map V z + c of normalized observations z. Shapes: (n, n), (n,)."""

    weight: Tensor
    bias: Tensor

    @classmethod
    def identity(cls, size: int) -> Alignment:
        """The map that changes nothing."""
        return cls(torch.eye(size), torch.zeros(size))

    def __call__(self, observations: Tensor) -> Tensor:
        """The mapped observations. Shape: (m, n)."""
        return observations @ self.weight.T + self.bias

    def of(self, steps: Steps) -> Steps:
        """The transitions with mapped observations."""
        return Steps(self(steps.observations), steps.actions, self(steps.next_observations))


def steps_in(log: Log, terms: Sequence[ObservationTerm], mean: Array, std: Array) -> Steps:
    """The transitions in a log of a policy that observes `terms`, normalized by mean and std."""
    seen = np.concatenate([log.observations[term.name] for term in terms], axis=1)
    normal = torch.as_tensor((seen - mean) / std, dtype=torch.float32)
    commands = torch.tensor(log.commands, dtype=torch.float32)
    last = np.array([rows.stop - 1 for rows in log.episodes])
    before = torch.as_tensor(np.delete(np.arange(len(log)), last))
    return Steps(normal[before], commands[before], normal[before + 1])


def free_entries(terms: Sequence[ObservationTerm], *, mixed: bool) -> NDArray[np.bool_]:
    """Which entries of V may differ from the identity: of sensors, of one term where `mixed`.

    Shape: (n, n).

    >>> one, two = ObservationTerm("angle", 2), ObservationTerm("action", 1, commanded=True)
    >>> free_entries([one, two], mixed=True).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
    """
    of_term = np.repeat(np.arange(len(terms)), [term.size for term in terms])
    sensed = np.repeat([not term.commanded for term in terms], [term.size for term in terms])
    together = of_term[:, None] == of_term if mixed else np.eye(len(of_term), dtype=bool)
    free: NDArray[np.bool_] = together & sensed
    return free


def train_models(models: TransitionModels, steps: Steps, updates: int, rate: float) -> None:
    """Fit the models to transitions, in place, with a learning rate that falls linearly to 0."""
    optimizer = Adam(models.parameters(), lr=rate, fused=True)
    for update in range(updates):
        for group in optimizer.param_groups:
            group["lr"] = rate * (1.0 - update / updates)
        loss = models.loss(steps.at(torch.randint(len(steps), (BATCH,))))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def fitted(
    models: TransitionModels, steps: Steps, free: NDArray[np.bool_], start: Alignment
) -> Alignment:
    """The most likely map of the observations in `steps`, searched by L-BFGS from `start`."""
    entries = torch.as_tensor(free)
    sensed = entries.diagonal()
    count = int(free.sum())

    def unpacked(point: Tensor) -> Alignment:
        weight, bias = start.weight.clone(), start.bias.clone()
        weight[entries], bias[sensed] = point[:count], point[count:]
        return Alignment(weight, bias)

    def objective(point: Array) -> tuple[float, Array]:
        given = torch.tensor(point, dtype=torch.float32, requires_grad=True)
        found = unpacked(given)
        loss = _surprise(models, found.of(steps), sensed) - torch.linalg.slogdet(found.weight)[1]
        (slope,) = torch.autograd.grad(loss, given)
        return float(loss.detach()), slope.double().numpy()

    first = torch.cat([start.weight[entries], start.bias[sensed]]).double().numpy()
    best = minimize(
        objective, first, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    ).x
    return unpacked(torch.as_tensor(best, dtype=torch.float32))


def _surprise(models: TransitionModels, steps: Steps, sensed: Tensor) -> Tensor:
    """The mean negative log-likelihood of the sensed numbers, without its constant."""
    errors, log_std = models.errors(steps)
    bits = 0.5 * (FREEDOM + 1.0) * torch.log1p(errors.square() / FREEDOM) + log_std
    return bits[..., sensed].sum(dim=-1).mean()


class Misreading:
    """A policy that observes by a wrong map, another one in each world.

    So it reaches the states that it reaches in a target with such sensors. `scale` and `shift`,
    (worlds, n), act on observations that are normalized by `mean` and `std`.
    """

    def __init__(self, policy: Policy, mean: Array, std: Array, scale: Array, shift: Array) -> None:
        self._policy = policy
        self._mean, self._std, self._scale, self._shift = mean, std, scale, shift

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The policy's actions for what it takes the observation for."""
        normal = self._scale * (observation - self._mean) / self._std + self._shift
        read = (self._mean + self._std * normal).astype(np.float32)
        return self._policy.predict(read, state, episode_start, deterministic)
