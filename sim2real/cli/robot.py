"""The verbs `run`, an exported policy on a robot, and `robot`, a simulated one."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from sim2real.cli.command import Command, Pairs, accept_domains, named_task
from sim2real.cli.output import Outcome, table
from sim2real.errors import UserError

if TYPE_CHECKING:
    from sim2real.deployment.runner.run import Result


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """Control a robot with an exported policy, at its rate and within its limits."""

    interrupted = "the robot is passive"

    folder: Positional[Path]
    """The folder that `sim2real export` wrote."""
    interface: str
    """Robot: my_robot.py, my_robot.py:Class, udp:HOST:PORT or ros2:NAMESPACE.
    A file is imported."""
    seconds: float | None = None
    """How long the policy acts; by default until a key or Ctrl-C."""
    log: Path | None = None
    """File of the log: .parquet, .csv or .mcap; by default run.parquet in this folder."""
    settings: Path | None = None
    """YAML or JSON file of limits and times; what it lacks comes from the contract."""
    dry_run: bool = False
    """Read and log, and send nothing."""
    priority: int | None = None
    """Priority under the real-time scheduler of Linux (SCHED_FIFO), 1 to 99."""
    spin: float = 0.0
    """Wait so many seconds before each control step without sleeping: less jitter, one core."""

    def run(self) -> Outcome:
        """Call `sim2real.deployment.runner.run`."""
        from sim2real.deployment.runner.clock import RealClock
        from sim2real.deployment.runner.interrupts import prefer
        from sim2real.deployment.runner.load import load_interface
        from sim2real.deployment.runner.log import check_log
        from sim2real.deployment.runner.policy import Controller
        from sim2real.deployment.runner.run import check_seconds, run
        from sim2real.deployment.runner.settings import read_changes, settings_for
        from sim2real.files import require_writable, unused, user_path

        contract = Controller(user_path(self.folder)).contract
        settings = settings_for(contract, read_changes(self.settings) if self.settings else None)
        check_seconds(self.seconds)
        log = self.log or unused(Path(), "run.parquet")[0]
        check_log(log)
        require_writable(log.parent)
        if not 0 <= self.spin <= 1:
            raise UserError(f"spin is {self.spin} s; allowed: 0 to 1")
        if self.priority is not None:
            prefer(self.priority)
        robot = load_interface(self.interface, contract)
        clock = RealClock(self.spin)
        try:
            result = run(self.folder, robot, self.seconds, log, settings, self.dry_run, clock)
        finally:
            getattr(robot, "close", lambda: None)()
        code = 1 if result.fault else 0
        return Outcome(
            result.plain(), [_table(result)], log.with_suffix(".json"), page=log, code=code
        )


def _table(result: Result) -> Any:
    steps, timing = result.steps, result.timing
    jitter, work = timing["jitter_us"], timing["step_us"]
    capped = {name: count for name, count in result.capped.items() if count}
    rows = {
        "control steps": ", ".join(f"{n:,} {state}" for state, n in steps.items() if n) or "none",
        "commands sent": f"{len(result.sent):,}",
        "commands capped": ", ".join(f"{name} {n:,}" for name, n in capped.items()) or "none",
        "late steps, missed periods": f"{timing['late']:,}, {timing['missed']:,}",
        "jitter, µs": ", ".join(f"{name} {value:g}" for name, value in jitter.items()),
        "time of a step, µs": ", ".join(f"{name} {value:g}" for name, value in work.items()),
    }
    shown = [{"of the run": name, "": value} for name, value in rows.items()]
    return table(f"{'fault: ' if result.fault else ''}{result.reason}", shown)


@dataclass(frozen=True, kw_only=True)
class Robot(Command):
    """Serve a simulated robot through UDP, for `sim2real run --interface udp:HOST:PORT`."""

    task: Positional[str]
    """Task: a name, my_robot.py, or "module:Class"."""
    domain: str | None = None
    """Domain of its world: a name, or my_domains.yaml:name."""
    port: int = 9870
    """UDP port; 0 takes a free one."""
    host: str = "127.0.0.1"
    """Address to listen at."""
    seconds: float | None = None
    """How long it is served; by default until Ctrl-C."""
    seed: int = 0
    """Seed of the world and of the link."""
    period: float | None = None
    """Seconds in which it takes a command once; by default a physics step, or with --lockstep the
    control step."""
    lockstep: bool = False
    """Take one period for each command, instead of the wall clock."""
    latency: float = 0.0
    """Seconds that each datagram takes, in both directions."""
    loss: float = 0.0
    """Probability that a datagram is lost, in both directions."""
    timeout: float = 0.1
    """Seconds without a command after which it is passive."""
    task_options: Pairs = ()
    """Options of the task."""
    trust_code: bool = False
    """Accept and import the Python code that the file of a domain names."""

    def run(self) -> Outcome:
        """Call `sim2real.deployment.robot`."""
        from sim2real.deployment.robot import Link, Server
        from sim2real.deployment.runner.run import check_seconds
        from sim2real.deployment.simulated import SimulatedRobot

        task = named_task(self.task, self.task_options)
        accept_domains(task, [self.domain], self.trust_code)
        check_seconds(self.seconds)
        period = self.period
        if period is None and not self.lockstep:
            period = float(task.compile().opt.timestep)
        link = Link(self.latency, self.loss, self.seed)
        robot = SimulatedRobot(task, self.domain, self.seed, period)
        server = Server(robot, self.port, self.host, link, self.timeout, self.lockstep)
        print(f"{task.name} listens at udp:{self.host}:{server.port}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve(self.seconds)
        state = server.state()
        return Outcome(state, [table("the robot at the end", [state])])
