"""The replay buffers, samplers and callbacks with which an algorithm learns from two domains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from sim2real.policies.adam import Adam
from sim2real.policies.allocation import memory_for
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

Replay = TypeVar("Replay", bound=ReplayBuffer)


class Samples(Protocol):
    """What transitions can be drawn from."""

    def sample(self, batch_size: int) -> ReplayBufferSamples:
        """So many of them."""


class SourceSampler:
    """Draws what is learned from the source: all of it alike, as it is.

    `networks` and `optimizers`, by name, are saved in the checkpoints.
    """

    def __init__(self) -> None:
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def sample(self, source: Samples, size: int) -> ReplayBufferSamples:
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

    source: Samples
    sampler: SourceSampler
    target_share: float
    latest: list[ReplayBufferSamples]
    """The parts of the latest minibatch: of the target, and of the source."""

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """A minibatch, first what is from the target."""
        count = round(self.target_share * batch_size)
        parts = [self.of_target(count)] if count else []
        if count < batch_size:
            parts.append(self.sampler.sample(self.source, batch_size - count))
        self.latest = parts
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


class Mixes(BaseCallback):
    """Lets an algorithm learn from a mixed `replay`, and the sampler from samples of both domains.

    It is the companion of the algorithm, so that its state is in the checkpoints.
    """

    def __init__(
        self,
        algorithm: OffPolicyAlgorithm,
        replay: MixedReplay,
        source: Samples,
        sampler: SourceSampler,
        target_share: float,
    ) -> None:
        super().__init__()
        replay.source, replay.sampler, replay.target_share = source, sampler, target_share
        self.replay, self._sampler = replay, sampler
        algorithm.replay_buffer = replay
        algorithm.companion = self  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        algorithm: Any = self.model
        size, learns = algorithm.batch_size // 2, bool(self._sampler.networks)
        for _ in range(algorithm.gradient_steps if learns else 0):
            samples = self.replay.source.sample(size), self.replay.of_target(size)
            for name, value in self._sampler.learn(*samples).items():
                self.logger.record(f"train/{name}", value)

    def capture(self) -> tuple[Tensors, State]:
        """The state of the sampler's networks."""
        tensors, state = Tensors(), State(optimizers={})
        for name, network in self._sampler.networks.items():
            tensors |= prefixed(f"network/{name}", network.state_dict())
        for name, optimizer in self._sampler.optimizers.items():
            moments, state["optimizers"][name] = capture_optimizer(optimizer)
            tensors |= prefixed(f"optimizer/{name}", moments)
        return tensors, state

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state."""
        for name, network in self._sampler.networks.items():
            network.load_state_dict(without(f"network/{name}", tensors))
        for name, optimizer in self._sampler.optimizers.items():
            moments = without(f"optimizer/{name}", tensors)
            restore_optimizer(name, optimizer, moments, state["optimizers"][name])


class Mixing(Mixes):
    """Steps the worlds of the source beside those of the target, and lets the sampler learn.

    `prefill` control steps of the source are made before the first of the target.
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
        with memory_for("the replay buffers"):
            self.source = SourceWorlds(env, algorithm)
            replay = empty_replay(MixedReplay, algorithm, algorithm.n_envs)
        super().__init__(algorithm, replay, self.source.replay, sampler, target_share)
        self._prefill = prefill

    def _on_training_start(self) -> None:
        while self.source.steps < self._prefill:
            self.source.step()

    def _on_step(self) -> bool:
        self.source.step()
        return True

    def _on_rollout_end(self) -> None:
        super()._on_rollout_end()
        self.logger.record("source/steps", self.source.steps)

    def capture(self) -> tuple[Tensors, State]:
        """The state of the source's worlds and buffer, and of the sampler's networks."""
        tensors, state = super().capture()
        worlds, counts = self.source.capture()
        return worlds | tensors, counts | state

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state."""
        self.source.restore(tensors, state)
        super().restore(tensors, state)
