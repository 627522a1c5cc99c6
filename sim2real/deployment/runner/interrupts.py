"""What ends a run from outside: signals, a key, and a step that hangs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from sim2real.errors import UserError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class HangError(Exception):
    """A control step that was interrupted because it took too long."""


class Interrupts:
    """Why the run should end; "" as long as it should not."""

    def __init__(self) -> None:
        self.reason, self.hung = "", ""
        self._keyboard = -1

    def poll(self) -> str:
        """The reason, after a look at the keyboard."""
        if self._keyboard >= 0 and select.select([self._keyboard], [], [], 0)[0]:
            os.read(self._keyboard, 1024)
            self.reason = self.reason or "a key was pressed"
        return self.reason

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self.hung:
            raise HangError(self.hung)
        if self.reason:
            raise KeyboardInterrupt
        self.reason = f"signal {signal.Signals(number).name}"

    @contextlib.contextmanager
    def listening(self) -> Iterator[Interrupts]:
        """Take signals, and single keys where standard input is a terminal.

        A second signal raises KeyboardInterrupt.
        """
        main = threading.current_thread() is threading.main_thread()
        before = {one: signal.signal(one, self._on_signal) for one in SIGNALS} if main else {}
        try:
            with self._keys():
                yield self
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    @contextlib.contextmanager
    def _keys(self) -> Iterator[None]:
        if not sys.stdin or sys.stdin.closed or not sys.stdin.isatty():
            yield
            return
        import termios
        import tty

        self._keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(self._keyboard)
        tty.setcbreak(self._keyboard)
        try:
            yield
        finally:
            termios.tcsetattr(self._keyboard, termios.TCSADRAIN, before)
            self._keyboard = -1


class Watchdog:
    """Calls `stop` in a thread of its own when no step has ended for `limit_s`.

    It then interrupts the step, where that waits for the operating system.
    """

    def __init__(self, limit_s: float, stop: Callable[[], None], interrupts: Interrupts) -> None:
        self._limit_s, self._stop, self._interrupts = limit_s, stop, interrupts
        self._beat, self._ended = threading.Event(), threading.Event()
        self._owner = threading.get_ident()

    def beat(self) -> None:
        """A step has ended."""
        self._beat.set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[Watchdog]:
        """Watch the steps of the block; without a limit, nothing."""
        if not self._limit_s:
            yield self
            return
        thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            self._beat.set()
            thread.join(timeout=1.0)

    def _watch(self) -> None:
        while self._beat.wait(self._limit_s):
            self._beat.clear()
            if self._ended.is_set():
                return
        self._interrupts.hung = f"a control step took longer than {self._limit_s:g} s"
        with contextlib.suppress(Exception):
            self._stop()
        if self._owner == threading.main_thread().ident:
            signal.pthread_kill(self._owner, signal.SIGINT)


def prefer(priority: int) -> None:
    """Run this process before all others (SCHED_FIFO); UserError where that is not allowed."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"priority {priority} cannot be set: {reason}; allowed: 1 to 99, by the system's limits"
        ) from None
