"""A simulated robot as a process of its own: it talks UDP, with a link that delays and loses."""

from __future__ import annotations

import heapq
import select
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.deployment.runner.packets import (
    HELLO,
    KILL,
    MOST_BYTES,
    QUIT,
    STOP,
    WRITE,
    packed,
    unpacked,
)
from sim2real.deployment.simulated import SimulatedRobot
from sim2real.errors import UserError, brief

BEHIND_S = 0.5
"""From so far behind its clock, a robot begins anew to count."""
LONGEST_S = 10.0
"""Of a latency, and of a time without commands."""


@dataclass(frozen=True)
class Link:
    """A link that delivers each datagram after `latency_s`, or with the probability `loss` never.

    Raises UserError for another latency than 0 to 10 s, and a loss that is no probability.
    """

    latency_s: float = 0.0
    loss: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.latency_s <= LONGEST_S:
            raise UserError(f"latency is {self.latency_s} s; allowed: 0 to {LONGEST_S:g}")
        if not 0.0 <= self.loss <= 1.0:
            raise UserError(f"loss is {self.loss}; allowed: 0 to 1")


class Channel:
    """One direction of a link: what was put in, in order of when it arrives."""

    def __init__(self, link: Link, stream: int) -> None:
        self._link, self._rng = link, np.random.default_rng([link.seed, stream])
        self._waiting: list[tuple[float, int, Any]] = []
        self._count = 0

    def put(self, now: float, packet: Any) -> None:
        """A packet is sent."""
        if self._rng.random() >= self._link.loss:
            self._count += 1
            heapq.heappush(self._waiting, (now + self._link.latency_s, self._count, packet))

    def arrived(self, now: float) -> Iterator[Any]:
        """The packets that have arrived by now, each once."""
        while self._waiting and self._waiting[0][0] <= now:
            yield heapq.heappop(self._waiting)[2]

    @property
    def next(self) -> float:
        """When the next packet arrives."""
        return self._waiting[0][0] if self._waiting else np.inf


class Server:
    """Serves a robot at HOST:PORT; port 0 takes a free one.

    By the wall clock the robot takes one period after the other with the last commands; when none
    have come for `timeout_s`, it is passive. With `lockstep` it takes one period for each command.
    """

    def __init__(
        self,
        robot: SimulatedRobot,
        port: int,
        host: str = "127.0.0.1",
        link: Link | None = None,
        timeout_s: float = 0.1,
        lockstep: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < timeout_s <= LONGEST_S:
            raise UserError(f"timeout is {timeout_s} s; allowed: more than 0, to {LONGEST_S:g}")
        self.robot, self.lockstep = robot, lockstep
        self._timeout_s, self._now = timeout_s, now
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.bind((host, port))
        except (OSError, OverflowError, ValueError, TypeError) as error:
            self._socket.close()
            raise UserError(f"{brief(host)[1:-1]}:{port} cannot be served: {error}") from None
        self._socket.setblocking(False)
        self.port = int(self._socket.getsockname()[1])
        used = link or Link()
        self._inbox, self._outbox = Channel(used, 0), Channel(used, 1)
        self._client: tuple[str, int] | None = None
        self._commands: np.ndarray[Any, np.dtype[np.float64]] | None = None
        self._commanded_at, self._last = -np.inf, 0
        self.counts = dict.fromkeys((WRITE, STOP, "timeouts", "periods"), 0)
        self._quit = False

    def serve(self, seconds: float | None = None) -> dict[str, Any]:
        """Serve until `seconds` are over, or a client asks to quit; the state at the end."""
        begun = due = self._now()
        until = np.inf if seconds is None else begun + seconds
        period = self.robot.simulation.dt
        try:
            while not self._quit and self._now() < until:
                self.exchange(min(due, until) if not self.lockstep else until)
                now = self._now()
                if self.lockstep or now < due:
                    continue
                self.take_period(now)
                due = due + period if now - due < BEHIND_S else now + period
        finally:
            self.close()
        return self.state()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def state(self) -> dict[str, Any]:
        """The mode of the robot, its time, and what came."""
        return {"mode": self.robot.mode, "time": round(self.robot.time, 6), **self.counts}

    def exchange(self, until: float) -> None:
        """Wait for datagrams, at most `until`; take and send what has arrived."""
        left = min(until, self._inbox.next, self._outbox.next) - self._now()
        if select.select([self._socket], [], [], min(max(left, 0.0), 0.1))[0]:
            data, address = self._socket.recvfrom(MOST_BYTES)
            packet = unpacked(data)
            if packet.get("do") == HELLO:
                self._client = address
            self._inbox.put(self._now(), packet)
        for packet in self._inbox.arrived(self._now()):
            self._take(packet)
        for data in self._outbox.arrived(self._now()):
            self._send(data)

    def _take(self, packet: dict[str, Any]) -> None:
        asked, count = packet.get("do"), packet.get("n", 0)
        if asked == HELLO:
            self._last = 0
            self._report(inputs=self.robot.inputs)
        elif asked == KILL:
            self.robot.kill()
        elif asked == QUIT:
            self._quit = True
        elif asked in (WRITE, STOP) and count > self._last:  # one that came late is old
            commands = np.array(packet.get("commands", ()), dtype=np.float64)
            if asked == WRITE and len(commands) != self.robot.actuators:
                return
            self._last = count
            self.counts[asked] += 1
            self._commands = commands if asked == WRITE else None
            self._commanded_at = self._now()
            if self.lockstep:
                self.take_period(self._now())

    def take_period(self, now: float) -> None:
        """Advance the robot by one period, and send its reading."""
        if self._commands is not None and now - self._commanded_at > self._timeout_s:
            self._commands = None
            self.counts["timeouts"] += 1
        if self._commands is None:
            self.robot.stop()
        else:
            self.robot.write(self._commands)
        self.counts["periods"] += 1
        self._report()

    def _report(self, **more: Any) -> None:
        reading = self.robot.read()
        values = {"time": reading.time, "values": reading.values, "fault": reading.fault}
        self._outbox.put(self._now(), packed(mode=self.robot.mode, **values, **more))

    def _send(self, data: bytes) -> None:
        if self._client is not None:
            try:
                self._socket.sendto(data, self._client)
            except ConnectionRefusedError:  # the runner is gone
                self._client = None
