"""The states, motions and differences that an audit is made of."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.domains.distributions.distribution import Choice, Constant, Normal, Uniform
from sim2real.evaluation.audit.effects import motion_effects
from sim2real.evaluation.audit.motions import SEED, Motion, Rollout
from sim2real.evaluation.audit.parts import Part, bare, ends_of, parts
from sim2real.evaluation.audit.states import make_states, probe_states
from sim2real.evaluation.audit.worlds import make_reference
from sim2real.registry import load_task
from sim2real.simulation import Simulation


def motion(qpos: np.ndarray, sound: np.ndarray | None = None) -> Motion:
    """A rollout of one world of which only the positions (t, 1, nq) matter."""
    steps = len(qpos)
    one = np.ones((steps, 1, 1))
    sound = np.ones((steps, 1), dtype=bool) if sound is None else sound
    return Motion(qpos, qpos, one, one, one[..., 0], sound, {})


def test_noise_is_counted_from_the_first_difference() -> None:
    """The twin is 1e-12 off from the start; a change of 1e-6 at the end is a million times that."""
    way = np.linspace(0.0, 1.0, 100)[:, None, None]
    late = way.copy()
    late[60:] += 1e-6
    effects = motion_effects(motion(way), motion(way + 1e-12), motion(late))
    assert effects["trajectory"].times_noise == pytest.approx(1e6, rel=1e-3)
    # root mean square of the difference over that of the way: 1e-6 sqrt(0.4) / sqrt(1/3)
    assert effects["trajectory"].change == pytest.approx(1e-6 * (0.4 * 3) ** 0.5, rel=0.02)
    assert effects["settled pose"].change == pytest.approx(1e-6)
    nothing = motion_effects(motion(way), motion(way + 1e-12), motion(way))
    assert all(effect.change == effect.times_noise == 0 for effect in nothing.values())


def test_what_is_unsound_is_not_compared() -> None:
    way = np.linspace(0.0, 1.0, 100)[:, None, None]
    wild = way.copy()
    wild[50:] = np.inf
    sound = (np.arange(100) < 50)[:, None]
    effects = motion_effects(motion(way), motion(way + 1e-12), motion(wild, sound))
    assert effects
    assert all(effect.change == 0 for effect in effects.values())


def test_states_cover_contacts_and_limits() -> None:
    task = load_task("humanoid")
    reference = make_reference(task, Domain())
    model, states = reference.base.model, reference.states
    forces = probe_states(model, states)
    again = probe_states(model, states)
    assert np.array_equal(forces.acceleration, again.acceleration)
    floor = model.geom("floor").id
    touching = forces.contacts.geoms[(forces.contacts.geoms == floor).any(axis=1)]
    assert len(np.unique(touching)) > 12  # most of its 17 geoms, and the floor
    limited = np.flatnonzero(model.jnt_limited)
    place = model.jnt_qposadr[limited]
    assert (states.qpos[:, place].min(axis=0) < model.jnt_range[limited, 0]).all()
    assert (states.qpos[:, place].max(axis=0) > model.jnt_range[limited, 1]).all()
    same = make_states(
        model, reference.base.motion.some_states(), reference.base.rollout.start[0], SEED
    )
    assert np.array_equal(same.qpos, states.qpos)


def test_commands_do_not_depend_on_the_domain() -> None:
    one, other = (Rollout(load_task("hopper"), domain) for domain in (Domain(), load("mild")))
    assert np.array_equal(one._commands, other._commands)
    assert not one._commands[:, 0].any()
    assert set(np.unique(one._commands[:, 2])) == {-1.0, 1.0}
    assert np.abs(one._commands[:, 3]).max() <= 0.1


def test_a_longer_rollout_goes_on_from_the_shorter() -> None:
    task = load_task("hopper")
    once = Rollout(task, Domain()).upto(30)
    twice = Rollout(task, Domain())
    twice.upto(10)
    assert np.array_equal(twice.upto(30).qpos, once.qpos)
    assert len(Rollout(load_task("reacher"), Domain()).upto(10_000).qpos) == 50  # an episode


def load(name: str) -> Domain:
    return load_domain("hopper", name)


def taken_apart(task: str, domain: Domain) -> list[Part]:
    loaded = load_task(task)
    names = Simulation(loaded, domain, threads=1).context_names
    return list(parts(loaded, domain, names))


def test_every_number_of_the_context_is_a_part() -> None:
    domain = load("randomized")
    found = taken_apart("hopper", domain)
    names = Simulation("hopper", domain, threads=1).context_names
    assert tuple(part.name for part in found if part.drawn) == names
    assert [part.name for part in found if not part.drawn] == ["sensor_noise"]
    assert found[0].ends() == [("low", 0.7), ("high", 1.3)]


def test_a_part_alone_and_with_others() -> None:
    masses = {"field": "body_mass", "of": ["torso", "foot"], "scale": {"uniform": [0.8, 1.2]}}
    domain = Domain(dynamics=[masses], actuation=[{"delay": {"uniform": [0.0, 0.01]}}])
    torso = taken_apart("hopper", domain)[0]
    (alone,) = torso.alone(0.8).dynamics
    assert (alone.of, alone.scale) == (("torso",), Constant(0.8))
    company = torso.with_others(1, 0.8)
    assert [(one.of, one.scale) for one in company.dynamics] == [
        (("foot",), Constant(1.2)),
        (("torso",), Constant(0.8)),
    ]
    assert company.actuation[0].distribution == Constant(0.01)
    assert torso.with_others(0, None, absent=True).dynamics[0].of == ("foot",)
    assert bare(domain).dynamics == ()


def test_ends() -> None:
    assert ends_of(Uniform(1.0, 2.0)) == (1.0, 2.0)
    assert ends_of(Choice((3.0, 1.0, 2.0))) == (1.0, 3.0)
    assert ends_of(Normal(0.0, 1.0)) == pytest.approx((-2.326, 2.326), abs=1e-3)
