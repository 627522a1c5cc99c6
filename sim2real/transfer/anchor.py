"""Anchors: a loss that pulls an actor towards the policy with which its training began.

    actions:  w_t E_s KL( pi_0(. | s) || pi(. | s) )      s: the states of each minibatch
    weights:  w_t / 2 |theta - theta_0|^2
    w_t = w (1 - t / T)                                   t of T control steps

The first is kickstarting (Schmitt et al. 2018, arXiv:1803.03835) with the source as its teacher, or
another one in place of pi_0; the second is L2-SP (Li, Grandvalet and Davoine 2018,
arXiv:1802.01483). The divergence has a closed form; TD3's deterministic actor, and a teacher of
another algorithm, have the squared distance of the actions instead.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.config import Config
from sim2real.errors import UserError
from sim2real.learning.callbacks import AtRollouts
from sim2real.policies.added_loss import add_loss, remove_loss
from sim2real.policies.anatomy import actor_parameters
from sim2real.runs.run import Run
from sim2real.transfer.gaussians import actor_gaussian, kl_divergence, squared_error
from sim2real.transfer.teachers import Teacher, label, teacher_of

Of = Literal["actions", "weights"]


class Anchored(Config):
    """The options of a method whose actor may be pulled to a teacher's actions."""

    anchor: Annotated[float, Field(ge=0.0)] = 0.0
    """Weight of a loss that pulls the actor to the source's; it falls to 0 with the budget."""
    anchor_to: str | None = None
    """A teacher in place of the source: a run, the zip of a model, or an ONNX file."""

    @model_validator(mode="after")
    def _has_a_weight(self) -> Anchored:
        if self.anchor_to is not None and not self.anchor:
            raise ValueError("anchor_to is the teacher of an anchor, whose weight is 0; set anchor")
        return self

    def teacher(self, source: Run, history: int, env: VecEnv) -> Teacher | None:
        """What `anchor_to` names, for what `env` shows."""
        path = self.anchor_to
        return None if path is None else teacher_of(path, source, history, env)


class Anchor(AtRollouts):
    """Add the loss to every update of the actor of an algorithm, with a weight that falls to 0.

    `policy` is the policy at the start; a `teacher` takes its place for the actions.
    """

    def __init__(
        self,
        policy: BasePolicy,
        weight: float,
        of: Of,
        steps: int,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self._start = copy.deepcopy(policy)
        self._start.set_training_mode(False)
        self._teacher: Teacher = self._start if teacher is None else teacher
        self._weight, self._of, self._steps = weight, of, steps
        self._observations: Tensor | None = None
        self._pairs: list[tuple[Tensor, Tensor]] = []

    def weight_at(self, steps: int) -> float:
        """The weight after so many control steps."""
        return self._weight * max(1.0 - steps / self._steps, 0.0)

    def loss(self, policy: BasePolicy, observations: Tensor) -> Tensor:
        """How far the actor of `policy` is from the start or the teacher, before the weight."""
        if self._of == "weights":
            return 0.5 * torch.stack([(a - b).square().sum() for a, b in self._pairs]).sum()
        wanted = label(self._teacher, observations, policy)
        now = actor_gaussian(policy, observations)
        if wanted.log_std is None or now.log_std is None:
            return squared_error(wanted, now).mean()
        return kl_divergence(wanted, now).mean()

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
