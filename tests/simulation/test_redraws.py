"""Draws that are made anew within an episode, against a plain loop of `mj_step`."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
import pytest

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.randomness import COURSE, EpisodeGenerators

MASS = {"field": "body_mass", "of": "torso", "scale": {"uniform": [0.5, 2.0]}}
EVERY = {"every": {"uniform": [0.02, 0.06]}}
SECTIONS: dict[str, Any] = {
    "dynamics": [{**MASS, "course": EVERY}, {"field": "dof_damping", "add": {"uniform": [0, 1]}}],
    "actuation": [{"strength": {"uniform": [0.5, 0.9]}, "course": {"every": 0.03}}],
    "sensing": [{"bias": {"normal": [0, 0.1]}, "of": "position", "course": EVERY}],
    "disturbances": [
        {"force": {"uniform": [-9, 9]}, "of": "torso", "direction": "x", "course": {"every": 0.05}}
    ],
}


def simulate(num_envs: int, threads: int = 1, **sections: Any) -> Simulation:
    return Simulation("hopper", Domain(**sections), num_envs, seed=3, threads=threads)


def test_a_mass_that_is_drawn_anew_equals_a_plain_loop() -> None:
    simulation, name = simulate(3, dynamics=[{**MASS, "course": EVERY}]), "body_mass:torso"
    factor = drawn = simulation.contexts()[1][name]
    generators, key = EpisodeGenerators(3), key_of(name)
    blocks = [generators.at(1, COURSE, block, key).random((2, 32)) for block in range(2)]
    intervals, values = np.concatenate(blocks, axis=1)
    nominal = load_task("hopper").compile()
    model, data = load_task("hopper").compile(), mujoco.MjData(nominal)
    scratch, torso = mujoco.MjData(nominal), nominal.body("torso").id
    data.qpos[:], data.qvel[:] = simulation.qpos[1], simulation.qvel[1]
    rng, end, seen = np.random.default_rng(0), 0.0, set()
    for step in range(40):
        if end <= step * simulation.dt + 1e-9:
            end += 0.02 + 0.04 * intervals[step]
            factor = 0.5 + 1.5 * values[step] if step else drawn
        seen.add(factor)
        model.body_mass[torso] = nominal.body_mass[torso] * factor
        model.body_inertia[torso] = nominal.body_inertia[torso] * factor
        mujoco.mj_setConst(model, scratch)
        action = rng.uniform(-1, 1, (3, 3))
        simulation.advance(action)
        data.ctrl[:] = action[1]
        mujoco.mj_step(model, data, simulation.substeps)
        np.testing.assert_allclose(simulation.qpos[1], data.qpos, rtol=0, atol=1e-12)
        written = simulation.world_model(1)
        np.testing.assert_array_equal(written.body_mass, model.body_mass)
        np.testing.assert_array_equal(written.dof_invweight0, model.dof_invweight0)
    assert 0.32 / 0.06 < len(seen) < 0.32 / 0.02 + 1
    assert simulation.contexts()[1][name] == drawn  # the first one is reported


def test_a_number_of_seconds_is_a_period() -> None:
    simulation = simulate(
        2, actuation=[{"strength": {"uniform": [0, 1]}, "course": {"every": 0.03}}]
    )
    gains = [simulation.world_model(0).actuator_gainprm[:, 0]]
    for _ in range(30):  # of 0.008 s: an interval ends in 0.03, 0.06, 0.09, 0.12, ... s
        simulation.advance(np.zeros((2, 3)))
        gains.append(simulation.world_model(0).actuator_gainprm[:, 0])
    changes = [step for step in range(30) if (gains[step + 1] != gains[step]).all()]
    assert changes == [int(np.ceil(0.03 * k / 0.008)) for k in range(1, 8)]
    assert all((gains[step + 1] == gains[step]).all() for step in range(30) if step not in changes)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_episode_does_not_know_who_shares_its_batch_and_snapshots_go_on(threads: int) -> None:
    alone, many = simulate(1, **SECTIONS), simulate(8, threads, **SECTIONS)
    alone.reset(episodes=[5])
    actions = np.random.default_rng(0).uniform(-1, 1, (70, 8, 3))
    for step, action in enumerate(actions):
        if step == 37:
            fresh = simulate(8, **SECTIONS)
            fresh.restore(many.snapshot())
            many = fresh
        ours, theirs = alone.advance(action[5:6]), many.advance(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation[5:6])
    alone.reset(episodes=[5])
    np.testing.assert_array_equal(alone.observation, simulate(8, **SECTIONS).observation[5:6])


def test_worlds_that_are_not_stepped_keep_their_values() -> None:
    both, one = simulate(2, **SECTIONS), simulate(2, **SECTIONS)
    actions = np.random.default_rng(0).uniform(-1, 1, (60, 2, 3))
    for action in actions:
        one.advance(action, np.array([False, True]))
    for action in actions:
        one.advance(action, np.array([True, False]))
        both.advance(action)
    np.testing.assert_array_equal(one.observation, both.observation)


def test_the_context_of_a_critic_is_the_present() -> None:
    domain = Domain(dynamics=[{**MASS, "course": {"every": 0.02}}])
    simulation = Simulation("hopper", domain, privileged=True, threads=1)
    nominal, seen = load_task("hopper").compile().body("torso").mass[0], set()
    for _ in range(20):
        told = simulation.advance(np.zeros((1, 3))).observation[0, -1]
        mass = simulation.world_model(0).body("torso").mass[0]
        assert mass == pytest.approx(nominal * told, rel=1e-12)
        seen.add(told)
    assert len(seen) == 8  # 20 steps of 0.008 s: seven intervals of 0.02 s end


def test_values_are_spread_as_the_distribution_says() -> None:
    choice = {"field": "body_mass", "scale": {"choice": [1.0, 2.0, 4.0]}, "course": {"every": 0.04}}
    slider = str(__file__).replace("simulation/test_redraws.py", "robots/slider.py")
    simulation = Simulation(slider, Domain(dynamics=[choice]), 300, privileged=True, threads=1)
    seen = [simulation.advance(np.zeros((300, 1))).observation[:, -1] for _ in range(40)]
    values, counts = np.unique(np.concatenate(seen[2::2]), return_counts=True)
    np.testing.assert_array_equal(values, [1.0, 2.0, 4.0])
    share, expected = counts / counts.sum(), 1 / 3
    deviation = np.sqrt(expected * (1 - expected) / counts.sum())
    assert (np.abs(share - expected) < 4 * deviation).all()


def test_it_is_said_in_words_and_survives_plain_data() -> None:
    domain = Domain(**SECTIONS)
    assert domain.describe() == [
        "body_mass of torso × 0.5 to 2 drawn anew every 0.02 to 0.06 s",
        "dof_damping + 0 to 1",
        "actuator strength × 0.5 to 0.9 drawn anew every 0.03 s",
        "sensor bias of position + 0 ± 0.1 drawn anew every 0.02 to 0.06 s",
        "x force of torso -9 to 9 N drawn anew every 0.05 s",
    ]
    assert parse(Domain, domain.plain() | {"name": "custom"}, "again") == domain
    assert not domain.is_constant


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("dynamics", {**MASS, "course": {"every": -1}}, "every must be at least 0 and bounded"),
        ("dynamics", {**MASS, "course": {"every": 0}}, "shorter than a control step"),
        ("dynamics", {**MASS, "course": {"every": 8}}, "as long as an episode"),
        ("dynamics", {**MASS, "scale": 2.0, "course": EVERY}, "what has a range .*got 2"),
        ("dynamics", {**MASS, "course": {"every": 1, "step": 1}}, "got step, every"),
        ("dynamics", {**MASS, "course": EVERY, "when": "startup"}, "drop 'when' or the course"),
        (
            "dynamics",
            {"field": "link_length", "of": "leg", "scale": {"uniform": [1, 2]}, "course": EVERY},
            "built into the model",
        ),
        ("actuation", {"noise": {"normal": [0, 1]}, "course": EVERY}, "noise takes no course"),
        ("sensing", {"rate": {"uniform": [20, 30]}, "course": EVERY}, "rate takes no course"),
    ],
)
def test_impossible_intervals_are_refused(section: str, entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation("hopper", parse(Domain, {section: [entry]}, "the domain"))


def test_what_is_drawn_together_is_not_drawn_anew() -> None:
    other = {"field": "dof_damping", "scale": {"uniform": [0.5, 2.0]}, "shared": True}
    anew = {**MASS, "course": EVERY}
    together = {"parameters": ["body_mass", "dof_damping"], "correlation": 0.5}
    with pytest.raises(UserError, match="body_mass:torso: it is grouped or correlated"):
        simulate(1, dynamics=[anew, other], correlated=[together])
    with pytest.raises(UserError, match="it is grouped or correlated"):
        simulate(1, dynamics=[{**one, "group": "size"} for one in (anew, other)])
