"""Anchors: a loss that pulls an actor towards the policy with which its training began.

    actions:  w_t E_s KL( pi_0(. | s) || pi(. | s) )      s: the states of each minibatch
    weights:  w_t / 2 |theta - theta_0|^2
    w_t = w (1 - t / T)                                   t of T control steps

The first is kickstarting (Schmitt et al. 2018, arXiv:1803.03835) with the source as its teacher,
the second L2-SP (Li, Grandvalet and Davoine 2018, arXiv:1802.01483). The divergence has a closed
form; TD3's deterministic actor has the squared distance of its actions instead.
"""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from sim2real.errors import UserError
from sim2real.learning.callbacks import AtRollouts
from sim2real.policies.added_loss import add_loss, remove_loss
from sim2real.policies.anatomy import actor_parameters
from sim2real.transfer.gaussians import actor_gaussian, kl_divergence, squared_error

Of = Literal["actions", "weights"]


class Anchor(AtRollouts):
    """Add the loss to every update of the actor of an algorithm, with a weight that falls to 0.

    `policy` is the policy at the start.
    """

    def __init__(self, policy: BasePolicy, weight: float, of: Of, steps: int) -> None:
        super().__init__()
        self._start = copy.deepcopy(policy)
        self._start.set_training_mode(False)
        self._weight, self._of, self._steps = weight, of, steps
        self._observations: Tensor | None = None
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def weight_at(self, steps: int) -> float:
        """The weight after so many control steps."""
        return self._weight * max(1.0 - steps / self._steps, 0.0)

    def loss(self, policy: BasePolicy, observations: Tensor) -> Tensor:
        """How far the actor of `policy` is from the start, before the weight."""
        if self._of == "weights":
            return 0.5 * torch.stack([(a - b).square().sum() for a, b in self._pairs]).sum()
        with torch.no_grad():
            start = actor_gaussian(self._start, observations)
        now = actor_gaussian(policy, observations)
        if now.log_std is None:
            return squared_error(start, now, squash=False).mean()
        return kl_divergence(start, now).mean()

    def _on_training_start(self) -> None:
        policy: Any = self.model.policy
        then = dict(self._start.named_parameters())
        names = {id(one): name for name, one in policy.named_parameters()}
        learns = [one for one in actor_parameters(policy) if one.requires_grad]
        self._pairs = [
            (one, then[names[id(one)]].detach()) for one in learns if names[id(one)] in then
        ]
        if self._of == "weights" and not self._pairs:
            raise UserError("anchor_of 'weights': no weight of the source learns; allowed: actions")
        self._note_observations()
        owner = policy if isinstance(policy, ActorCriticPolicy) else policy.actor
        self._optimizer = owner.optimizer

        def begin_gradient() -> None:
            weight = self.weight_at(self.model.num_timesteps)
            if self._observations is None or not weight:
                return
            loss = self.loss(policy, self._observations)
            if loss.requires_grad:  # it does not while the critic learns alone
                (weight * loss).backward()  # type: ignore[no-untyped-call]
                self.logger.record("train/anchor", float(loss.detach()))

        add_loss(self._optimizer, begin_gradient)

    def _on_training_end(self) -> None:
        remove_loss(self._optimizer)
        vars(self._source_of_samples()).pop(self._sampled, None)

    def _note_observations(self) -> None:
        """Keep the observations of the latest minibatch."""
        samples = self._source_of_samples()
        draw = getattr(samples, self._sampled)

        def noted(*arguments: Any, **options: Any) -> Any:
            found = draw(*arguments, **options)
            self._observations = found.observations
            return found

        setattr(samples, self._sampled, noted)

    @property
    def _sampled(self) -> str:
        return "_get_samples" if isinstance(self.model, OnPolicyAlgorithm) else "sample"

    def _source_of_samples(self) -> Any:
        algorithm: Any = self.model
        on_policy = isinstance(algorithm, OnPolicyAlgorithm)
        return algorithm.rollout_buffer if on_policy else algorithm.replay_buffer
