"""A simulated robot: a world of a task that takes commands and gives readings, as a robot does."""

from __future__ import annotations

import copy

import mujoco
import numpy as np

from sim2real.deployment.control import Robot
from sim2real.deployment.controller import wiring_of
from sim2real.deployment.probing import TRIED, joint_readings
from sim2real.deployment.runner.interface import Reading
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.identification.replay import open_loop
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.history import OBSERVED
from sim2real.task import Array, Task, whole_steps

PASSIVE, DRIVEN, KILLED = "passive", "driven", "killed"
_OWN = ("control", "failed", "succeeded")
"""What the task does not decide: it keeps its start states and what it asks for."""


class SimulatedRobot:
    """One world of `task` in `domain`. Its passive state is damping: no force but that of `kv`.

    `write` and `stop` advance it by `period_s`, by default the control step of the task: so it
    keeps step with whoever commands it. An actuator's `mode` is that of the last call; after `kill`
    it stays passive.
    """

    def __init__(
        self,
        task: str | Task,
        domain: str | Domain | None = None,
        seed: int = 0,
        period_s: float | None = None,
    ) -> None:
        known = load_task(task)
        tried = Simulation(known, domain, TRIED, threads=1)
        terms = tried.policy_terms
        wiring = wiring_of(terms, joint_readings(tried), tried.model.nu, OBSERVED)
        tried.close()
        self.simulation = Simulation(
            _commanded(known, period_s), domain, num_envs=1, seed=seed, threads=1
        )
        self._robot = Robot(self.simulation, wiring, terms)
        self.inputs = wiring.inputs
        """The names of the numbers of each reading."""
        self.mode, self.time = PASSIVE, 0.0
        self.lost = False
        """Whether its physics has diverged."""

    @property
    def actuators(self) -> int:
        """How many commands it takes."""
        return int(self.simulation.model.nu)

    def read(self) -> Reading:
        """What its sensors show."""
        values = self._robot.readings(self.simulation.observation)
        fault = "the kill switch was pressed" if self.mode == KILLED else ""
        return Reading(self.time, {name: one[0].tolist() for name, one in values.items()}, fault)

    def write(self, commands: Array) -> None:
        """Take commands, (nu,), for one period."""
        if self.mode != KILLED:
            self.mode = DRIVEN
        self._advance(np.asarray(commands, dtype=np.float64))

    def stop(self) -> None:
        """Be passive for one period."""
        if self.mode != KILLED:
            self.mode = PASSIVE
        self._advance(None)

    def kill(self) -> None:
        """Stay passive whatever is commanded."""
        self.mode = KILLED

    def _advance(self, commands: Array | None) -> None:
        given = self.damping() if commands is None or self.mode == KILLED else commands
        transition = self.simulation.advance(given[None])
        self.lost |= bool(transition.unstable[0])
        self.time += self.simulation.dt

    def damping(self) -> Array:
        """The commands, (nu,), at which the actuators give no force but that of damping.

        The force is gain u + bias[0] + bias[1] length + bias[2] velocity.
        """
        model = self.simulation.model
        gain, bias = model.actuator_gainprm[:, 0], model.actuator_biasprm
        length = self._lengths()
        still = -(bias[:, 0] + bias[:, 1] * length)
        return np.asarray(np.divide(still, gain, out=np.zeros_like(gain), where=gain != 0))

    def _lengths(self) -> Array:
        """The lengths of the actuators at the present positions, (nu,).

        Derived fields of a task may be one physics step old.
        """
        model, found = self.simulation.model, np.array(self.simulation.actuator_length[0])
        rows = model.actuator_trntype == mujoco.mjtTrn.mjTRN_JOINT
        places = model.jnt_qposadr[model.actuator_trnid[rows, 0]]
        found[rows] = model.actuator_gear[rows, 0] * self.simulation.qpos[0, places]
        return found


def _commanded(task: Task, period_s: float | None) -> Task:
    """The task whose actions are commands, and whose control step is `period_s`."""
    found = open_loop(task, _OWN)
    if period_s is not None:
        if not 0 < period_s <= task.control_dt:
            raise UserError(
                f"the period is {period_s} s; allowed: more than 0, at most {task.control_dt:g} s"
            )
        whole_steps(period_s, float(task.compile().opt.timestep), "the period")
        found = copy.copy(found)
        found.control_dt = period_s  # type: ignore[misc]
    return found
