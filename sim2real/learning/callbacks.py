"""Callbacks at the boundaries of rollouts: statistics, lengths, checkpoints, checks.

stable-baselines3 calls `on_rollout_start` when the update of the last rollout is done and no step
of the next is made: the moment when a training can be saved and continued exactly.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import TrainFreq
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.policies.normalizer import update_normalizers
from sim2real.runs.checkpoint import NotSavedError, write_checkpoint
from sim2real.runs.checkpoint import steps as saved_steps
from sim2real.runs.retention import keep_last
from sim2real.runs.state import capture, layers
from sim2real.simulation import Simulation


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: the rollout was finished and saved; the run can be resumed."""


class Paused(Interrupted):
    """The training is at its `pause` and saved; it can be resumed as after Ctrl-C."""


class Interrupt:
    """Whether to stop: the user has asked to, or the training is at its `pause`, in steps."""

    def __init__(self, pause: int | None = None) -> None:
        self.requested = False
        self._pause = pause

    def due(self, step: int) -> bool:
        """Whether a training that has made `step` control steps stops here."""
        return self.requested or (self._pause is not None and step >= self._pause)


@runtime_checkable
class Stateful(Protocol):
    """A callback whose own state belongs into the checkpoint, as JSON."""

    def state(self) -> dict[str, Any]:
        """Its state between two rollouts, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""


class AtRollouts(BaseCallback):
    """A callback that acts at the boundaries of rollouts alone, and not at each step."""

    def _on_step(self) -> bool:
        return True


class NormalizerUpdate(BaseCallback):
    """Add what a rollout observed to the policy's statistics once its update is over."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: list[NDArray[Any]] = []

    def _on_step(self) -> bool:
        self._seen.append(np.array(self.locals["new_obs"]))
        return True

    def _on_rollout_start(self) -> None:
        if self._seen:
            observations = torch.as_tensor(np.concatenate(self._seen)).flatten(start_dim=1)
            update_normalizers(self.model.policy, observations)
            self._seen.clear()

    def _on_training_end(self) -> None:
        self._on_rollout_start()


def rollout_length(remaining: int, longest: int) -> int:
    """The length of the next rollout, so that rollouts of about equal length end exactly in time.

    With `remaining` steps of each world and rollouts of at most `longest`, the lengths differ by
    one at most, instead of a last rollout too short to learn from. It depends on `remaining`
    alone, so that a resumed run cuts its rollouts like one never interrupted.

    >>> rollout_length(300, 128), rollout_length(200, 128), rollout_length(100, 128)
    (100, 100, 100)
    """
    return math.ceil(remaining / math.ceil(remaining / longest))


class EqualRollouts(AtRollouts):
    """Cut the rollouts so that the training ends at `steps` exactly.

    `steps` must be a multiple of the number of worlds, counted like `num_timesteps`.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps
        self._longest = 0

    def _init_callback(self) -> None:
        algorithm = cast(Any, self.model)
        on_policy = isinstance(algorithm, OnPolicyAlgorithm)
        self._longest = algorithm.n_steps if on_policy else algorithm.train_freq.frequency
        self._cut()

    def _on_rollout_start(self) -> None:
        self._fit_buffer()

    def _on_rollout_end(self) -> None:
        self._cut()

    def _on_training_end(self) -> None:
        self._set(self._longest)
        self._fit_buffer()

    def _cut(self) -> None:
        remaining = (self._steps - self.model.num_timesteps) // self.model.n_envs
        if remaining > 0:
            self._set(rollout_length(remaining, self._longest))

    def _set(self, length: int) -> None:
        algorithm = cast(Any, self.model)
        if isinstance(algorithm, OnPolicyAlgorithm):
            algorithm.n_steps = length
        else:
            algorithm.train_freq = TrainFreq(length, algorithm.train_freq.unit)

    def _fit_buffer(self) -> None:
        """Set the size of PPO's buffer for the next rollout; before, the update still reads it."""
        algorithm = cast(Any, self.model)
        if isinstance(algorithm, OnPolicyAlgorithm):
            buffer = algorithm.rollout_buffer
            if buffer.buffer_size != algorithm.n_steps:
                buffer.buffer_size = algorithm.n_steps
                buffer.reset()


class Difficulty(BaseCallback):
    """Raise `difficulty` of a `simulation` from `start` to 1, for tasks that make use of it.

    It rises linearly over `steps` control steps; or by `by` whenever, of the `window` episodes
    since the last rise, at least the share `success` succeeded (is_success; not failed, where a
    task does not define it). It must be made before the training starts, as it restarts the first
    episodes of a new simulation. TensorBoard: worlds/curriculum/difficulty.
    """

    def __init__(
        self,
        simulation: Simulation,
        steps: int | None = None,
        success: float | None = None,
        start: float = 0.0,
        by: float = 0.05,
        window: int = 100,
    ) -> None:
        super().__init__()
        if (steps is None) == (success is None):
            raise UserError("difficulty is raised over `steps` or by `success`: give one of them")
        limits = {"start": (start, 0.0, 1.0), "by": (by, 1e-6, 1.0)}
        limits |= {} if success is None else {"success": (success, 0.0, 1.0)}
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UserError(f"difficulty: {name} is {value}; allowed: {low:g} to {high:g}")
        for name, count in {"steps": 1 if steps is None else steps, "window": window}.items():
            if count < 1:
                raise UserError(f"difficulty: {name} is {count}; allowed: from 1")
        self._steps, self._success = steps, success
        self._start, self._by, self._window = start, by, window
        self._recent: list[bool] = []
        self._simulation = simulation
        simulation.difficulty = start
        first = np.arange(simulation.num_envs)
        if not simulation.steps.any() and np.array_equal(simulation.episode_indices, first):
            simulation.reset(episodes=first)

    def state(self) -> dict[str, Any]:
        """The difficulty, and the episodes since it was last raised."""
        return {"difficulty": self._simulation.difficulty, "recent": list(self._recent)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._simulation.difficulty = float(state["difficulty"])
        self._recent = [bool(one) for one in state["recent"]]

    def _on_step(self) -> bool:
        for world in np.flatnonzero(self.locals["dones"]):
            info = self.locals["infos"][world]
            self._recent.append(bool(info.get("is_success", not info.get("failed", False))))
        return True

    def _on_rollout_start(self) -> None:
        self._simulation.difficulty = self._raised(self._simulation.difficulty)
        self.logger.record("worlds/curriculum/difficulty", self._simulation.difficulty)

    def _raised(self, difficulty: float) -> float:
        if self._steps is not None:
            part = min(self.model.num_timesteps / self._steps, 1.0)
            return self._start + (1.0 - self._start) * part
        if len(self._recent) < self._window:
            return difficulty
        good = float(np.mean(self._recent)) >= (self._success or 0.0)
        self._recent.clear()
        return min(difficulty + self._by, 1.0) if good else difficulty


class Checkpoints(AtRollouts):
    """Save at the first step, every `every` steps, on Ctrl-C and at the end.

    Must be the last callback, so that it saves the state after all others; `stateful` are those
    whose state it saves. With `keep`, only the last so many checkpoints and the best are kept.
    Where a checkpoint cannot be written, a warning says so and the training goes on, unless it is
    the first or the last one, or that of Ctrl-C.
    """

    def __init__(
        self,
        run: Path,
        every: int,
        interrupt: Interrupt,
        stateful: Sequence[BaseCallback] = (),
        keep: int | None = None,
    ) -> None:
        super().__init__()
        self._run = run
        self._every, self._keep = every, keep
        self._interrupt = interrupt
        self._stateful = [one for one in stateful if isinstance(one, Stateful)]
        self._tried: int | None = None

    def _on_training_start(self) -> None:
        started = self.model.num_timesteps
        self._tried = started if started in saved_steps(self._run) else None

    def _on_rollout_start(self) -> None:
        now = self.model.num_timesteps
        if self._tried is None or self._interrupt.due(now):
            self._write(now)
        elif now // self._every > self._tried // self._every:
            self._try_to_write(now)

    def _on_training_end(self) -> None:
        self._write(self.model.num_timesteps)

    def _try_to_write(self, step: int) -> None:
        try:
            self._write(step)
        except NotSavedError as error:
            warnings.warn(f"{error}; the training goes on without this checkpoint", stacklevel=2)

    def _write(self, step: int) -> None:
        self._tried = step
        if step not in saved_steps(self._run):
            self._save(step)
        if self._interrupt.due(step):
            stopped = Interrupted if self._interrupt.requested else Paused
            raise stopped(f"stopped at step {step}; resume with: sim2real resume {self._run}")

    def _save(self, step: int) -> None:
        training, state = capture(self.model)
        state["callbacks"] = {type(one).__name__: one.state() for one in self._stateful}
        write_checkpoint(self._run, step, self.model.policy.state_dict(), training, state)
        if self._keep is not None:
            keep_last(self._run, self._keep)


class Soundness(BaseCallback):
    """Raises UserError for faults that make a training useless.

    These are a loss that is not finite after an update, a weight that is not finite (checked every
    1,000 control steps), and more than the share `max_unstable` of the last 200 episodes (of at
    least 50) unstable.
    """

    WINDOW, FEWEST, EVERY = 200, 50, 1_000

    def __init__(self, max_unstable: float) -> None:
        super().__init__()
        self._most = max_unstable
        self._unstable: deque[bool] = deque(maxlen=self.WINDOW)
        self._checked = -self.EVERY

    def state(self) -> dict[str, Any]:
        """The episodes counted so far, as JSON."""
        return {"unstable": list(self._unstable)}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self._unstable.extend(state["unstable"])

    def _on_step(self) -> bool:
        ended = [info for info in self.locals["infos"] if "episode" in info]
        self._unstable.extend(bool(info.get("unstable", False)) for info in ended)
        count, broken = len(self._unstable), sum(self._unstable)
        if ended and count >= self.FEWEST and broken > self._most * count:
            raise UserError(
                f"{broken} of the last {count} episodes became unstable at step "
                f"{self.num_timesteps:,}; allowed: a share of {self._most:g} (max_unstable); "
                "`sim2real audit` shows what breaks the physics"
            )
        return True

    def _on_rollout_start(self) -> None:
        self._check_losses()
        if self.num_timesteps - self._checked >= self.EVERY:
            self._checked = self.num_timesteps
            self.check_networks()

    def _on_training_end(self) -> None:
        self._check_losses()
        self.check_networks()

    def _check_losses(self) -> None:
        for name, value in self.logger.name_to_value.items():
            if name.startswith("train/") and name.endswith("loss") and not math.isfinite(value):
                raise UserError(f"{name} is {value} {self._where}")

    def check_networks(self) -> None:
        """UserError for the first number of the networks that is not finite."""
        for name, tensor in self.model.policy.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise UserError(f"the network's {name} is not finite {self._where}")

    @property
    def _where(self) -> str:
        advice = "a smaller learning_rate or reward_scale may help"
        return f"after the update at step {self.num_timesteps:,}; {advice}"


def simulation_behind(env: VecEnv, what: str) -> Simulation:
    """The simulation that `env` steps, wrapped or not; UserError where `what` finds none."""
    for layer in layers(env):
        simulation = vars(layer).get("simulation")
        if isinstance(simulation, Simulation):
            return simulation
    raise UserError(f"{what} needs an environment of make_vec_env, got {env}")
