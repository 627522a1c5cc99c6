"""Distillation: the student acts, the teacher labels its states, the student learns the labels.

    s ~ d_student,    minimize  E_s [ KL( teacher(. | s) || student(. | s) ) ]

over all states seen so far (DAgger: Ross, Gordon & Bagnell 2011, arXiv:1011.0686; policy
distillation: Rusu et al. 2015, arXiv:1511.06295; the student acting: Czarnecki et al. 2019,
arXiv:1902.02186). The divergence of the two diagonal Gaussians has a closed form, nothing is
sampled; for SAC it is that of the Gaussians before the squash, which a bijection leaves as it is.
TD3's actor is deterministic and gets the squared error of the actions, as does `loss: mse`. Other
losses: `reverse_kl`, KL(student || teacher), which stays within one of several modes; `nll` of
actions drawn from the teacher; `huber`, which outliers pull less.

The critic is distilled too: PPO's values by regression on the teacher's at the same states, the
Q functions of SAC and TD3 at the states and actions that were played. The student may be
smaller or larger; observation statistics are the teacher's and stay so. It may observe more
control steps than its teacher (`history`); the statistics are then its own. A teacher whose actor
sees what only a simulator knows (`privileged_actor`) is asked with it, and the student learns to
do without (Chen et al. 2019, "Learning by cheating", arXiv:1912.12294). Any other teacher may be
asked with the true observation (`teacher_sees: truth`), without noise, bias and delay of the
target's sensors; what the student learns is then also to filter. The student `rma` estimates
the encoding of a teacher with a `context_encoder` (see `sim2real.transfer.rma`).

It assumes of the target that it may be acted in, not that it gives rewards; and that the teacher
is worth imitating there: at best the student acts as the teacher does. To compress a policy,
distill in the domains that it was trained in.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, cast

import numpy as np
import torch
from gymnasium import spaces
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from sim2real.config import Count, History, Minibatch, Updates
from sim2real.errors import UserError
from sim2real.policies.allocation import memory_for
from sim2real.policies.anatomy import anatomy, named_tensors, optimizer_owners
from sim2real.policies.build import build_algorithm, observation_terms
from sim2real.policies.encoders import policy_terms
from sim2real.policies.recipe import AnyRecipe, Layers
from sim2real.runs.run import Run
from sim2real.simulation.history import frames_of
from sim2real.simulation.observations import TRUTH
from sim2real.task import ObservationTerm
from sim2real.transfer.budget import Budget
from sim2real.transfer.columns import copy_entropy_coefficient, in_columns_of, take_along
from sim2real.transfer.gaussians import (
    actor_gaussian,
    huber,
    kl_divergence,
    negative_log_likelihood,
    squared_error,
)
from sim2real.transfer.manifest import Action
from sim2real.transfer.method import LearnerMethod, Prepared, rows_of
from sim2real.transfer.rma import adapted_recipe, adopt, encoding_error, require_present
from sim2real.transfer.schedule import KeepFrozen

DENSITIES: dict[str, Callable[..., Tensor]] = {
    "kl": kl_divergence,
    "reverse_kl": lambda label, own: kl_divergence(own, label),
    "nll": negative_log_likelihood,
}
"""Losses of two densities, of the teacher's label and the student's own."""
SMALL = (32, 32)
NUM_ENVS = 16


class Distill(LearnerMethod):
    """Make a student of another size act as the source's policy does."""

    name: ClassVar[str] = "distill"
    may_remember_more: ClassVar[bool] = True
    needs_reward: ClassVar[bool] = False

    student: Literal["small", "same", "rma"] | Layers = "small"
    """Hidden layers of the student: small (32x32), same (the teacher's), or sizes; rma: the teacher
    itself, with an estimate of its encoding of what is privileged."""
    history: History | None = None
    """Control steps that the student observes, at least the teacher's; by default as many, for rma
    20."""
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
    memory: Count = 100_000
    """States in the replay buffer, the latest."""
    distill_critic: bool = True
    """Whether the critic learns from the teacher's, or stays fresh."""
    teacher_sees: Literal["sensed", "truth"] = "sensed"
    """`truth`: the teacher observes what is true where the student observes its sensors."""

    @model_validator(mode="after")
    def _has_one_loss(self) -> Distill:
        if self.student == "rma" and self.loss != "auto":
            raise ValueError("student rma learns an encoding; allowed with it: loss auto")
        return self

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's recipe with the student's layers."""
        worlds: dict[str, Any] = {"num_envs": NUM_ENVS}
        if self.history is not None:
            worlds["history"] = self.history
        if self.teacher_sees == "truth":
            worlds["privileged"] = True
        if source.privileged_actor:  # for the teacher; the student acts without
            worlds |= {"privileged": True, "privileged_actor": False}
        if self.student == "rma":
            worlds |= adapted_recipe(source, self.history, self.recipe)
        if self.student in ("same", "rma"):
            return self.resized(source, **worlds)
        layers = SMALL if self.student == "small" else self.student
        return self.resized(source, **worlds, net_arch=layers, critic_net_arch=None)

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """Nothing: all counts are of rounds and minibatches."""
        return None

    def of_learner(self, recipe: AnyRecipe) -> AnyRecipe:
        """Rollouts of its own length, at a constant rate."""
        length = "n_steps" if recipe.algorithm == "ppo" else "train_freq"
        return recipe.model_copy(update={length: self.rollout, "lr_schedule": "constant"})

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """A fresh student with the teacher's statistics, and the loop that teaches it."""
        if self.student == "rma":
            require_present(source, "student 'rma'")
        if self.teacher_sees == "truth":
            require_present(source, "teacher_sees 'truth'")
        student = build_algorithm(recipe, env, seed)
        if self.student == "rma":
            action_of, constant = adopt(source, student.policy)
        else:
            action_of, constant = _with_statistics(source, recipe, student.policy)
        if copy_entropy_coefficient(source.checkpoint.training.get("log_ent_coef"), student):
            action_of["log_ent_coef"] = "copied"
        loop = Distillation(student, in_columns_of(source, env), self, seed)
        return Prepared(loop, rows_of(loop, action_of), (KeepFrozen(constant),))


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


def _unchanged(observations: Tensor) -> Tensor:
    return observations


def _with_statistics(
    source: Run, recipe: AnyRecipe, student: BasePolicy
) -> tuple[dict[str, Action], tuple[str, ...]]:
    """Give a student its teacher's noise, and its statistics if it remembers as the teacher does.

    Returns the action for each tensor, and which are constant.
    """
    parts, teacher = anatomy(student), source.config.parsed_recipe()
    same = (recipe.history, recipe.encoder) == (teacher.history, teacher.encoder)
    places = ("statistics", "noise") if same else ("noise",)  # of other sizes than the layers'
    taken = [name for name, part in parts.items() if part.place in places]
    action_of = take_along(source.policy, student, taken)
    statistics = [name for name in taken if parts[name].place == "statistics"]
    action_of |= {name: "frozen" for name in statistics if action_of[name] == "copied"}
    return action_of, tuple(statistics)


class Distillation(OffPolicyAlgorithm):
    """DAgger as an SB3 algorithm: collect with the student, learn from all states seen so far.

    The replay buffer is the aggregated data set. Labels are computed when a state is drawn: the
    teacher does not change, so they are those it would have given on the spot.
    """

    def __init__(
        self, student: BaseAlgorithm, teacher: BasePolicy, options: Distill, seed: int
    ) -> None:
        assert student.env is not None
        self._student, self._teacher, self._options = student, teacher, options
        sees_truth = options.teacher_sees == "truth"
        self._shown = true_readings(observation_terms(student.env)) if sees_truth else _unchanged
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
        self._teacher_steps = options.teacher_rounds * options.rollout * self.n_envs
        self._error = _error(options, student.policy)
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
        # Half the memory, nothing lost: a policy casts what it observes to float32 first
        seen = spaces.Box(-np.inf, np.inf, self.observation_space.shape, np.float32)
        with memory_for("the memory of the method 'distill'"):
            self.replay_buffer = ReplayBuffer(
                self.buffer_size, seen, self.action_space, "cpu", self.n_envs
            )

    def _sample_action(
        self, learning_starts: int, action_noise: Any = None, n_envs: int = 1
    ) -> tuple[Any, Any]:
        """The teacher's action in the first rounds, then the student's; also scaled to [-1, 1]."""
        seen = np.asarray(self._last_obs)
        acting = self.policy
        if self.num_timesteps < self._teacher_steps:
            acting, seen = self._teacher, self._shown(torch.from_numpy(seen)).numpy()
        action, _ = acting.predict(seen, deterministic=False)
        return action, self.policy.scale_action(action)

    def train(self, gradient_steps: int, batch_size: int) -> None:
        """One round: `gradient_steps` minibatches of states, labelled by the teacher."""
        self.policy.set_training_mode(True)
        owners = optimizer_owners(self.policy)
        optimizers = [owner.optimizer for owner in owners.values()]
        self._update_learning_rate(optimizers)
        losses = []
        for _ in range(gradient_steps):
            drawn = self.replay_buffer.sample(batch_size)  # type: ignore[union-attr]
            actor_loss = self._actor_loss(drawn.observations)
            loss = actor_loss
            if self._options.distill_critic and self._options.student != "rma":
                loss = loss + self._critic_loss(drawn.observations, drawn.actions)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in optimizers:
                optimizer.step()
            losses.append(actor_loss.item())
        _refresh_targets(self.policy)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates)
        self.logger.record("train/distillation_loss", float(np.mean(losses)))

    def _actor_loss(self, observations: Tensor) -> Tensor:
        seen = self._shown(observations)
        return self._error(self._teacher, self.policy, seen, observations).mean()

    def _critic_loss(self, observations: Tensor, actions: Tensor) -> Tensor:
        with torch.no_grad():
            label = _values(self._teacher, self._shown(observations), actions)
        return functional.mse_loss(_values(self.policy, observations, actions), label)


def _values(policy: Any, observations: Tensor, actions: Tensor) -> Tensor:
    """The values of the critics: V (m, 1) of PPO, both Q functions (m, 2) of SAC and TD3."""
    if isinstance(policy, ActorCriticPolicy):
        return policy.predict_values(observations)
    return torch.cat(policy.critic(observations, actions), dim=1)


def _error(options: Distill, student: BasePolicy) -> Callable[..., Tensor]:
    """How far a teacher that has `seen` (m, k) and its student are from each other, (m,)."""
    if options.student == "rma":
        return encoding_error
    divergence = _divergence(options.loss, student)

    def error(
        teacher: BasePolicy, student: BasePolicy, seen: Tensor, observations: Tensor
    ) -> Tensor:
        with torch.no_grad():
            label = actor_gaussian(teacher, seen)
        return divergence(label, actor_gaussian(student, observations))

    return error


def _divergence(loss: str, policy: BasePolicy) -> Callable[..., Tensor]:
    """The loss function of two Gaussians, (m,), for the kind of the student's actor."""
    deterministic = hasattr(policy, "actor_target")
    named = loss if loss != "auto" else "mse" if deterministic else "kl"
    if deterministic and named in DENSITIES:
        raise UserError(f"loss {loss!r}: TD3's actor is deterministic; allowed: mse, huber, auto")
    if named in DENSITIES:
        return DENSITIES[named]
    distance = huber if named == "huber" else squared_error
    squash = not deterministic and not isinstance(policy, ActorCriticPolicy)
    return lambda label, own: distance(label, own, squash)


def _refresh_targets(policy: Any) -> None:
    """Make the target networks equal to what they follow, for a learner that goes on."""
    tensors = named_tensors(policy)
    with torch.no_grad():
        for name, part in anatomy(policy).items():
            if part.follows:
                tensors[name].copy_(tensors[part.follows])
