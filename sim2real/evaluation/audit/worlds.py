"""A world with all its probes, and the reference that it is compared with."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import mujoco

from sim2real.domains import Domain
from sim2real.evaluation.audit.checks import impossible_values, stale_constants
from sim2real.evaluation.audit.effects import Effect, motion_effects, state_effects
from sim2real.evaluation.audit.foreign_worlds import Audited
from sim2real.evaluation.audit.motions import SEED, TWIN, Motion, Rollout, usual_steps
from sim2real.evaluation.audit.states import Forces, States, make_states, probe_states, twin_states


@dataclass(frozen=True)
class Probed:
    """The worlds of one domain, all alike, with their probes."""

    rollout: Rollout
    model: mujoco.MjModel
    motion: Motion
    forces: Forces

    @functools.cached_property
    def impossible(self) -> list[str]:
        """Impossible values of the model."""
        return impossible_values(self.model)

    @functools.cached_property
    def stale(self) -> frozenset[str]:
        """Derived arrays of the model that belong to another one."""
        return frozenset(stale_constants(self.model))


@dataclass(frozen=True)
class Reference:
    """The probes of a base world and of its twin, with which other worlds are compared."""

    base: Probed
    twin: Probed
    states: States

    def effects(self, probed: Probed, steps: int) -> dict[str, Effect]:
        """Every probe of `probed` against the base, in motions of `steps` control steps."""
        three = (self.base, self.twin, probed)
        motions = [one.rollout.upto(steps) for one in three]
        moved = motion_effects(*motions)
        forced = state_effects(*(one.forces for one in three))
        stronger = max(moved["force"], forced["force"], key=lambda effect: effect.times_noise)
        return moved | forced | {"force": stronger}


def make_reference(task: Audited, domain: Domain) -> Reference:
    """The reference that a domain of constants makes."""
    rollout = Rollout(task, domain)
    model = rollout.simulation.world_model(0)
    motion = rollout.upto(usual_steps(rollout.simulation))
    states = make_states(model, motion.some_states(), rollout.start[0], SEED)
    base = Probed(rollout, model, motion, probe_states(model, states))
    beside = Rollout(task, domain, twin=TWIN)
    forces = probe_states(model, twin_states(states, TWIN))
    twin = Probed(beside, model, beside.upto(len(motion.qpos)), forces)
    return Reference(base, twin, states)


def probe(task: Audited, domain: Domain, reference: Reference) -> Probed:
    """The probes of a domain of constants, in the states and with the commands of `reference`."""
    rollout = Rollout(task, domain)
    model = rollout.simulation.world_model(0)
    motion = rollout.upto(len(reference.base.motion.qpos))
    return Probed(rollout, model, motion, probe_states(model, reference.states))
