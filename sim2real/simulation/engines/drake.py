"""A batch whose positions and velocities are Drake's; everything else of it is MuJoCo's.

In each physics step MuJoCo computes its fields from the present state and advances what is no
mechanics (time, activations, delayed controls). Its forces besides gravity, linear springs and
damping are held in Drake over the step, whose result takes the place of MuJoCo's. So a task reads
every field, with the state before the last step as in `mj_step`; but the forces of contacts are
those with which MuJoCo would answer the state.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import mujoco.batch
import numpy as np

from sim2real.domains import Domain
from sim2real.domains.entries.engine import Drake
from sim2real.domains.entries.load_friction import LoadFriction
from sim2real.errors import UserError
from sim2real.simulation.batches import Batch
from sim2real.simulation.engines.mapping import misfits, unsupported
from sim2real.simulation.engines.plant import Plant, drake
from sim2real.task import IntArray

BUILT_IN = (
    "body_",
    "jnt_",
    "dof_",
    "geom_",
    "qpos",
    "opt.gravity",
    "actuator_armature",
    "actuator_gear",
)
"""Beginnings of the names of the fields of a world that its plant is built from."""
_CONTACTS, _LIMITS = "MuJoCo's contacts", "MuJoCo's limits"
NO_EFFECT = {
    "dof_frictionloss": "dry friction",
    "tendon_frictionloss": "dry friction",
    "tendon_armature": "reflected inertia of tendons",
    "geom_solref": _CONTACTS,
    "geom_solimp": _CONTACTS,
    "geom_margin": _CONTACTS,
    "opt.impratio": _CONTACTS,
    "jnt_solref": _LIMITS,
    "jnt_solimp": _LIMITS,
    "opt.iterations": "MuJoCo's solver",
    "opt.tolerance": "MuJoCo's solver",
}
"""Fields of a domain that change nothing in Drake, and what they belong to."""


class DrakeBatch(Batch):
    """A batch of `nsim` worlds that Drake moves."""

    def __init__(
        self, model: mujoco.MjModel, nsim: int, settings: Drake, fill: Callable[[str], None]
    ) -> None:
        euler = copy.copy(model)  # its fields are those of one stage, the state before the step
        euler.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
        super().__init__(euler, nsim, 1, fill, persistent=True)
        self._settings = settings
        self._smooth, self._bias = (
            self._b.output(name).view(np.float64).reshape(nsim, model.nv)
            for name in ("qfrc_smooth", "qfrc_bias")
        )
        self._plants: list[Plant | None] = [None] * nsim
        self._keys: list[bytes] = [b""] * nsim

    def step(
        self, ids: Any = None, nstep: int = 1, stage: int = mujoco.mjtStage.mjSTAGE_NONE.value
    ) -> None:
        """Advance worlds by `nstep` physics steps, then compute `stage` at the new state.

        Raises SimulationError with the worlds in which Drake finds no solution, or MuJoCo raises.
        """
        worlds = np.arange(self.nsim)[slice(None) if ids is None else np.asarray(ids)]
        self._build(worlds)
        lost: set[int] = set()
        for _ in range(nstep):
            going = np.array([one for one in worlds.tolist() if one not in lost], dtype=np.int32)
            lost |= self._step_once(going)
        going = np.array([one for one in worlds.tolist() if one not in lost], dtype=np.int32)
        if stage != mujoco.mjtStage.mjSTAGE_NONE.value and len(going):
            self.forward(going, stage)
        if lost:
            raise mujoco.batch.SimulationError(np.array(sorted(lost)), "Drake found no solution")

    def _step_once(self, worlds: IntArray) -> set[int]:
        """One physics step; the worlds that are lost in it."""
        if not len(worlds):
            return set()
        qpos, qvel = self.bind("qpos"), self.bind("qvel")
        before = qpos.copy(), qvel.copy()
        lost: set[int] = set()
        try:
            super().step(worlds)
        except mujoco.batch.SimulationError as error:
            lost.update(np.asarray(error.ids).tolist())
        for world in worlds.tolist():
            plant, state = self._plants[world], (before[0][world], before[1][world])
            assert plant is not None
            force = self._smooth[world] + self._bias[world] - plant.native_forces(*state)
            try:
                qpos[world], qvel[world] = plant.step(*state, force)
            except RuntimeError:
                lost.add(world)
        return lost

    def _build(self, worlds: IntArray) -> None:
        """Give each world the plant of its present model; equal models share one."""
        for world in worlds.tolist():
            key = self._key(world)
            if self._plants[world] is not None and self._keys[world] == key:
                continue
            alike = [plant for plant, other in zip(self._plants, self._keys, strict=True)
                     if other == key and plant is not None]  # fmt: skip
            self._plants[world] = alike[0] if alike else self._new_plant(world)
            self._keys[world] = key

    def _new_plant(self, world: int) -> Plant:
        with _quiet():
            return Plant(self.get_model(world), self._settings)

    def _key(self, world: int) -> bytes:
        """What the plant of a world depends on, of the fields that differ between worlds."""
        fields = sorted(name for name in self._expanded if _is_built_in(name))
        return b"".join(self._expanded[name][world].tobytes() for name in fields)


def _is_built_in(name: str) -> bool:
    return name.startswith(BUILT_IN) and name not in NO_EFFECT


def drake_batch(
    model: mujoco.MjModel, num_envs: int, domain: Domain, fill: Callable[[str], None]
) -> DrakeBatch:
    """The worlds of a `domain` in Drake.

    A warning names what Drake leaves out of the model and the domain. Raises UserError for what of
    the model has no counterpart, and where pydrake is not installed.
    """
    assert isinstance(domain.engine, Drake)
    drake("common")
    if problems := unsupported(model):
        raise UserError(
            f"domain {domain.name!r}: the engine drake has no counterpart for "
            f"{'; '.join(problems)}; allowed: models without them, or engine: mujoco"
        )
    ignored = [
        f"no effect of {one.field} ({NO_EFFECT[one.field]})"
        for one in domain.dynamics
        if one.field in NO_EFFECT
    ]
    ignored += [
        f"no effect of {one.label} (dry friction)"
        for one in domain.actuation
        if one.kind is LoadFriction
    ]
    if notes := [*misfits(model), *dict.fromkeys(ignored)]:
        warnings.warn(
            f"domain {domain.name!r}: the engine drake has {'; '.join(notes)}", stacklevel=4
        )
    return DrakeBatch(model, num_envs, domain.engine, fill)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Drake's log, which says at each half space that nothing deformable meets it."""
    log = logging.getLogger("drake")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
