"""The training loop around any SB3 algorithm: progress, curves, checkpoints, Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sim2real import files
from sim2real.errors import UserError
from sim2real.learning.callbacks import (
    Checkpoints,
    EqualRollouts,
    Interrupt,
    Interrupted,
    NormalizerUpdate,
    Soundness,
    Stateful,
)
from sim2real.learning.faults import FaultRecorder
from sim2real.learning.front_page import write_front_page
from sim2real.learning.progress import Progress
from sim2real.learning.sensitivity import EVERY, ReturnAgainstContext
from sim2real.learning.tensorboard import TensorBoard, make_logger, write_hyperparameters
from sim2real.learning.worst_share import selecting
from sim2real.policies.recipe import MAX_UNSTABLE
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.retention import keep_last
from sim2real.simulation.soundness import NotFiniteError
from sim2real.torch_settings import one_thread

__all__ = ["Interrupted", "learn"]


def learn(
    algorithm: BaseAlgorithm,
    run_path: Path | str,
    steps: int,
    *,
    callbacks: Sequence[BaseCallback] = (),
    checkpoint_every: int | None = None,
    progress: bool = True,
    title: str = "",
    hyperparameters: Mapping[str, Any] | None = None,
    max_unstable: float = MAX_UNSTABLE,
    pause: int | None = None,
    keep_checkpoints: int | None = None,
) -> None:
    """Train until `algorithm.num_timesteps` is `steps`, writing into the run folder.

    Continues from `algorithm.num_timesteps`: to resume, restore the last checkpoint into the
    algorithm and call this again with the same `steps`. Never more than `steps` are made; a rest
    smaller than the number of worlds is left over. Checkpoints are written at the start, every
    `checkpoint_every` steps (by default ten times in all) and at the end, between two rollouts.
    With `keep_checkpoints` only the last so many and the best of the curve are kept.

    `callbacks` are SB3 callbacks; those with `state()` and `restore(state)` are saved and restored
    with the checkpoints. A callback may reach the event writer as `algorithm.logger`.
    The first Ctrl-C finishes the rollout and its update, saves and raises Interrupted; the second
    stops at once. At the first boundary of rollouts at or after `pause` control steps it saves
    and raises Paused. Where a checkpoint in between or an event of TensorBoard cannot be written, a
    warning says so and the training goes on. Raises UserError when another file cannot be written,
    when a loss or a number of the networks is not finite, and when more than the share
    `max_unstable` of the last 200 episodes became unstable; the last checkpoint is intact then.
    A number of a world that is not finite is saved for `faults.replay`.
    """
    run = Path(run_path)
    steps -= steps % algorithm.n_envs
    start = algorithm.num_timesteps
    if keep_checkpoints is not None:
        keep_last(run, keep_checkpoints)  # a process may have been killed before it did
    if start >= steps:
        return
    with checkpoints.refused_if_unwritten(run):
        logger, writer = make_logger(run, start)
    algorithm.set_logger(logger)
    if start == 0 and hyperparameters:
        write_hyperparameters(writer, hyperparameters)
        write_front_page(writer, run)
    board = TensorBoard()
    board.model = algorithm  # its logger, before SB3 starts the callbacks
    against = ReturnAgainstContext(max(EVERY, steps // 10), title or run.name)
    sound = Soundness(max_unstable)
    worst = selecting(algorithm)
    stateful = [*callbacks, *worst, board, against, sound]
    _restore_callbacks(run, start, stateful)
    shown = [Progress(steps, title or run.name)] if progress else []
    interrupt = Interrupt(pause)
    every = checkpoint_every or max(steps // 10, 1)
    saving = Checkpoints(run, every, interrupt, stateful, keep_checkpoints)
    watching = [*callbacks, *worst, board, against, *shown, saving]
    recorder = FaultRecorder()
    order = [recorder, NormalizerUpdate(), sound, EqualRollouts(steps), *watching]
    try:
        with checkpoints.refused_if_unwritten(run), one_thread(), _interruptible(interrupt):
            algorithm.learn(
                steps - start, callback=order, log_interval=sys.maxsize, reset_num_timesteps=False
            )
    except NotFiniteError as error:
        sound.check_networks()
        raise recorder.saved(run, error) from None
    except ValueError:  # what torch's distributions raise for NaN
        sound.check_networks()
        raise
    finally:
        for bar in shown:
            bar.close()
        logger.close()


def _restore_callbacks(run: Path, step: int, callbacks: Sequence[BaseCallback]) -> None:
    """Give the callbacks the state that the checkpoint of `step` has for them."""
    path = run / "checkpoints" / f"{step:09d}" / checkpoints.STATE
    if not path.is_file():
        return
    with checkpoints.refused_if_damaged(checkpoints.training_state_at(step)):
        saved = files.read_json(path).get("callbacks", {})
        for callback in callbacks:
            if isinstance(callback, Stateful) and type(callback).__name__ in saved:
                callback.restore(saved[type(callback).__name__])


@contextlib.contextmanager
def _interruptible(interrupt: Interrupt) -> Iterator[None]:
    """Make the first SIGINT a request and the second the usual KeyboardInterrupt."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True
        print("finishing the rollout to save it; Ctrl-C again stops at once", file=sys.stderr)

    signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def report_rounding(what: str, steps: int, num_envs: int) -> None:
    """Print on standard error how many of `steps` are left over, as all worlds step together."""
    if rest := steps % num_envs:
        made = f"{steps - rest:,} are made, a multiple of the {num_envs} worlds"
        print(f"{what}: of {steps:,} {made}", file=sys.stderr)


def whole(steps: int, num_envs: int) -> int:
    """Check a number of steps; UserError unless it covers one step of every world."""
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < num_envs:
        raise UserError(
            f"steps is {steps!r}; allowed: a whole number, at least one step of the "
            f"{num_envs} worlds"
        )
    return steps
