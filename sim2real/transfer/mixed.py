"""Learn from two domains at once: free steps of the source beside metered steps of the target.

    each control step of the target:  `source_ratio` control steps of the source, by the same policy
    after each rollout:               the sampler learns to tell the domains apart, where it does so
    each update of SAC or TD3:        a minibatch with the part `target_share` from the target

What a method does with the samples of the source is its `SourceSampler`: it takes them as they are,
selects some, or corrects their rewards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
import torch
from pydantic import Field, field_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from sim2real.errors import UserError
from sim2real.policies.adam import Adam
from sim2real.policies.allocation import memory_for
from sim2real.policies.build import with_reward_of
from sim2real.policies.recipe import AnyRecipe, Fraction
from sim2real.runs.run import Run
from sim2real.runs.state import (
    State,
    Tensors,
    capture_optimizer,
    capture_replay,
    capture_worlds,
    prefixed,
    restore_optimizer,
    restore_replay,
    restore_worlds,
    without,
)
from sim2real.transfer.budget import Budget
from sim2real.transfer.methods.fine_tune import FineTune
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work

Replay = TypeVar("Replay", bound=ReplayBuffer)


class SourceSampler:
    """Draws what is learned from the source: all of it alike, as it is.

    `networks` and `optimizers`, by name, are saved in the checkpoints.
    """

    def __init__(self) -> None:
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def sample(self, source: ReplayBuffer, size: int) -> ReplayBufferSamples:
        """So many transitions of the source to learn from."""
        return source.sample(size)

    def learn(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> dict[str, float]:
        """Learn from as many samples of each domain; returns what is to be logged."""
        return {}


class LearnedSampler(SourceSampler, ABC):
    """A sampler with a network that learns from both domains by gradient descent."""

    def __init__(self, network: nn.Module, learning_rate: float) -> None:
        super().__init__()
        optimizer = Adam(network.parameters(), lr=learning_rate, fused=True)
        self.networks, self.optimizers = {"network": network}, {"network": optimizer}
        self._optimizer = optimizer

    @abstractmethod
    def loss(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> Tensor:
        """What the network minimizes."""

    def learn(self, source: ReplayBufferSamples, target: ReplayBufferSamples) -> dict[str, float]:
        """One step of the optimizer."""
        loss = self.loss(source, target)
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        return {"domains_loss": float(loss.detach())}


class MixedReplay(ReplayBuffer):
    """The replay buffer of the target, whose minibatches have samples of the source as well."""

    source: ReplayBuffer
    sampler: SourceSampler
    target_share: float

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """A minibatch, first what is from the target."""
        count = round(self.target_share * batch_size)
        parts = [self.of_target(count)] if count else []
        if count < batch_size:
            parts.append(self.sampler.sample(self.source, batch_size - count))
        columns = list(zip(*(part[:5] for part in parts), strict=True))
        return ReplayBufferSamples(*(torch.cat(column) for column in columns))

    def of_target(self, count: int) -> ReplayBufferSamples:
        """So many samples of the target alone."""
        return super().sample(count)


def empty_replay(kind: type[Replay], algorithm: OffPolicyAlgorithm, num_envs: int) -> Replay:
    """An empty replay buffer of the algorithm's size and spaces, filled from `num_envs` worlds."""
    return kind(
        algorithm.buffer_size,
        algorithm.observation_space,
        algorithm.action_space,
        algorithm.device,
        n_envs=num_envs,
    )


class SourceWorlds:
    """Worlds of the source domain in which the learner acts, and the replay buffer of these."""

    def __init__(self, env: VecEnv, algorithm: OffPolicyAlgorithm) -> None:
        self.env = env
        self._algorithm = algorithm
        self._last: np.ndarray | None = None
        self.steps = 0
        """Control steps so far, of all worlds."""
        self.replay = empty_replay(ReplayBuffer, algorithm, env.num_envs)

    def step(self) -> None:
        """One control step of every world, with the exploration of the algorithm."""
        before = self._observed()
        scaled = self._explore(before)
        after, rewards, dones, infos = self.env.step(self._algorithm.policy.unscale_action(scaled))
        assert isinstance(after, np.ndarray)
        final = after.copy()
        for world in np.flatnonzero(dones):  # `after` is of the next episode there
            final[world] = infos[world].get("terminal_observation", final[world])
        self.replay.add(before, final, scaled, rewards, dones, infos)
        self._last = after
        self.steps += self.env.num_envs

    def _observed(self) -> np.ndarray:
        if self._last is None:
            first = self.env.reset()
            assert isinstance(first, np.ndarray)
            self._last = first
        return self._last

    def _explore(self, observations: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1]: samples of SAC's policy, or TD3's with its noise."""
        policy, noise = self._algorithm.policy, self._algorithm.action_noise
        policy.set_training_mode(False)
        actions, _ = policy.predict(observations, deterministic=False)
        scaled: np.ndarray = policy.scale_action(actions)
        if noise is not None:
            one = getattr(noise, "base_noise", noise)
            scaled = np.clip(scaled + np.stack([one() for _ in scaled]), -1.0, 1.0)
        return scaled

    def capture(self) -> tuple[Tensors, State]:
        """The state of the worlds and of the replay buffer."""
        replay, state = capture_replay(self.replay)
        worlds, counts = capture_worlds(self.env)
        tensors = prefixed("replay", replay) | prefixed("worlds", worlds)
        if self._last is not None:
            tensors["last"] = torch.from_numpy(self._last.copy())
        return tensors, {"replay": state, "worlds": counts, "steps": self.steps}

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state."""
        restore_replay(self.replay, without("replay", tensors), state["replay"])
        restore_worlds(self.env, without("worlds", tensors), state["worlds"])
        self.steps = state["steps"]
        if "last" in tensors:
            self._last = tensors["last"].numpy().copy()


class Mixing(BaseCallback):
    """Steps the worlds of the source beside those of the target, and lets the sampler learn.

    `prefill` control steps of the source are made before the first of the target. It is the
    companion of the algorithm, so that its state is in the checkpoints.
    """

    def __init__(
        self,
        algorithm: OffPolicyAlgorithm,
        env: VecEnv,
        sampler: SourceSampler,
        *,
        target_share: float,
        prefill: int,
    ) -> None:
        super().__init__()
        with memory_for("the replay buffers"):
            self.source = SourceWorlds(env, algorithm)
            self.replay = empty_replay(MixedReplay, algorithm, algorithm.n_envs)
        self.replay.source, self.replay.sampler = self.source.replay, sampler
        self.replay.target_share = target_share
        self._sampler, self._prefill = sampler, prefill
        algorithm.replay_buffer = self.replay
        algorithm.companion = self  # type: ignore[attr-defined]

    def _on_training_start(self) -> None:
        while self.source.steps < self._prefill:
            self.source.step()

    def _on_step(self) -> bool:
        self.source.step()
        return True

    def _on_rollout_end(self) -> None:
        algorithm: Any = self.model
        size, learns = algorithm.batch_size // 2, bool(self._sampler.networks)
        for _ in range(algorithm.gradient_steps if learns else 0):
            samples = self.source.replay.sample(size), self.replay.of_target(size)
            for name, value in self._sampler.learn(*samples).items():
                self.logger.record(f"train/{name}", value)
        self.logger.record("source/steps", self.source.steps)

    def capture(self) -> tuple[Tensors, State]:
        """The state of the source's worlds and buffer, and of the sampler's networks."""
        tensors, state = self.source.capture()
        state["optimizers"] = {}
        for name, network in self._sampler.networks.items():
            tensors |= prefixed(f"network/{name}", network.state_dict())
        for name, optimizer in self._sampler.optimizers.items():
            moments, state["optimizers"][name] = capture_optimizer(optimizer)
            tensors |= prefixed(f"optimizer/{name}", moments)
        return tensors, state

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state."""
        self.source.restore(tensors, state)
        for name, network in self._sampler.networks.items():
            network.load_state_dict(without(f"network/{name}", tensors))
        for name, optimizer in self._sampler.optimizers.items():
            moments = without(f"optimizer/{name}", tensors)
            restore_optimizer(name, optimizer, moments, state["optimizers"][name])


class MixedMethod(FineTune):
    """Fine-tune in the target with samples of the source in each minibatch."""

    algorithms: ClassVar[tuple[str, ...]] = ("sac", "td3")
    fits_other_tasks: ClassVar[bool] = False  # it learns in the worlds of both at once

    source_ratio: Annotated[int, Field(ge=1, le=1_000)] = 10
    """Control steps of the source for each of the target; they are free and counted."""
    prefill: Annotated[int, Field(ge=0)] = 10_000
    """Control steps of the source before the first of the target."""
    target_share: Fraction = 0.5
    """Part of each minibatch that is from the target."""

    @field_validator("source_worlds")
    @classmethod
    def _has_its_own(cls, worlds: int) -> int:
        if worlds:
            raise ValueError(f"{cls.name} has source_ratio for that; allowed: 0")
        return worlds

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """That of fine-tuning; UserError if it shows privileged columns."""
        recipe = super().target_recipe(source, budget)
        if recipe.needs_privileged:
            raise UserError(
                f"method {self.name!r}: privileged columns tell the source from the target; "
                "allowed: privileged=false, privileged_actor=false"
            )
        return recipe

    def sampler(self, algorithm: OffPolicyAlgorithm, budget: Budget) -> SourceSampler:
        """How the samples of the source are drawn."""
        return SourceSampler()

    def learned(self, source: Run, target: Target, work: Work, budget: Budget) -> BasePolicy:
        """Train in the target and in the source; the checkpoints are the run's."""
        if target.is_target(source.domain):
            raise UserError(
                f"method {self.name!r} learns from two domains, and the source's is the target's; "
                "allowed: a target that differs, or method 'fine_tune'"
            )
        env = target.env(work.recipe.num_envs)
        beside = work.env(source.domain, self.source_ratio * work.recipe.num_envs)
        prepared = self.prepare(source, work.recipe, env, budget, work.seed)
        mixing = self.mix(prepared.algorithm, beside, work.recipe, budget)
        callbacks = (*prepared.callbacks, mixing)
        return work.learn(prepared.algorithm, prepared.rows, callbacks, budget)

    def mix(
        self, algorithm: BaseAlgorithm, env: VecEnv, recipe: AnyRecipe, budget: Budget
    ) -> Mixing:
        """Let the algorithm learn from `env`, worlds of the source, as well."""
        assert isinstance(algorithm, OffPolicyAlgorithm)
        return Mixing(
            algorithm,
            with_reward_of(recipe, env),
            self.sampler(algorithm, budget),
            target_share=self.target_share,
            prefill=self.prefill,
        )
