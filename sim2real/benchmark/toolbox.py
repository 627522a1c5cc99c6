"""The engine's own toolbox for system identification, `mujoco.sysid`, on the windows of a log.

It needs what `pip install mujoco[sysid]` adds; without that, `has_toolbox` is False. Each unknown
is a factor that a modifier writes into the model's spec, with the bounds of the family. Windows are
rolled out open loop from the states that the readings show; the residual is that of the task's own
`observe`, in units of the channels' scale. Compiled models are kept within an evaluation, so that
a candidate is compiled once and not once a window.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import mujoco
import numpy as np

from sim2real.errors import UserError
from sim2real.identification.family import Family
from sim2real.identification.problem import LOST, Problem
from sim2real.identification.replay import Windows
from sim2real.task import Array, Task, World

PARTS = {"body_mass", "dof_damping", "geom_friction.sliding", "strength"}
"""Unknowns that can be written into a spec here; of delays, see `fitted`."""
FIRST_ITERATIONS, ITERATIONS = 4, 50
"""Of a delay that is tried, and of the best one, at most."""


def has_toolbox() -> bool:
    """Whether `mujoco.sysid` is there with all that it needs."""
    try:
        return hasattr(importlib.import_module("mujoco.sysid"), "optimize")
    except ImportError:
        return False


def fitted(problem: Problem) -> tuple[dict[str, float], int]:
    """The values that the toolbox finds, by name, and the control steps that it simulated.

    It knows no delay of commands. Where the family has one, the commands of the windows are shifted
    by each number of physics steps in its range, with a few iterations each; the best is refined.
    """
    family = problem.replay.family
    rollouts = _Rollouts(problem)
    shifts = _shifts(family)
    tried = {shift: rollouts.optimized(shift, {}, FIRST_ITERATIONS) for shift in shifts}
    best = min(tried, key=lambda shift: tried[shift][1])
    values, _ = rollouts.optimized(best, tried[best][0], ITERATIONS)
    delays = dict.fromkeys(family.delays, best * family.timestep)
    return {name: (values | delays)[name] for name in family.names}, rollouts.simulated


def _shifts(family: Family) -> list[int]:
    """The delays to try, in physics steps."""
    if not family.delays:
        return [0]
    longest = family.space.bases[family.names.index(family.delays[0])].support[1]
    return list(range(round(longest / family.timestep) + 1))


class _Rollouts:
    """The windows of a problem, as the toolbox rolls them out."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.family = problem, problem.replay.family
        self.simulated = 0
        self.sysid: Any = importlib.import_module("mujoco.sysid")
        self.spec = explicit_spec(self.family.task)
        self.modify = modifier(self.spec)
        self._models: dict[bytes, mujoco.MjModel] = {}

    def optimized(
        self, shift: int, start: Mapping[str, float], iterations: int
    ) -> tuple[dict[str, float], float]:
        """The best values, and half their sum of squares, under commands that are `shift` late."""
        parameters = self._parameters(start)
        residual = self.sysid.build_residual_fn(
            models_sequences=[self._sequences(shift)],
            build_model=self._model,
            modify_residual=self._residual,
            n_threads=1,
            resample_true=False,
        )
        with contextlib.redirect_stdout(io.StringIO()):  # a line for every iteration
            given = {"verbose": False, "max_iters": iterations}
            found, _ = self.sysid.optimize(parameters, residual, **given)
        left = np.concatenate(residual(found.as_vector(), found)[0])
        names = [name for name in self.family.names if name not in self.family.delays]
        return dict(zip(names, found.as_vector().tolist(), strict=True)), 0.5 * float(left @ left)

    def _parameters(self, start: Mapping[str, float]) -> Any:
        parameters = self.sysid.ParameterDict()
        for name, base, nominal in zip(
            self.family.names, self.family.space.bases, self.family.nominal_values, strict=True
        ):
            if name not in self.family.delays:
                one = self.sysid.Parameter(name, nominal, *base.support, modifier=self.modify)
                one.value[:] = start.get(name, nominal)
                parameters.add(one)
        return parameters

    def _sequences(self, shift: int) -> Any:
        windows, series = self.problem.windows, self.sysid.TimeSeries
        dt, count = self.family.timestep, windows.steps * self.problem.replay.substeps
        model = self.spec.compile()
        times = np.arange(count + 1) * dt
        at = np.arange(1, windows.steps + 1) * self.problem.replay.dt
        controls = shifted(windows, self.problem.replay.substeps, shift)
        used = self.problem.channels.used
        return self.sysid.ModelSequences(
            name="windows",
            spec=self.spec,
            sequence_name=[str(first) for first in windows.first],
            initial_state=[
                self.sysid.create_initial_state(model, qpos, qvel)
                for qpos, qvel in zip(windows.qpos, windows.qvel, strict=True)
            ],
            control=[series(times, np.vstack([one, one[-1:]])) for one in controls],
            sensordata=[series(at, one[1:, used]) for one in windows.observations],
            allow_missing_sensors=True,
        )

    def _model(self, parameters: Any, spec: mujoco.MjSpec) -> mujoco.MjModel:
        key = parameters.as_vector().tobytes()
        if key not in self._models:
            if len(self._models) > 4 * len(self.family.names):
                self._models.clear()
            self._models[key] = self.sysid.apply_param_modifiers(parameters, spec)
        return self._models[key]

    def _residual(
        self, parameters: Any, shown: Any, measured: Any, model: Any, everything: bool, state: Array
    ) -> tuple[Array, Any, Any]:
        """Measured minus simulated at every control step, (steps, k)."""
        del parameters, shown, everything
        substeps, channels = self.problem.replay.substeps, self.problem.channels
        self.simulated += self.problem.windows.steps
        rows = state[substeps - 1 :: substeps, 1:]
        qpos, qvel = rows[:, : model.nq], rows[:, model.nq : model.nq + model.nv]
        readings = observed(self.family.task, qpos, qvel)[:, channels.used]
        gap = (measured.data - readings) / channels.scale[channels.used]
        return np.clip(np.nan_to_num(gap, nan=LOST), -LOST, LOST), measured, measured


def shifted(windows: Windows, substeps: int, shift: int) -> Array:
    """The commands at every physics step of the windows, `shift` of them late, (w, n, nu)."""
    fine = np.repeat(windows.commands, substeps, axis=1)
    first = windows.before * substeps - shift
    return fine[:, first : first + windows.steps * substeps]


def observed(task: Task, qpos: Array, qvel: Array) -> Array:
    """The observations, (n, k), of a task in the states (n, nq), (n, nv)."""
    world = cast(World, SimpleNamespace(qpos=qpos, qvel=qvel, num_envs=len(qpos)))
    return np.hstack(list(task.observe(world).values()))


def explicit_spec(task: Task) -> mujoco.MjSpec:
    """The task's spec with the mass and inertia of every body written down."""
    spec = task.spec()
    model = spec.compile()
    spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
    for body in spec.bodies[1:]:
        link = model.body(body.name)
        body.mass, body.inertia = float(link.mass[0]), link.inertia
        body.ipos, body.iquat, body.explicitinertial = link.ipos, link.iquat, True
    return spec


def modifier(spec: mujoco.MjSpec) -> Callable[[mujoco.MjSpec, Any], None]:
    """A function that writes a parameter of the toolbox, a factor, into a spec; 1 has no effect."""
    model = spec.compile()

    def write(spec: mujoco.MjSpec, parameter: Any) -> None:
        factor = float(parameter.value[0])
        field, _, element = parameter.name.partition(":")
        if field == "body_mass":
            body, link = spec.body(element), model.body(element)
            body.mass, body.inertia = factor * float(link.mass[0]), factor * link.inertia
        elif field == "dof_damping":
            for joint in spec.joints:
                joint.damping[0] = factor * model.dof_damping[model.jnt_dofadr[joint.id]]
        elif field == "geom_friction.sliding":
            for geom in spec.geoms:
                geom.friction[0] = factor * model.geom_friction[geom.id, 0]
        elif field == "strength":
            for motor in spec.actuators:
                motor.gainprm[0] = factor * model.actuator_gainprm[motor.id, 0]
        else:
            raise UserError(f"unknown {parameter.name!r}; allowed: {', '.join(sorted(PARTS))}")

    return write
