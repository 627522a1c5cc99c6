"""Actors that see what a robot sees, with critics that see everything a simulator knows.

    actor: a ~ pi(. | o),    critic: V(o, p) or Q(o, p, a),    p = privileged columns

(Pinto et al. 2018, "Asymmetric actor critic for image-based robot learning", arXiv:1710.06542.)
The critic is not used after the training, so it may observe what the actor cannot. In randomized
worlds the return depends on what was drawn. A critic that does not observe the draw attributes its
effect on the return to the actions.

The observation is [o | p], the policy's columns first (`sim2real.simulation.observations`). Both
networks begin with a normalizer of their own, the actor's of the first columns only, so that not
even statistics of what is privileged reach an action. `predict` takes whole observations and the
policy's columns alone, which is what there is on a robot.

    env = make_vec_env("hopper", "randomized", privileged=True)
    terms = {"observation_terms": env.simulation.observation_terms}
    PPO(AsymmetricActorCriticPolicy, env, policy_kwargs=terms)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, MlpExtractor
from stable_baselines3.common.type_aliases import PyTorchObs
from torch import Tensor, nn

from sim2real.errors import UserError
from sim2real.policies.described import Described
from sim2real.policies.encoders import (
    ContextEncoder,
    ContextExtractor,
    EstimatingExtractor,
    Estimator,
    HistoryEncoder,
    HistoryExtractor,
    policy_terms,
)
from sim2real.policies.images import ImageEncoder, ImageExtractor, has_images
from sim2real.policies.networks import SACPolicy, TD3Policy
from sim2real.policies.normalizer import RunningNormalizer
from sim2real.task import ObservationTerm

Extractor = tuple[type[BaseFeaturesExtractor], dict[str, Any]]


class ColumnsExtractor(BaseFeaturesExtractor):
    """The first `columns` of the observation, normalized unless `normalize` is False."""

    def __init__(
        self,
        observation_space: spaces.Box,
        columns: int | None = None,
        normalize: bool = True,
    ) -> None:
        width = int(np.prod(observation_space.shape))
        size = width if columns is None else columns
        super().__init__(observation_space, size)
        self.size = size
        self.normalizer: nn.Module = RunningNormalizer(size) if normalize else nn.Identity()

    def forward(self, observations: Tensor) -> Tensor:
        """Features. Shape: (m, all columns) -> (m, columns)."""
        features: Tensor = self.normalizer(observations.flatten(start_dim=1)[:, : self.size])
        return features


class Asymmetric(Described):
    """What the three policies have in common.

    `observation_terms` are those of the simulation, in its order. With `privileged_actor` the
    actor sees everything too: a teacher, that can only act where what is privileged is known. It
    sees the privileged columns through a `context_encoder`, if there is one; with a
    `history_encoder` actor and critic see the past through one each. With an `estimator` the actor
    also sees its estimate of privileged terms (see `sim2real.policies.estimation`).
    Images are seen through an `image_encoder`; a critic of privileged columns leaves them out.
    """

    observation_terms: tuple[ObservationTerm, ...]
    acting_terms: tuple[ObservationTerm, ...]
    """What the actor sees."""

    def __init__(
        self,
        observation_space: spaces.Box,
        action_space: spaces.Box,
        lr_schedule: Any,
        *,
        observation_terms: Sequence[ObservationTerm],
        privileged_actor: bool = False,
        context_encoder: ContextEncoder | None = None,
        history_encoder: HistoryEncoder | None = None,
        estimator: Estimator | None = None,
        image_encoder: ImageEncoder | None = None,
        normalize: bool = True,
        **options: Any,
    ) -> None:
        terms = tuple(observation_terms)
        _check(terms, observation_space)
        acting = terms if privileged_actor else policy_terms(terms)
        columns = sum(term.size for term in acting)
        # Plain values may be set before torch's __init__, which makes the networks
        self.observation_terms, self.acting_terms = terms, acting
        self._policy_terms = policy_terms(terms)
        self._acting_columns, self._all_columns = columns, observation_space.shape[0]
        self._encoders: dict[str, Any] = {
            "context_encoder": context_encoder,
            "history_encoder": history_encoder,
            "estimator": estimator,
            "image_encoder": image_encoder,
        }
        self._normalize = normalize
        kind, given = self._actors_extractor()
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            features_extractor_class=kind,
            features_extractor_kwargs=given,
            share_features_extractor=False,
            **options,
        )

    def critic_extractor(self) -> BaseFeaturesExtractor:
        """A new features extractor of all columns; `make_features_extractor` makes the actor's."""
        kind, given = self._extractor(self.observation_terms)
        if kind is ImageExtractor and self.observation_terms != self._policy_terms:
            given["encoder"] = None
        return kind(self.observation_space, **given)

    def _actors_extractor(self) -> Extractor:
        given: dict[str, Any] = {"normalize": self._normalize}
        context_encoder, estimator = self._encoders["context_encoder"], self._encoders["estimator"]
        if context_encoder is not None:
            given |= {"terms": self.acting_terms, "encoder": context_encoder}
            return ContextExtractor, given
        if estimator is not None:
            given |= {"terms": self.observation_terms, "estimator": estimator}
            return EstimatingExtractor, given
        return self._extractor(self.acting_terms)

    def _extractor(self, terms: Sequence[ObservationTerm]) -> Extractor:
        """The extractor of the columns of `terms`, the first ones, and its arguments."""
        given: dict[str, Any] = {"normalize": self._normalize}
        history_encoder = self._encoders["history_encoder"]
        if history_encoder is not None:
            return HistoryExtractor, given | {"terms": terms, "encoder": history_encoder}
        if has_images(terms):
            return ImageExtractor, given | {
                "terms": terms,
                "encoder": self._encoders["image_encoder"],
            }
        return ColumnsExtractor, given | {"columns": sum(term.size for term in terms)}

    def obs_to_tensor(self, observation: Any) -> tuple[PyTorchObs, bool]:
        """As SB3's; (n, policy columns) are filled up with zeros, which the actor does not see."""
        given = np.asarray(observation)
        missing = self._all_columns - given.shape[-1]
        if missing > 0 and given.shape[-1] == self._acting_columns:
            filler: NDArray[Any] = np.zeros((*given.shape[:-1], missing), given.dtype)
            given = np.concatenate([given, filler], axis=-1)
        return super().obs_to_tensor(given)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        found = super()._get_constructor_parameters()
        own = {
            "observation_terms": self.observation_terms,
            "privileged_actor": self.acting_terms == self.observation_terms,
            "normalize": self._normalize,
            **self._encoders,
        }
        drop = ("features_extractor_class", "features_extractor_kwargs", "share_features_extractor")
        return {name: value for name, value in found.items() if name not in drop} | own


class AsymmetricActorCriticPolicy(Asymmetric, ActorCriticPolicy):
    """For PPO: an actor of the policy's columns, a value function of all."""

    def _build(self, lr_schedule: Any) -> None:
        self.vf_features_extractor = self.critic_extractor()
        super()._build(lr_schedule)

    def _build_mlp_extractor(self) -> None:
        """Two networks with inputs of different size, which SB3's has not."""
        super()._build_mlp_extractor()
        critic = MlpExtractor(
            self.vf_features_extractor.features_dim,
            net_arch=self.net_arch,
            activation_fn=self.activation_fn,
            device=self.device,
        )
        self.mlp_extractor.value_net = critic.value_net


class AsymmetricSACPolicy(Asymmetric, SACPolicy):
    """For SAC: an actor of the policy's columns, Q functions of all."""

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """A critic that sees all columns."""
        return super().make_critic(features_extractor or self.critic_extractor())


class AsymmetricTD3Policy(Asymmetric, TD3Policy):
    """For TD3: an actor of the policy's columns, Q functions of all."""

    def make_critic(
        self, features_extractor: BaseFeaturesExtractor | None = None
    ) -> ContinuousCritic:
        """A critic that sees all columns."""
        return super().make_critic(features_extractor or self.critic_extractor())


def _check(terms: Sequence[ObservationTerm], observation_space: spaces.Box) -> None:
    groups = [term.group for term in terms]
    size = sum(term.size for term in terms)
    if groups != sorted(groups) or "policy" not in groups:
        raise UserError(f"the policy's terms come first, then what is privileged; got {groups}")
    if observation_space.shape != (size,):
        raise UserError(
            f"the observation has the shape {observation_space.shape}, its terms "
            f"{', '.join(term.name for term in terms)} have {size} columns; "
            "make the environment with privileged=True"
        )
