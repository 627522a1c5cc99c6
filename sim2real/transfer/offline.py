"""Target data that is there before the training: the transitions of a log of the target.

    each update:  a minibatch with the part `target_share` from the log, the rest from the source

(Niu et al. 2022, "When to trust your simulator: dynamics-aware hybrid offline-and-online
reinforcement learning", H2O, arXiv:2206.13464: with importance weights on the samples of the
source, and their penalty of values, `transfer.value_penalty`.) The learner acts in the source
alone, whose steps are free; the target is not stepped any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.identification.log import Log
from sim2real.identification.record import REWARD
from sim2real.policies.allocation import memory_for
from sim2real.task import Array, BoolArray, ObservationTerm
from sim2real.transfer.mixing import MixedReplay, Mixes, SourceSampler, empty_replay

EXACT = 1e-6
"""Largest error of a command that an affine function of the action predicts."""


@dataclass(frozen=True)
class Transitions:
    """What was observed, done and rewarded, and what was observed then.

    Shapes: observations and next_observations (n, k), actions (n, nu), rewards and dones (n,).
    """

    observations: Array
    actions: Array
    rewards: Array
    next_observations: Array
    dones: BoolArray

    def __len__(self) -> int:
        return len(self.rewards)


def transitions_of(
    log: Log, terms: Sequence[ObservationTerm], commands: tuple[Array, Array]
) -> Transitions:
    """The transitions in a log, of a policy that observes `terms`.

    `commands` are the offset and the scale of a command as a function of the action, each (nu,).
    Raises UserError for a log without rewards, or with other observations.
    """
    if REWARD not in log.extras:
        raise UserError(
            f"the log has no rewards to learn from; allowed: one with the extra {REWARD!r}"
        )
    sizes = {name: rows.shape[1] for name, rows in log.observations.items()}
    wanted = {term.name: term.size for term in terms}
    if sizes != wanted:
        raise UserError(
            f"the log has the observations {sizes}, the policy observes {wanted}; allowed: a log "
            "of the same terms, and a policy of the present alone"
        )
    seen = np.concatenate([log.observations[term.name] for term in terms], axis=1)
    offset, scale = commands
    actions = np.clip((log.commands - offset) / scale, -1.0, 1.0)
    assert log.terminated is not None
    last = np.array([rows.stop - 1 for rows in log.episodes])
    before = np.delete(np.arange(len(log)), last)
    dones = np.zeros(len(log), bool)
    dones[last - 1] = log.terminated
    return Transitions(
        seen[before],
        actions[before],
        log.extras[REWARD][before, 0],
        seen[before + 1],
        dones[before],
    )


def commands_of(env: VecEnv) -> tuple[Array, Array]:
    """The offset and the scale of the commands of `env`, worlds of a simulation, by the action.

    Raises UserError for a task whose commands are no such function of the action alone.
    """
    size = env.action_space.shape[0]  # type: ignore[index]

    def commanded(action: Array) -> Array:
        env.reset()
        env.step(np.tile(action, (env.num_envs, 1)).astype(np.float32))
        found: Array = np.array(env.get_attr("commanded")[0][0], float)
        return found

    low, high = (commanded(np.full(size, end)) for end in (-1.0, 1.0))
    offset, scale = (high + low) / 2, (high - low) / 2
    tried = np.linspace(-0.7, 0.6, size)
    error = np.abs(commanded(tried) - offset - scale * tried)
    if not (scale.all() and (error <= EXACT * np.abs(scale)).all()):
        raise UserError(
            "the actions of the log cannot be told from its commands, which are no affine function "
            "of the action in this task; allowed: offline=false"
        )
    return offset, scale


class OwnSamples:
    """The samples of a mixed replay buffer's own worlds alone."""

    def __init__(self, replay: ReplayBuffer) -> None:
        self._replay = replay

    def sample(self, size: int) -> ReplayBufferSamples:
        """So many transitions."""
        return ReplayBuffer.sample(self._replay, size)


class OfflineReplay(MixedReplay):
    """The replay buffer of the source's worlds, whose minibatches have samples of the log too."""

    target: ReplayBuffer

    def of_target(self, count: int) -> ReplayBufferSamples:
        """So many samples of the log."""
        return self.target.sample(count)


class OfflineMixing(Mixes):
    """Lets an algorithm in the source learn from recorded `transitions` of the target as well."""

    def __init__(
        self,
        algorithm: OffPolicyAlgorithm,
        transitions: Transitions,
        sampler: SourceSampler,
        target_share: float,
    ) -> None:
        with memory_for("the replay buffers"):
            replay = empty_replay(OfflineReplay, algorithm, algorithm.n_envs)
            replay.target = _filled(algorithm, transitions)
        super().__init__(algorithm, replay, OwnSamples(replay), sampler, target_share)


def _filled(algorithm: OffPolicyAlgorithm, given: Transitions) -> ReplayBuffer:
    """A replay buffer that is full of the transitions."""
    replay = ReplayBuffer(
        len(given), algorithm.observation_space, algorithm.action_space, algorithm.device
    )
    for name, rows in vars(given).items():
        column = getattr(replay, name)
        column[:, 0] = rows
    replay.full = True
    return replay
