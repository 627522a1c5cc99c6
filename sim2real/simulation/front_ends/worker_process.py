"""The main process's side of one worker: a spawned process, its connection, and its end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from typing import Any

from sim2real.errors import UserError
from sim2real.simulation.actions import Choice
from sim2real.simulation.front_ends.foreign import ForeignEnv
from sim2real.simulation.front_ends.worker import serve

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerProcess:
    """One process and the environments it has."""

    def __init__(
        self,
        env: ForeignEnv,
        domain: Mapping[str, Any],
        indices: Sequence[int],
        num_envs: int,
        actions: Choice = "own",
    ) -> None:
        context = multiprocessing.get_context("spawn")  # never forked: threads do not survive it
        self.indices = indices
        self.connection, theirs = context.Pipe()
        self.process = context.Process(
            target=serve, args=(theirs, env, domain, indices, num_envs, actions), daemon=True
        )
        try:
            with _fit_for_a_worker():
                self.process.start()
        except (AttributeError, TypeError) as error:
            self.connection.close()
            raise UserError(f"{env.name} cannot be sent to a worker: {error}") from None
        finally:
            theirs.close()

    def answer(self, seconds: float) -> Any:
        """The next answer; TimeoutError, or EOFError where the process has died."""
        if not wait([self.connection], seconds):
            self.process.kill()
            raise TimeoutError
        try:
            return self.connection.recv()
        except ConnectionResetError:
            raise EOFError from None

    def death(self) -> str:
        """How the process has ended, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def close(self, deadline: float) -> None:
        """End the process: by closing its connection, after `deadline` (monotonic) by force."""
        self.connection.close()
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()


@contextlib.contextmanager
def _fit_for_a_worker() -> Iterator[None]:
    """Let processes that are started meanwhile have one thread and ignore Ctrl-C."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
