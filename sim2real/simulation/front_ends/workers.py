"""Foreign environments in worker processes, as an SB3 VecEnv.

SB3's SubprocVecEnv and Gymnasium's AsyncVectorEnv run the same environments, but neither names
the environment, seed and episode that failed (the first ends in a bare EOFError), and the first
waits for a hung worker for ever; both take a process for each environment, and pickled functions.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import Wrapper
from gymnasium.spaces import Dict
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from sim2real.config import LAST_SIMULATION_SEED, MOST_THREADS, MOST_WORLDS
from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.simulation.actions import Choice
from sim2real.simulation.episode import Episode
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.front_ends.foreign import ForeignEnv
from sim2real.simulation.front_ends.reset_options import checked_seed, options_of_worlds
from sim2real.simulation.front_ends.worker_process import WorkerProcess
from sim2real.simulation.worlds import default_threads

TIMEOUT_S = 120.0
"""The default time limit of one step, and of making an environment."""

_LAST_SECONDS, _AFTER_FAILURE = 5.0, 1.0  # that workers have for closing their environments


class WorkerError(RuntimeError):
    """An environment in a worker failed: its index, seed and episode, and the worker's traceback.

    `traceback` is "" where the worker died or did not answer.
    """

    def __init__(
        self, name: str, index: int, seed: int, episode: int, problem: str, traceback: str = ""
    ) -> None:
        self.env_index, self.seed, self.episode = index, seed, episode
        self.traceback = traceback
        where = f"environment {index} of {name} (seed {seed}, episode {episode})"
        details = f"\n\nIn the worker:\n{traceback.rstrip()}" if traceback else ""
        super().__init__(f"{where}: {problem}{details}")


class WorkerVecEnv(VecEnv):
    """`num_envs` environments of a kind in `domain`, spread over spawned worker processes.

    Episodes are numbered as by Simulation: the k-th of environment i is number i + k * num_envs,
    and what it is depends on `seed` and that number alone, not on the number of `workers` (0: one a
    processor). The infos are those of SimVecEnv. `timeout_s` is the longest that one environment
    may take for a step. `actions` are given in the environment's "own" range or "normalized" to
    [-1, 1]; imperfections act on them in its own.
    Raises WorkerError where an environment or its worker fails, UserError for what a user got
    wrong; after either, and after Ctrl-C, the workers are ended.

    A script that makes one needs the guard `if __name__ == "__main__":`, as with every spawned
    process.
    """

    def __init__(
        self,
        env: ForeignEnv,
        domain: Domain,
        num_envs: int,
        seed: int = 0,
        workers: int = 0,
        timeout_s: float = TIMEOUT_S,
        actions: Choice = "own",
    ) -> None:
        whole_number("num_envs", num_envs, 1, MOST_WORLDS)
        whole_number("threads", workers, 0, MOST_THREADS)
        whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
        self.name, self.domain = env.name, domain
        self._seed, self._timeout = int(seed), max(timeout_s, TIMEOUT_S)
        self._episodes = np.arange(num_envs) - num_envs
        self._next_seed: int | None = self._seed
        self._ended: tuple[Episode, ...] = ()
        count = min(workers or default_threads() or len(os.sched_getaffinity(0)), num_envs)
        chunks = [chunk.tolist() for chunk in np.array_split(np.arange(num_envs), count)]
        plain = {"name": domain.name, **domain.plain()}
        self._workers: list[WorkerProcess] = []
        self._hint = "; a script that starts workers needs a guard, if __name__ == '__main__'"
        with self._ended_on_failure():
            for chunk in chunks:
                self._workers.append(WorkerProcess(env, plain, chunk, num_envs, actions))
            spaces = self._answers(range(num_envs))
        self._timeout, self._hint = timeout_s, ""
        super().__init__(num_envs, *spaces[0])

    def episodes(self) -> tuple[Episode, ...]:
        """The episodes that ended in the last step."""
        return self._ended

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Begin with the first episodes of `seed` at the next reset; UserError if it is invalid."""
        return super().seed(checked_seed(seed))

    def reset(self) -> VecEnvObs:
        """Start the next episode of every environment, the first ones of a seed given to `seed`."""
        options = options_of_worlds(self._options, self.num_envs)
        seed = self._next_seed if self._seeds[0] is None else int(self._seeds[0])
        if seed is not None:
            self._seed = seed
            self._episodes = np.arange(self.num_envs) - self.num_envs
        self._episodes += self.num_envs
        answers = self._ask("reset", {i: (seed, options[i]) for i in range(self.num_envs)})
        self._next_seed = None
        self._reset_seeds()
        self._reset_options()
        self.reset_infos = [info for _, info in answers]
        return self._stacked([observation for observation, _ in answers])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Send each environment its action."""
        if len(actions) != self.num_envs:
            raise UserError(f"expected {self.num_envs} actions, got {len(actions)}")
        self._send("step", {index: (action,) for index, action in enumerate(actions)})

    def step_wait(self) -> VecEnvStepReturn:
        """One control step of every environment, with what ended reset."""
        with self._ended_on_failure():
            answers = self._answers(range(self.num_envs))
        observations, rewards, infos, episodes, reset_infos = zip(*answers, strict=True)
        self._ended = tuple(filter(None, episodes))
        for episode in self._ended:
            self.reset_infos[episode.world] = reset_infos[episode.world]
            self._episodes[episode.world] += self.num_envs
        dones = np.array([episode is not None for episode in episodes])
        return self._stacked(observations), np.array(rewards), dones, list(infos)

    def close(self) -> None:
        """End the workers; one that is busy has a few seconds to finish."""
        self._end(_LAST_SECONDS)

    def _end(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        workers, self._workers = self._workers, []
        for worker in workers:
            worker.connection.close()  # all of them first, so that they end at the same time
        for worker in workers:
            worker.close(deadline)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of each environment asked, or of one of its wrappers."""
        chosen = list(self._get_indices(indices))
        answers = self._ask("get", dict.fromkeys(chosen, (attr_name,)))
        if not all(answers):
            raise AttributeError(f"{self.name} has no attribute {attr_name!r}")
        return [value for (value,) in answers]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of each environment asked."""
        self._ask("set", dict.fromkeys(self._get_indices(indices), (attr_name, value)))

    def env_method(
        self,
        method_name: str,
        *method_args: Any,
        indices: VecEnvIndices = None,
        **method_kwargs: Any,
    ) -> list[Any]:
        """Call a method of each environment asked, or of one of its wrappers."""
        arguments = (method_name, method_args, method_kwargs)
        return self._ask("call", dict.fromkeys(self._get_indices(indices), arguments))

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for DomainWrapper and for SB3's Monitor, whose statistics the infos carry."""
        wrapped = wrapper_class in (Monitor, DomainWrapper)
        return [wrapped for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        """An image of every environment, where they are made with render_mode="rgb_array"."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return self.env_method("render")

    # -- requests and answers ----------------------------------------------------------------

    def _ask(self, method: str, parts: Mapping[int, tuple[Any, ...]]) -> list[Any]:
        """The answers to one request, in the order of `parts`."""
        self._send(method, parts)
        with self._ended_on_failure():
            return self._answers(parts)

    def _send(self, method: str, parts: Mapping[int, tuple[Any, ...]]) -> None:
        if not self._workers:
            raise RuntimeError(f"the workers of {self.name} have ended; make a new VecEnv")
        with self._ended_on_failure():
            for worker in self._workers:
                own = {index: parts[index] for index in worker.indices if index in parts}
                with contextlib.suppress(BrokenPipeError):  # reported where the answer is missing
                    if own:
                        worker.connection.send((method, own))

    def _answers(self, indices: Sequence[int] | Mapping[int, Any]) -> list[Any]:
        """The answers of the environments `indices`; raises for the first that failed."""
        answers = {}
        for worker in self._workers:
            for index in worker.indices:
                if index in indices:
                    answers[index] = self._answer(worker, index)
        return [answers[index] for index in indices]

    def _answer(self, worker: WorkerProcess, index: int) -> Any:
        try:
            status, value = worker.answer(self._timeout)
        except TimeoutError:
            problem = f"no answer within {self._timeout:g} s; its worker was killed"
            raise self._error(index, problem) from None
        except EOFError:
            raise self._error(index, f"its worker {worker.death()}{self._hint}") from None
        if status == "refused":
            raise UserError(f"environment {index} of {self.name}: {value}")
        if status == "failed":
            traceback, episode = value
            last = traceback.rstrip().rpartition("\n")[2]
            raise self._error(index, last, traceback, episode)
        return value

    def _error(
        self, index: int, problem: str, traceback: str = "", episode: int = -1
    ) -> WorkerError:
        started = max(episode, int(self._episodes[index]), index)
        return WorkerError(self.name, index, self._seed, started, problem, traceback)

    def _stacked(self, observations: Sequence[Any]) -> VecEnvObs:
        space = self.observation_space
        if isinstance(space, Dict):
            return {key: np.stack([one[key] for one in observations]) for key in space.spaces}
        return np.stack(observations)

    @contextlib.contextmanager
    def _ended_on_failure(self) -> Iterator[None]:
        """After anything that leaves answers unread, Ctrl-C among it, the workers are ended."""
        try:
            yield
        except BaseException:
            self._end(_AFTER_FAILURE)
            raise
