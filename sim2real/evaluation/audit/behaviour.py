"""What a model does in fixed states, to compare models of one task with."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.evaluation.audit.effects import Effect, of_states
from sim2real.evaluation.audit.states import States
from sim2real.simulation.warnings import warnings_logged
from sim2real.task import Array

STEPS = 5
"""Physics steps of each short motion."""
MOST = 60
"""States probed, at most."""


@dataclass(frozen=True, eq=False)
class Behaviour:
    """Per state: accelerations (s, nv), actuator forces (s, nu), sensors (s, nsensordata), and how
    far positions and velocities get in a few steps, (s, nq + nv)."""

    acceleration: Array
    force: Array
    sensors: Array
    motion: Array


def fewer(states: States) -> States:
    """At most `MOST` of the states, spread evenly."""
    chosen = np.unique(np.linspace(0, len(states.qpos) - 1, MOST).astype(int))
    return States(states.qpos[chosen], states.qvel[chosen], states.ctrl[chosen])


def behaviour(model: mujoco.MjModel, states: States) -> Behaviour:
    """What the model does in each of the states, from a cold start of the solver."""
    data = mujoco.MjData(model)
    rows = []
    with warnings_logged():
        for qpos, qvel, ctrl in zip(states.qpos, states.qvel, states.ctrl, strict=True):
            mujoco.mj_resetData(model, data)
            data.qpos[:], data.qvel[:], data.ctrl[:] = qpos, qvel, ctrl
            mujoco.mj_forward(model, data)
            now = (data.qacc.copy(), data.actuator_force.copy(), data.sensordata.copy())
            for _ in range(STEPS):
                mujoco.mj_step(model, data)
            rows.append((*now, np.concatenate([data.qpos - qpos, data.qvel])))
    return Behaviour(*(np.array(column) for column in zip(*rows, strict=True)))


def compared(nominal: Behaviour, twin: Behaviour, changed: Behaviour) -> dict[str, Effect]:
    """The effects of a change by the probes' names; `twin` is the nominal a rounding error beside.

    Sensors are compared where both have as many.
    """
    pairs = {
        "acceleration": "acceleration",
        "trajectory": "motion",
        "force": "force",
        "observation": "sensors",
    }
    effects = {}
    for probe, name in pairs.items():
        three = [getattr(one, name) for one in (nominal, twin, changed)]
        if three[0].size and three[0].shape == three[2].shape:
            effects[probe] = of_states(*three)
    return effects
