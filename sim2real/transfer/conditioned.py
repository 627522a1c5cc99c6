"""Policies that act on the context of an episode, made plain policies that act as in one context.

A context that is constant changes the bias of the first layer:

    W_o o + W_c c + b  =  W_o o + b',    b' = b + W_c c
"""

from __future__ import annotations

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from sim2real.policies.anatomy import anatomy, named_tensors
from sim2real.policies.asymmetric import Asymmetric
from sim2real.policies.build import build_offline
from sim2real.policies.encoders import policy_terms
from sim2real.policies.normalizer import CLIP, EPSILON, normalizers
from sim2real.runs.contract import map_of, spaces_of, terms_of
from sim2real.runs.run import Run
from sim2real.simulation.contract import observation_space
from sim2real.simulation.observations import CONTEXT
from sim2real.task import Array, labels
from sim2real.transfer.columns import take_along
from sim2real.transfer.method import recipe_in_target


def in_mean_context(source: Run) -> BasePolicy:
    """The policy of a run that acts on the context, as it acts in the mean one of its training."""
    recipe = recipe_in_target(source.config.parsed_recipe(), {})
    terms = policy_terms(terms_of(source.task_info))
    space = observation_space(len(labels(terms)))
    policy = build_offline(recipe, space, spaces_of(source.task_info)[1]).policy
    take_along(source.policy, policy, list(named_tensors(policy)))
    policy.action_map = map_of(source.task_info)  # type: ignore[assignment]
    policy.set_training_mode(False)
    return policy


class Conditioned:
    """A plain policy made from a universal one: `set` lets it act as that does in a context.

    A place is a context in standard deviations of the source's statistics, from their mean, (d,).
    """

    def __init__(self, universal: BasePolicy, policy: BasePolicy) -> None:
        self.policy = policy
        assert isinstance(universal, Asymmetric)
        columns = labels(universal.acting_terms)
        context = next(term for term in universal.acting_terms if term.name == CONTEXT)
        self.names = context.labels
        at = slice(len(columns) - context.size, len(columns))
        statistics = next(iter(normalizers(universal)))
        self._mean = statistics.running_mean[at].double().numpy()
        self._std = np.sqrt(statistics.running_var[at].double().numpy() + EPSILON)
        theirs, own = named_tensors(universal), named_tensors(self.policy)
        self._layers = []
        for name, part in anatomy(self.policy).items():
            module, _, kind = name.rpartition(".")
            of_actor = part.role == "actor" and part.place == "trunk"
            if of_actor and part.reads_input and kind == "bias":
                weight = theirs[f"{module}.weight"].detach()[:, at]
                self._layers.append((own[name], own[name].detach().clone(), weight))

    def set(self, place: Array) -> None:
        """Act as in the context at `place`, which is clipped as by the normalizer."""
        normal = torch.as_tensor(np.clip(place, -CLIP, CLIP), dtype=torch.float32)
        with torch.no_grad():
            for bias, usual, weight in self._layers:
                bias.copy_(usual + weight @ normal)

    def values(self, place: Array) -> Array:
        """The context at a place, in its units."""
        found: Array = self._mean + self._std * place
        return found

    def place(self, values: Array) -> Array:
        """Where a context is."""
        found: Array = (values - self._mean) / self._std
        return found
