"""Run an exported policy on a robot: passive, stand up, soft start, policy, and back to passive."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from sim2real.deployment.names import POSITIONS, VELOCITIES
from sim2real.deployment.runner.clock import Clock, Pace, RealClock
from sim2real.deployment.runner.interface import Array, Interface, Reading
from sim2real.deployment.runner.interrupts import HangError, Interrupts, Watchdog
from sim2real.deployment.runner.limits import Servos, beyond, limited, not_finite, tilt
from sim2real.deployment.runner.log import Recorder
from sim2real.deployment.runner.policy import Answer, Controller, Inputs
from sim2real.deployment.runner.settings import Settings, settings_for
from sim2real.errors import UserError

CAPPED = 1e-6
"""Share of the range of a command from which a difference counts as capped: it is float32."""
RESTING = 5
"""Control steps in which `stop` is called at the end, at least: a link may lose some."""


LONGEST_S = 1e6


class State(IntEnum):
    """What the robot is doing; its number is in the log."""

    PASSIVE = 0
    STAND_UP = 1
    SOFT_START = 2
    POLICY = 3


@dataclass(frozen=True)
class Result:
    """How a run ended and what it sent.

    `reason` is why it ended; `fault`, whether that was a fault. `sent` (n, nu) are all commands
    that were sent; `capped` is how often the command of an actuator was, by name, of those that
    were; `timing` has the jitter and the steps that were late or missed.
    """

    reason: str
    fault: bool
    steps: Mapping[str, int]
    sent: Array = field(repr=False)
    capped: Mapping[str, int]
    timing: Mapping[str, Any]
    log: Path | None

    def plain(self) -> dict[str, Any]:
        """As plain JSON values, without the commands."""
        return {
            "reason": self.reason,
            "fault": self.fault,
            "steps": dict(self.steps),
            "commands": len(self.sent),
            "capped": dict(self.capped),
            "timing": dict(self.timing),
            "log": None if self.log is None else str(self.log),
        }


def run(
    folder: Path | str,
    robot: Interface,
    seconds: float | None = None,
    log: Path | str | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
    dry_run: bool = False,
    clock: Clock | None = None,
) -> Result:
    """Control a `robot` with the exported policy in `folder`; return what happened.

    The policy acts for `seconds`, or until a signal or a key ends the run. The rows go to the file
    `log`: .parquet, .csv or .mcap. A `dry_run` reads and logs, and sends nothing. Whatever happens,
    `stop` of the robot is called at the end, and the log is whole. Raises UserError for a folder
    that is no exported policy, settings that are not allowed, and a log that cannot be written.
    """
    controller = Controller(Path(folder))
    limit = (
        settings if isinstance(settings, Settings) else settings_for(controller.contract, settings)
    )
    check_seconds(seconds)
    recorder = None if log is None else Recorder(Path(log).expanduser(), controller)
    loop = _Loop(controller, robot, limit, clock or RealClock(), recorder, dry_run)
    reason, fault = loop.drive(seconds)
    if recorder is not None:
        recorder.finish()
    return Result(
        reason=reason,
        fault=fault,
        steps={state.name.lower(): loop.steps[state] for state in State},
        sent=np.array(loop.sent).reshape(-1, len(limit.low)),
        capped=dict(loop.capped),
        timing=loop.pace.measured(),
        log=None if recorder is None else recorder.path,
    )


def check_seconds(seconds: float | None) -> None:
    """UserError for another duration than up to `LONGEST_S`."""
    if seconds is not None and not 0 < seconds <= LONGEST_S:
        raise UserError(f"seconds is {seconds}; allowed: more than 0, at most {LONGEST_S:g}")


class _Fault(Exception):
    """Why the policy may not go on."""


class _Loop:
    """The control steps of one run."""

    def __init__(
        self,
        controller: Controller,
        robot: Interface,
        limit: Settings,
        clock: Clock,
        recorder: Recorder | None,
        dry_run: bool,
    ) -> None:
        self.controller, self.robot, self.limit = controller, robot, limit
        self.recorder, self.dry_run = recorder, dry_run
        self.dt = float(controller.contract["control_dt"])
        self.servos = Servos.of(controller.contract)
        self.names = controller.contract["action"]["names"]
        self.steps: Counter[State] = Counter()
        self.sent: list[Array] = []
        self.capped: Counter[str] = Counter()
        self.width = np.array(limit.high) - np.array(limit.low)
        self.begun = clock.now()
        self.stamp, self.fresh = -np.inf, self.begun
        self.pace = Pace(clock, self.dt)
        self.plan = {
            State.PASSIVE: max(round(limit.passive_s / self.dt), 1),
            State.STAND_UP: round(limit.stand_s / self.dt),
            State.SOFT_START: round(limit.soft_s / self.dt),
        }
        self.origin = self.last = np.zeros(len(limit.low))
        """The commands at which the robot is passive, and those of the control step before."""
        self.acting = False

    def drive(self, seconds: float | None) -> tuple[str, bool]:
        """Control steps until something ends them, then the passive state; why, and if a fault."""
        most = np.inf if seconds is None else round(seconds / self.dt)
        interrupts = Interrupts()
        watchdog = Watchdog(self.limit.watchdog_s, self._stop, interrupts)
        reason, fault = "", True
        with _without_pauses(), interrupts.listening():
            try:
                with watchdog.watching():
                    while not (reason := interrupts.poll()) and self.steps[State.POLICY] < most:
                        self._step()
                        watchdog.beat()
                fault = False
                reason = reason or f"the policy acted for {seconds:g} s"
            except KeyboardInterrupt:
                reason, fault = "interrupted", False
            except Exception as error:  # whatever it is, the robot must come to rest
                reason = _worded(error)
                if isinstance(error, _Tilted) and self.recorder is not None:
                    self.recorder.terminate()
            self._rest(reads=not interrupts.hung)
        return reason, fault

    def _step(self) -> None:
        """One control step: read, check, act, send, log."""
        now, late, missed = self.pace.next()
        state, share = self._state()
        reading = _named("read", self.robot.read)
        inputs = self._checked(reading, now, missed, state)
        position = self.servos.values(self.controller.joint(inputs, POSITIONS))
        if state == State.PASSIVE or self.dry_run:
            self.origin = self.last = self._present(position)
        answer = self._answer(inputs, state)
        asked = self._asked(state, share, answer)
        velocity = self.servos.values(self.controller.joint(inputs, VELOCITIES))
        sent = self._send(state, asked, position, velocity)
        self.steps[state] += 1
        work = self.pace.done(now)
        self._log(now, sent, answer.observed, asked, float(state), reading.time, late, work)

    def _state(self) -> tuple[State, float]:
        """The state of this control step, and the share of it that is over at its end."""
        for state, steps in self.plan.items():
            if self.steps[state] < steps:
                return state, (self.steps[state] + 1) / steps
        return State.POLICY, 1.0

    def _checked(self, reading: Reading, now: float, missed: int, state: State) -> Inputs:
        """The inputs of a reading without a fault."""
        if reading.time > self.stamp:
            self.stamp, self.fresh = reading.time, now
        stale = now - self.fresh
        if stale > self.limit.stale_s:
            raise _Fault(f"stale: no new reading for {stale:.3g} s")
        if missed > self.limit.missed and self.steps:
            raise _Fault(f"late: {missed} periods in a row were missed")
        if reading.fault:
            raise _Fault(f"the robot reports: {reading.fault}")
        inputs = self.controller.inputs(reading)
        if found := not_finite(inputs):
            raise _Fault(found)
        if state != State.PASSIVE:
            self._check_limits(inputs)
        return inputs

    def _check_limits(self, inputs: Inputs) -> None:
        gravity = inputs.get(self.limit.gravity)
        if gravity is not None and tilt(gravity[0]) > self.limit.tilt:
            raise _Tilted(f"tilted by {tilt(gravity[0]):.3g} rad; allowed: {self.limit.tilt:.3g}")
        positions, velocities = (self.controller.joint(inputs, q) for q in (POSITIONS, VELOCITIES))
        if found := beyond(positions, velocities, self.limit):
            raise _Fault(found)

    def _present(self, position: Array) -> Array:
        """The commands at which nothing moves: a servo's position, else those of the rest pose."""
        pairs = zip(self.limit.rest, position, strict=True)
        rest = np.array([here if given is None else given for given, here in pairs])
        return np.where(self.servos.present, position, rest)

    def _answer(self, inputs: Inputs, state: State) -> Answer:
        """What the controller gives; its episode begins when it first acts."""
        if state >= State.SOFT_START and not self.acting:
            self.acting = True
            self.controller.begin()
        answer = self.controller(inputs, self.last)
        if not np.isfinite(answer.commands).all():
            raise _Fault("the commands of the policy are not finite")
        return answer

    def _asked(self, state: State, share: float, answer: Answer) -> Array:
        """The commands of a state before any limit."""
        rest = [
            here if given is None else given
            for given, here in zip(self.limit.rest, self.origin, strict=True)
        ]
        start, end = {
            State.PASSIVE: (self.origin, self.origin),
            State.STAND_UP: (self.origin, np.array(rest)),
            State.SOFT_START: (
                self.last if self.controller.steps else np.array(rest),
                answer.commands,
            ),
            State.POLICY: (answer.commands, answer.commands),
        }[state]
        asked: Array = end if share == 1.0 else start + share * (end - start)
        return asked

    def _send(self, state: State, asked: Array, position: Array, velocity: Array) -> Array | None:
        """Send what the limits allow; None where nothing was sent."""
        if state == State.PASSIVE:
            _named("stop", self._stop)
            return None
        sent = limited(asked, self.last, position, velocity, self.servos, self.limit)
        if self.dry_run:
            return None
        for name, off in zip(self.names, np.abs(sent - asked) > CAPPED * self.width, strict=True):
            self.capped[name] += int(off)
        if not self.sent and self.recorder is not None:
            self.recorder.begin_episode()
        _named("write", self.robot.write, sent.copy())
        self.sent.append(sent)
        self.last = sent
        return sent

    def _stop(self) -> None:
        if not self.dry_run:
            self.robot.stop()

    def _log(self, now: float, sent: Array | None, observed: Array | None, *extras: Any) -> None:
        if self.recorder is not None:
            self.recorder.add(now - self.begun, sent, observed, *extras)

    def _rest(self, reads: bool) -> None:
        """The passive state at the end; a robot that does not answer cannot prevent it."""
        asked = np.full(len(self.last), np.nan)
        with contextlib.suppress(KeyboardInterrupt):
            for _ in range(max(RESTING, self.plan[State.PASSIVE])):
                now, late, _ = self.pace.next()
                with contextlib.suppress(Exception):
                    self._stop()
                observed, stamp = None, np.nan
                with contextlib.suppress(Exception):
                    if reads:
                        reading = self.robot.read()
                        stamp = reading.time
                        observed = self.controller(self.controller.inputs(reading), self.last)
                seen = None if observed is None else observed.observed
                work = self.pace.done(now)
                self._log(now, None, seen, asked, float(State.PASSIVE), stamp, late, work)


class _Tilted(_Fault):
    """The robot has fallen, or is about to."""


def _named(name: str, call: Callable[..., Any], *arguments: Any) -> Any:
    """A call of the robot's method; an error names it."""
    try:
        return call(*arguments)
    except (HangError, _Fault):
        raise
    except Exception as error:
        raise _Fault(f"{name} failed: {type(error).__name__}: {error}") from error


def _worded(error: Exception) -> str:
    if isinstance(error, _Fault | HangError | UserError):
        return str(error)
    return f"{type(error).__name__}: {error}"


@contextlib.contextmanager
def _without_pauses() -> Iterator[None]:
    """Without garbage collection, whose pauses of milliseconds would delay control steps."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
