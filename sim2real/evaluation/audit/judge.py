"""Faults of a world, as text."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import mujoco
import numpy as np

from sim2real.evaluation.audit.checks import stale_constants
from sim2real.evaluation.audit.findings import Finding
from sim2real.evaluation.audit.motions import COMMANDS, WORLDS, Motion, Rollout, usual_steps
from sim2real.evaluation.audit.reasons import same_shapes
from sim2real.evaluation.audit.worlds import Probed

WILD = 1e3
"""Times the nominal velocities that are an explosion, though MuJoCo may not say so."""
MODEL, TOGETHER = "(model)", "(all together)"
"""Findings that belong to no single parameter."""


def problems(base: Probed, probed: Probed) -> Iterator[str]:
    """The faults of a world that the base does not have."""
    yield from (one for one in probed.impossible if one not in base.impossible)
    yield from _stale(probed.stale - base.stale)
    if not np.isfinite(probed.forces.acceleration).all():
        yield "accelerations are not finite"
    yield from _explosions(base, probed)


def model_finding(base: Probed) -> Finding:
    """The faults of the model before any parameter is changed."""
    errors = [*base.impossible, *_stale(base.stale)]
    errors += _unsound(base.motion, base.rollout)
    return Finding(MODEL, "the model as it is", errors=tuple(errors))


def keyframe_finding(base: Probed, own: Probed) -> Finding:
    """The effect of a start from a key frame, against the task's `own` start."""
    name = base.rollout.simulation.domain.keyframe
    description = f"a start from the key frame {name}"
    if np.array_equal(base.rollout.start, own.rollout.start):
        error = "has no effect: the task starts every episode in that state"
        return Finding("keyframe", description, errors=(error,))
    return Finding("keyframe", description, warnings=tuple(_penetrations(base)))


def _penetrations(base: Probed) -> Iterator[str]:
    """The deepest contact of the start state, where it is deeper than a hundredth of the model."""
    model, data = base.model, mujoco.MjData(base.model)
    data.qpos[:] = base.rollout.start[0]
    mujoco.mj_fwdPosition(model, data)
    depths = -data.contact.dist
    if len(depths) and depths.max() > 0.01 * model.stat.extent:
        pair = data.contact.geom[int(depths.argmax())].tolist()
        names = " and ".join(model.geom(geom).name or f"geom {geom}" for geom in pair)
        yield f"{names} overlap by {depths.max():.2g} m in that state"


def together_finding(base: Probed, rollout: Rollout) -> Finding:
    """The faults of worlds in which everything is drawn at once."""
    simulation = rollout.simulation
    motion = rollout.upto(usual_steps(simulation))
    errors = list(_stale(set(stale_constants(simulation.world_model(0))) - base.stale))
    for problem in _unsound(motion, rollout) if base.motion.sound.all() else ():
        _, world = np.argwhere(~motion.sound)[0]
        draws = ", ".join(f"{k} {v:.3g}" for k, v in simulation.contexts()[world].items())
        errors.append(f"{problem} with {draws}")
    return Finding(TOGETHER, "worlds as they are drawn", errors=tuple(errors))


def _stale(stale: AbstractSet[str]) -> Iterator[str]:
    if stale:
        yield f"constants derived from the model are stale: {', '.join(sorted(stale))}"


def _explosions(base: Probed, probed: Probed) -> Iterator[str]:
    news = [name for name in probed.motion.warnings if name not in base.motion.warnings]
    warned = f" (MuJoCo warns: {', '.join(news)})" if news else ""
    if base.motion.sound.all() and not probed.motion.sound.all():
        yield from (problem + warned for problem in _unsound(probed.motion, probed.rollout))
    elif news:
        yield f"MuJoCo warns: {', '.join(news)}"
    else:
        fastest, usual = (np.abs(one.motion.qvel).max() for one in (probed, base))
        if fastest > WILD * max(usual, 1.0):
            yield f"the model explodes: velocities of {fastest:.2g}, nominally {usual:.2g}"


def _unsound(motion: Motion, rollout: Rollout) -> Iterator[str]:
    """When and under which commands the first world became unstable."""
    if not motion.sound.all():
        step, world = np.argwhere(~motion.sound)[0]
        after = (step + 1) * rollout.simulation.dt
        yield f"the model explodes after {after:.3g} s of {COMMANDS[world % WORLDS]}"


def changed_friction(base: mujoco.MjModel, drawn: mujoco.MjModel) -> frozenset[int]:
    """The geoms whose friction a domain changes."""
    if not same_shapes(base, drawn):
        return frozenset()
    changed = (drawn.geom_friction != base.geom_friction).any(axis=1)
    return frozenset(np.flatnonzero(changed).tolist())
