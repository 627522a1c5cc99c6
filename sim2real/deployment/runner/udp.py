"""A robot behind UDP, such as the simulated one of `sim2real robot`."""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from sim2real.deployment.names import POSITIONS
from sim2real.deployment.runner.interface import Array, Contract, Reading
from sim2real.deployment.runner.packets import HELLO, MOST_BYTES, STOP, WRITE, packed, unpacked
from sim2real.errors import UserError

ANSWER_S = 10.0
"""How long a robot may take to answer the first time."""
WAIT = 0.25
"""Share of the control step that is waited for a new reading."""


class UdpRobot:
    """Sends commands to HOST:PORT, and keeps the newest reading that came back.

    Raises UserError if no robot answers there, or if it lacks an input of the controller.
    """

    def __init__(self, contract: Contract, address: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._wait_s = WAIT * float(contract["control_dt"])
        self._count = 0
        self._newest = Reading(-1.0, {})
        try:
            self._connect(address)
            first = self._hello(address)
            self._order = _order(contract, first["inputs"])
            self._take(first)
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._socket.connect((host or "127.0.0.1", int(port)))
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(f"udp:{address[:100]}: {error}; allowed: udp:HOST:PORT") from None
        self._socket.setblocking(False)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _hello(self, address: str) -> dict[str, Any]:
        """The first answer: a reading, with the names of its numbers."""
        until = time.monotonic() + ANSWER_S
        while time.monotonic() < until:
            try:
                self._socket.send(packed(do=HELLO))
            except ConnectionRefusedError:  # nobody listens there yet
                time.sleep(0.05)
                continue
            for packet in self._packets(0.1):
                if "inputs" in packet:
                    return packet
        raise UserError(f"no robot answers at {address}; start it with `sim2real robot`")

    def _packets(self, wait_s: float) -> list[dict[str, Any]]:
        """What has come, or what comes first within `wait_s`."""
        found: list[dict[str, Any]] = []
        while select.select([self._socket], [], [], 0.0 if found else wait_s)[0]:
            try:
                found.append(unpacked(self._socket.recv(MOST_BYTES)))
            except ConnectionRefusedError:  # the robot is gone: its readings become stale
                break
        return found

    def read(self) -> Reading:
        """The newest reading."""
        for packet in self._packets(self._wait_s):
            self._take(packet)
        return self._newest

    def _take(self, packet: dict[str, Any]) -> None:
        if packet.get("time", -1.0) > self._newest.time:
            values = packet["values"]
            chosen = {name: [values[name][k] for k in at] for name, at in self._order.items()}
            self._newest = Reading(packet["time"], chosen, packet["fault"])

    def write(self, commands: Array) -> None:
        """Send commands."""
        self._send(do=WRITE, commands=commands.tolist())

    def stop(self) -> None:
        """Ask for the passive state."""
        self._send(do=STOP)

    def _send(self, **values: Any) -> None:
        self._count += 1
        self._socket.send(packed(n=self._count, **values))


def _order(contract: Contract, given: dict[str, list[str]]) -> dict[str, list[int]]:
    """Where the robot has the numbers that the controller takes, by input."""
    steps_from = contract["action"]["command"]["steps_from"]
    found = {}
    for one in contract["controller"]["inputs"]:
        name = one["name"]
        if "numbers" not in one or name == steps_from:
            continue
        lacking = [number for number in one["numbers"] if number not in given.get(name, ())]
        if lacking:
            what = "joint" if name.startswith(POSITIONS.partition(".")[0]) else "number"
            raise UserError(f"the robot gives no {name} of the {what} {lacking[0]!r}")
        found[name] = [given[name].index(number) for number in one["numbers"]]
    return found
