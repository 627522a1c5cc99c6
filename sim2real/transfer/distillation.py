"""The loop of distillation: collect states, let the teachers label them, learn the labels."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, cast

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor
from torch.nn import functional

from sim2real.config import Config, Count, Minibatch, Updates
from sim2real.errors import UserError, unknown
from sim2real.policies.allocation import memory_for
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.build import observation_terms, terms_of
from sim2real.policies.encoders import policy_terms
from sim2real.policies.estimation import learn_estimates
from sim2real.policies.images import has_images, places, shifted
from sim2real.policies.layers import Layers
from sim2real.simulation.history import frames_of
from sim2real.simulation.observations import TRUTH
from sim2real.task import ObservationTerm
from sim2real.transfer.gaussians import (
    actor_gaussian,
    huber,
    kl_divergence,
    negative_log_likelihood,
    squared_error,
)
from sim2real.transfer.pixel_buffer import PixelBuffer
from sim2real.transfer.rma import encoding_error
from sim2real.transfer.teachers import Teacher, is_kind_of, label

DENSITIES: dict[str, Callable[..., Tensor]] = {
    "kl": kl_divergence,
    "reverse_kl": lambda label, own: kl_divergence(own, label),
    "nll": negative_log_likelihood,
}
"""Losses of two densities, of the teacher's label and the student's own."""


class Teaching(Config):
    """How a student is taught: the options of the loop."""

    student: Literal["small", "same", "rma"] | Layers = "small"
    """Hidden layers of the student: small (32x32), same (the teacher's), or sizes; rma: the teacher
    itself, with an estimate of its encoding of what is privileged."""
    loss: Literal["auto", "kl", "reverse_kl", "nll", "mse", "huber"] = "auto"
    """`auto`: kl, and mse for TD3, whose actor has no density; allowed for it: mse, huber."""
    learning_rate: Annotated[float, Field(gt=0.0)] = 1e-3
    rollout: Count = 64
    """Control steps of each world between two rounds of learning."""
    updates: Updates = 50
    """Minibatches in a round."""
    batch_size: Minibatch = 512
    """States in a minibatch, drawn from all that were seen."""
    teacher_rounds: Annotated[int, Field(ge=0)] = 1
    """Rounds at the beginning in which the teacher acts, as an untaught student falls at once."""
    beta: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Probability with which the teacher acts in the round after these; then its powers."""
    memory: Count = 100_000
    """States in the replay buffer, the latest."""
    distill_critic: bool = True
    """Whether the critic learns from the teacher's, or stays fresh."""
    teacher_sees: Literal["sensed", "truth", "privileged"] = "sensed"
    """`truth`: the teacher observes what is true where the student observes its sensors.
    `privileged`: it observes its own terms, found by name among what the student observes and what
    only the simulator knows; the student's task may be another one, such as one with images."""
    shift: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels by which images are moved at random as the student learns from them."""

    @model_validator(mode="after")
    def _has_one_loss(self) -> Teaching:
        if self.student == "rma" and self.loss != "auto":
            raise ValueError("student rma learns an encoding; allowed with it: loss auto")
        return self


def true_readings(terms: Sequence[ObservationTerm]) -> Callable[[Tensor], Tensor]:
    """What replaces the present readings of sensors by true ones in observations of `terms`.

    Shape: (m, all columns) -> (m, all columns).
    """
    sensed = torch.from_numpy(frames_of(policy_terms(terms), 1)[-1])
    first = sum(term.size for term in itertools.takewhile(lambda term: term.name != TRUTH, terms))
    size = next(term.size for term in terms if term.name == TRUTH)

    def replaced(observations: Tensor) -> Tensor:
        seen = observations.clone()
        seen[:, sensed[:size]] = observations[:, first : first + size]  # a memory may add a term
        return seen

    return replaced


def own_columns(
    own: Sequence[ObservationTerm], terms: Sequence[ObservationTerm]
) -> Callable[[Tensor], Tensor]:
    """The observations of a teacher whose terms are `own`, from observations of `terms`, by name.

    Shape: (m, all columns) -> (m, the teacher's columns). Raises UserError for a term that is not
    there, or is of another size or unit.
    """
    there = {term.name: (term, place) for term, place in places(terms)}
    for term in own:
        found = there.get(term.name, (None,))[0]
        if found is None:
            raise unknown("teacher_sees 'privileged': term of the teacher", term.name, there)
        if (found.size, found.unit) != (term.size, term.unit):
            raise UserError(
                f"teacher_sees 'privileged': {term.name} is ({term.size},) {term.unit} for the "
                f"teacher, ({found.size},) {found.unit} for the student"
            )
    columns = torch.tensor([column for term in own for column in there[term.name][1]])
    return lambda observations: observations[:, columns]


def _unchanged(observations: Tensor) -> Tensor:
    return observations


class Distillation(OffPolicyAlgorithm):
    """DAgger as an SB3 algorithm: collect with the student, learn from all states seen so far.

    The replay buffer is the aggregated data set. Labels are computed when a state is drawn: a
    teacher does not change, so they are those it would have given on the spot. The worlds are
    divided among the teachers, in their order.
    """

    def __init__(
        self,
        student: BaseAlgorithm,
        teachers: Sequence[Teacher],
        options: Teaching,
        seed: int,
        taught: Sequence[ObservationTerm] = (),
    ) -> None:
        """`taught` are the terms that the teacher observes, where they are found by name."""
        assert student.env is not None
        self._student, self._teachers, self._options = student, teachers, options
        self._teacher_of = np.arange(student.n_envs) * len(teachers) // student.n_envs
        self._terms = terms_of(student.env)
        self._shown: Callable[[Tensor], Tensor] = _unchanged
        if options.teacher_sees == "truth":
            self._shown = true_readings(observation_terms(student.env))
        elif options.teacher_sees == "privileged":
            self._shown = own_columns(taught, self._terms)
        super().__init__(
            type(student.policy),
            student.env,
            learning_rate=options.learning_rate,
            buffer_size=max(options.memory, student.n_envs),
            learning_starts=0,
            batch_size=options.batch_size,
            train_freq=options.rollout,
            gradient_steps=options.updates,
            seed=seed,
            device="cpu",
            support_multi_env=True,
        )
        self._error = _error(options, student.policy, teachers)
        self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self._convert_train_freq()
        self.policy = self._student.policy
        self.log_ent_coef = getattr(self._student, "log_ent_coef", None)
        if not isinstance(self.policy, ActorCriticPolicy):
            self.actor = cast(Any, self.policy).actor
            self.critic = cast(Any, self.policy).critic
        with memory_for("the memory of the method 'distill'"):
            self.replay_buffer = self._buffer()

    def _buffer(self) -> ReplayBuffer:
        """Half the memory, nothing lost: a policy casts what it observes to float32 first."""
        if has_images(self._terms):
            return PixelBuffer(self.buffer_size, self.action_space, self.n_envs, self._terms)
        seen = spaces.Box(-np.inf, np.inf, self.observation_space.shape, np.float32)
        return ReplayBuffer(self.buffer_size, seen, self.action_space, "cpu", self.n_envs)

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[Any, Any]:
        """The teachers' actions in the first rounds, then the student's; also scaled to [-1, 1].

        In between each world has its teacher's with a probability that falls.
        """
        share = self._teachers_share()
        if share == 1.0:
            action = self._taught()
        else:
            action, _ = self.policy.predict(np.asarray(self._last_obs), deterministic=False)
            if share:
                led = torch.rand(self.n_envs).numpy() < share
                action = np.where(led[:, None], self._taught(), action)
        return action, self.policy.scale_action(action)

    def _teachers_share(self) -> float:
        """The probability that the teacher acts in a world."""
        options = self._options
        after = self.num_timesteps // (options.rollout * self.n_envs) - options.teacher_rounds
        return 1.0 if after < 0 else float(options.beta ** (after + 1))

    def _taught(self) -> NDArray[Any]:
        """What the teacher of each world does. Shape: (n_envs, num_actions)."""
        seen = self._shown(torch.from_numpy(np.asarray(self._last_obs))).numpy()
        parts = [
            teacher.predict(seen[self._teacher_of == index], deterministic=False)[0]
            for index, teacher in enumerate(self._teachers)
        ]
        return np.concatenate(parts)

    def _store_transition(
        self, replay_buffer: Any, buffer_action: Any, new_obs: Any, reward: Any, *others: Any
    ) -> None:
        """As SB3's, with the number of the teacher in place of the reward, which nobody needs."""
        super()._store_transition(
            replay_buffer, buffer_action, new_obs, self._teacher_of.astype(np.float32), *others
        )

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """One round: `gradient_steps` minibatches of states, labelled by the teacher."""
        self.policy.set_training_mode(True)
        owners = optimizer_owners(self.policy)
        optimizers = [owner.optimizer for owner in owners.values()]
        self._update_learning_rate(optimizers)
        losses = []
        for _ in range(gradient_steps):
            drawn = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            actor_loss, critic_loss = self._losses(drawn)
            loss = actor_loss + critic_loss
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()
            losses.append(actor_loss.item())
        _refresh_targets(self.policy)
        seen = (self.replay_buffer.sample(batch_size) for _ in range(gradient_steps))  # type: ignore[union-attr]
        learn_estimates(self, (one.observations for one in seen))
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates)
        self.logger.record("train/distillation_loss", float(np.mean(losses)))

    def _losses(self, drawn: ReplayBufferSamples) -> tuple[Tensor, Tensor]:
        """The mean loss of the actor and that of the critic, which may have none."""
        actor, critic = torch.zeros(()), torch.zeros(())
        of_critic = self._options.distill_critic and self._options.student != "rma"
        for index, teacher in enumerate(self._teachers):
            rows = (drawn.rewards[:, 0] == index).nonzero()[:, 0]
            seen, actions = drawn.observations[rows], drawn.actions[rows]
            share = len(rows) / len(drawn.rewards)
            if not share:
                continue
            shown = self._shown(seen)
            if self._options.shift:
                seen = shifted(seen, self._terms, self._options.shift)
            actor = actor + share * self._error(teacher, self.policy, shown, seen).mean()
            if of_critic and is_kind_of(teacher, self.policy):
                with torch.no_grad():
                    values = _values(teacher, shown, actions)
                own = _values(self.policy, seen, actions)
                critic = critic + share * functional.mse_loss(own, values)
        return actor, critic


def _values(policy: Any, observations: Tensor, actions: Tensor) -> Tensor:
    """The values of the critics: V (m, 1) of PPO, both Q functions (m, 2) of SAC and TD3."""
    if isinstance(policy, ActorCriticPolicy):
        return policy.predict_values(observations)
    return torch.cat(policy.critic(observations, actions), dim=1)


def _error(
    options: Teaching, student: BasePolicy, teachers: Sequence[Teacher]
) -> Callable[..., Tensor]:
    """How far a teacher that has `seen` (m, k) and its student are from each other, (m,)."""
    if options.student == "rma":
        return encoding_error
    divergence = _divergence(options.loss, student, teachers)

    def error(teacher: Teacher, student: BasePolicy, seen: Tensor, observations: Tensor) -> Tensor:
        given = label(teacher, seen, student)
        return divergence(given, actor_gaussian(student, observations))

    return error


def _divergence(
    loss: str, policy: BasePolicy, teachers: Sequence[Teacher]
) -> Callable[..., Tensor]:
    """The loss function of two Gaussians, (m,), for the kinds of the student and its teachers."""
    deterministic = hasattr(policy, "actor_target")
    dense = not deterministic and all(is_kind_of(teacher, policy) for teacher in teachers)
    named = loss if loss != "auto" else "kl" if dense else "mse"
    if named in DENSITIES and not dense:
        why = (
            "TD3's actor is deterministic"
            if deterministic
            else "a teacher of another algorithm, or of an ONNX file, gives its actions alone"
        )
        raise UserError(f"loss {loss!r}: {why}; allowed: mse, huber, auto")
    return DENSITIES.get(named) or (huber if named == "huber" else squared_error)


def _refresh_targets(policy: Any) -> None:
    """Make the target networks equal to what they follow, for a learner that goes on."""
    tensors = named_tensors(policy)
    with torch.no_grad():
        for name, part in anatomy(policy).items():
            if part.follows:
                tensors[name].copy_(tensors[part.follows])
