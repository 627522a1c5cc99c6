"""The worker's side of `WorkerVecEnv`: some environments, stepped as the main process asks.

A worker ends when its connection is closed, and when the main process is gone, however it went and
whatever the worker is doing. It leaves Ctrl-C to the main process.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from sim2real.errors import UserError
from sim2real.simulation.actions import Choice, chosen_map
from sim2real.simulation.episode import Episode
from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
from sim2real.simulation.front_ends.foreign import ForeignEnv

Answer = tuple[str, Any]
"""The answer of one environment to a request: "done" with the result, "refused" with the message
for the user, or "failed" with the traceback and the number of the episode (-1 for none)."""


class WorkerEnv:
    """Environment `index` of `num_envs`; its k-th episode is number index + k * num_envs."""

    def __init__(
        self,
        env: ForeignEnv,
        domain: Mapping[str, Any],
        index: int,
        num_envs: int,
        actions: Choice = "own",
    ) -> None:
        self.env = DomainWrapper(env.make(), domain)
        own: Any = self.env.action_space
        self._map = chosen_map(actions, own, own)
        self.action_space = own if self._map is None else self._map.space
        self._index, self._num_envs = index, num_envs
        self._seed: int | None = None
        self._started = time.time()
        self._total, self._length = 0.0, 0

    def reset(self, seed: int | None, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Start the next episode; with `seed` the first one of that seed."""
        following = self.env.episode + self._num_envs
        if seed is not None or self.env.episode < 0:
            following = self._index
        self._total, self._length = 0.0, 0
        return self.env.reset(seed=seed, options={"episode": following, **options})

    def step(
        self, action: Any
    ) -> tuple[Any, float, dict[str, Any], Episode | None, dict[str, Any] | None]:
        """One control step; what ended is reset, and then the last of it is the reset's info."""
        given = action if self._map is None else self._map(action)
        observation, reward, terminated, truncated, info = self.env.step(given)
        self._total += float(reward)
        self._length += 1
        if not (terminated or truncated):
            return observation, float(reward), info, None, None
        episode = Episode(
            index=self.env.episode,
            world=self._index,
            total=self._total,
            length=self._length,
            failed=bool(terminated) and not info["unstable"],
            truncated=bool(truncated and not terminated),
            unstable=info["unstable"],
            terms={},
            context=info["context"],
        )
        info |= episode.monitor_info(time.time() - self._started)
        info["terminal_observation"] = observation
        observation, reset_info = self.reset(None, {})
        return observation, float(reward), info, episode, reset_info

    def get(self, name: str) -> list[Any]:
        """An attribute of the environment or of one of its wrappers; empty where none has it."""
        return [self.env.get_wrapper_attr(name)] if self.env.has_wrapper_attr(name) else []

    def set(self, name: str, value: Any) -> None:
        """Set an attribute of the environment, on the wrapper that has it."""
        self.env.set_wrapper_attr(name, value)

    def call(self, name: str, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        """Call a method of the environment or of one of its wrappers."""
        return self.env.get_wrapper_attr(name)(*arguments, **keywords)


def serve(
    connection: Connection,
    env: ForeignEnv,
    domain: Mapping[str, Any],
    indices: Sequence[int],
    num_envs: int,
    actions: Choice,
) -> None:
    """Make the environments `indices`, then answer requests until the connection is closed.

    A request is (method of `WorkerEnv`, {index: arguments}). Each environment is answered for by
    itself, in the order of the indices, so that the main process knows for which one it waits.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    threading.Thread(target=_end_with_parent, daemon=True).start()
    envs: dict[int, WorkerEnv] = {}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the main process has ended
        for index in indices:
            answer = _answer(envs, index, _make, envs, env, domain, index, num_envs, actions)
            _send(connection, answer)
        for method, parts in _requests(connection):
            for index, arguments in parts.items():
                _send(connection, _answer(envs, index, getattr(envs[index], method), *arguments))
    for one in envs.values():
        one.env.close()


def _requests(connection: Connection) -> Iterator[tuple[str, dict[int, tuple[Any, ...]]]]:
    while True:
        try:
            yield connection.recv()
        except EOFError:
            return


def _make(
    envs: dict[int, WorkerEnv],
    env: ForeignEnv,
    domain: Mapping[str, Any],
    index: int,
    num_envs: int,
    actions: Choice,
) -> tuple[Any, Any]:
    """Make one environment; the answer is its spaces."""
    made = envs[index] = WorkerEnv(env, domain, index, num_envs, actions)
    return made.env.observation_space, made.action_space


def _answer(
    envs: Mapping[int, WorkerEnv], index: int, work: Callable[..., Any], *given: Any
) -> Answer:
    try:
        return "done", work(*given)
    except UserError as error:
        return "refused", str(error)
    except Exception:
        episode = envs[index].env.episode if index in envs else -1
        return "failed", (traceback.format_exc(), episode)


def _send(connection: Connection, answer: Answer) -> None:
    """Send an answer, or the error if it cannot be pickled: an info may hold anything."""
    try:
        connection.send(answer)
    except OSError:
        raise
    except Exception:
        connection.send(("failed", (traceback.format_exc(), -1)))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
