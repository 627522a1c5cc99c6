"""Estimate what is not sensed, by a network that learns beside the policy.

    actor: a ~ pi(. | o, e(o)),    minimize E |e(o) - p|^2,    p = privileged terms, normalized

(Ji et al. 2022, "Concurrent training of a control policy and a state estimator for dynamic and
robust legged locomotion", arXiv:2202.05481.) The estimator is a part of the actor and learns by
regression alone, from the same states: after each update of the policy, with its optimizer. So
the probability ratios of PPO are of the estimates with which the actions were drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pydantic import Field
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from torch import Tensor

from sim2real.config import Config
from sim2real.policies.anatomy import optimizer_owners
from sim2real.policies.encoders import EstimatingExtractor
from sim2real.policies.layers import Layers, Width


class Estimation(Config):
    """Options of a recipe whose actor estimates what only a simulator knows."""

    estimate: Mapping[str, Width] = Field(default_factory=dict)
    """Privileged terms, by name the number of their columns, that a network of the actor estimates
    from what the actor sees; it learns where the observation has them (`privileged`)."""
    estimator_net_arch: Layers = (128, 64)
    """Hidden layers of that network."""


def estimator_of(policy: BasePolicy) -> EstimatingExtractor | None:
    """What estimates in the actor of `policy`, if it can learn there."""
    found = _actor_of(policy).features_extractor
    learns = isinstance(found, EstimatingExtractor) and bool(found.estimated)
    return found if learns and any(one.requires_grad for one in found.parameters()) else None


def learn_estimates(algorithm: BaseAlgorithm, minibatches: Iterable[Tensor]) -> None:
    """A step of the actor's optimizer for each of the observations, (m, all columns).

    The mean error is logged; of normalized terms 1 is that of their mean, and 0 no error.
    """
    extractor = estimator_of(algorithm.policy)
    if extractor is None:
        return
    optimizer: torch.optim.Optimizer = _actor_of(algorithm.policy).optimizer
    errors = []
    for observations in minibatches:
        optimizer.zero_grad()
        loss = extractor.error(observations)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        errors.append(float(loss.detach()))
    optimizer.zero_grad()
    algorithm.logger.record("train/estimation_error", float(np.mean(errors)))


def _actor_of(policy: BasePolicy) -> Any:
    owners = optimizer_owners(policy)
    return owners.get("actor", policy)
