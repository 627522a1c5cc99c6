"""Draws that change within an episode, against a plain loop of `mj_step` and closed forms."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
import yaml

from sim2real.config import parse
from sim2real.domains import Domain, load_domain
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.randomness import COURSE, EpisodeGenerators

ROBOTS = Path(__file__).parent.parent / "robots"
SLIDER, BALL = str(ROBOTS / "slider.py"), str(ROBOTS / "ball.py")
MASS = {"field": "body_mass", "of": "torso", "scale": {"uniform": [1.5, 2.0]}}


def simulate(task: str, num_envs: int = 1, **sections: Any) -> Simulation:
    return Simulation(task, Domain(**sections), num_envs, seed=3, threads=1)


def share(course: str, time: float) -> float:
    """How much of the value is there: a step at 0.05 s, or a ramp from 0.05 to 0.15 s."""
    if course == "step":
        return float(time > 0.05 - 1e-9)
    return float(np.clip((time - 0.05) / 0.1, 0, 1))


COURSES = {"step": {"step": 0.05}, "ramp": {"ramp": 0.05, "over": 0.1}}


@pytest.mark.parametrize("kind", COURSES)
def test_a_mass_that_changes_equals_a_plain_loop(kind: str) -> None:
    simulation = simulate("hopper", dynamics=[{**MASS, "course": COURSES[kind]}], num_envs=3)
    scale = simulation.contexts()[1]["body_mass:torso"]
    nominal = load_task("hopper").compile()
    model, data = load_task("hopper").compile(), mujoco.MjData(nominal)
    scratch, torso = mujoco.MjData(nominal), nominal.body("torso").id
    data.qpos[:], data.qvel[:] = simulation.qpos[1], simulation.qvel[1]
    rng = np.random.default_rng(0)
    for step in range(30):
        action = rng.uniform(-1, 1, (3, 3))
        factor = 1 + share(kind, step * simulation.dt) * (scale - 1)
        model.body_mass[torso] = nominal.body_mass[torso] * factor
        model.body_inertia[torso] = nominal.body_inertia[torso] * factor
        mujoco.mj_setConst(model, scratch)
        simulation.advance(action)
        data.ctrl[:] = action[1]
        mujoco.mj_step(model, data, simulation.substeps)
        np.testing.assert_allclose(simulation.qpos[1], data.qpos, rtol=0, atol=1e-12)
        if share(kind, step * simulation.dt) == 1:
            written = simulation.world_model(1)
            np.testing.assert_array_equal(written.body_mass, model.body_mass)
            np.testing.assert_array_equal(written.body_subtreemass, model.body_subtreemass)
            np.testing.assert_array_equal(written.dof_invweight0, model.dof_invweight0)
    assert simulation.contexts()[1]["body_mass:torso"] == scale  # what was drawn is reported


def test_everything_is_nominal_before_a_step_and_drawn_after_it() -> None:
    entries: dict[str, Any] = {
        "dynamics": [
            {**MASS, "scale": 1.7},
            {"field": "opt.gravity", "component": "z", "add": 2.0},
            {"field": "dof_damping", "of": "foot_joint", "set": 3.0},
        ],
        "actuation": [{"strength": 0.5}, {"dead_zone": 0.2}, {"delay": 0.01}],
        "sensing": [{"bias": 0.1, "of": "position"}, {"scale": 0.5, "of": "velocity"}],
        "disturbances": [
            {"force": 20.0, "of": "torso", "direction": "x"},
            {"torque": 1.0, "of": "torso", "direction": "y"},
            {"slope": 0.1},
        ],
    }
    at = {"course": {"step": 0.04}}
    changing = {name: [{**one, **at} for one in section] for name, section in entries.items()}
    ours = simulate("hopper", **changing)
    before, after = simulate("hopper", actuation=[{"delay": 0.0}]), simulate("hopper", **entries)
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-1, 1, (1, 3))
        np.testing.assert_array_equal(
            ours.advance(action).observation, before.advance(action).observation
        )
    snapshot = ours.snapshot()
    again = simulate("hopper", **changing)
    again.restore(snapshot)
    after.write_state(ours.qpos, ours.qvel)
    seen = []
    for _ in range(10):
        action = rng.uniform(-1, 1, (1, 3))
        seen.append([one.advance(action).observation for one in (ours, again, after)])
        np.testing.assert_array_equal(seen[-1][0], seen[-1][1])
        model, expected = ours.world_model(0), after.world_model(0)
        for name in ("body_mass", "dof_damping", "actuator_gainprm", "actuator_delay"):
            np.testing.assert_array_equal(getattr(model, name), getattr(expected, name), name)
        np.testing.assert_array_equal(model.opt.gravity, expected.opt.gravity)
        np.testing.assert_array_equal(ours.xfrc_applied, after.xfrc_applied)
    assert ours.context_names.count("strength.step") == 1


def test_a_drift_is_a_walk_in_its_range() -> None:
    drift = {"scale": {"uniform": [0.9, 1.1]}, "course": {"drift": 0.3}}
    simulation = simulate(SLIDER, dynamics=[{"field": "body_mass", **drift}], num_envs=2)
    name = "body_mass:mass"
    value = simulation.contexts()[1][name]
    numbers = EpisodeGenerators(3).at(1, COURSE, 0, key_of(name)).standard_normal(32)
    seen = []
    for step in range(30):
        value = np.clip(value + (0.3 * np.sqrt(0.02) * numbers[step] if step else 0.0), 0.9, 1.1)
        simulation.advance(np.zeros((2, 1)))
        mass = simulation.world_model(1).body("mass").mass[0]
        assert mass == pytest.approx(2.0 * value, rel=1e-12)
        seen.append(value)
    assert 0.9 in seen or 1.1 in seen
    assert len(set(seen)) > 10


def test_an_episode_does_not_know_who_shares_its_batch_and_snapshots_go_on() -> None:
    sections: dict[str, Any] = {
        "dynamics": [{**MASS, "course": {"drift": {"uniform": [0.1, 0.5]}}}],
        "actuation": [
            {"strength": {"uniform": [0.5, 0.9]}, "course": {"step": {"uniform": [0.0, 0.2]}}}
        ],
        "sensing": [{"bias": 0.1, "course": {"ramp": {"uniform": [0, 0.1]}, "over": 0.2}}],
    }
    few, many = (simulate("hopper", num_envs=n, **sections) for n in (2, 5))
    few.reset(episodes=[3, 4])
    actions = np.random.default_rng(0).uniform(-1, 1, (40, 5, 3))
    for step, action in enumerate(actions):
        if step == 20:
            fresh = simulate("hopper", num_envs=5, **sections)
            fresh.restore(many.snapshot())
            many = fresh
        ours, theirs = few.advance(action[3:]), many.advance(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation[3:])
    few.reset(episodes=[3, 4])
    again = simulate("hopper", num_envs=5, **sections)
    np.testing.assert_array_equal(few.observation, again.observation[3:])


def test_the_context_of_a_critic_is_the_present() -> None:
    step = {"scale": 2.0, "course": {"step": 0.04}}
    domain = Domain(dynamics=[{"field": "body_mass", **step}])
    simulation = Simulation(SLIDER, domain, privileged=True)
    column = simulation.observation_terms[-1].labels.index("context[body_mass:mass]")
    width = simulation.observation_terms[-1].size
    seen = [simulation.observation[0, -width + column]]
    for _ in range(4):
        seen.append(simulation.advance(np.zeros((1, 1))).observation[0, -width + column])
    assert seen == [1.0, 1.0, 1.0, 2.0, 2.0]
    assert simulation.contexts()[0]["body_mass:mass"] == 2.0


def test_a_course_is_said_in_words_and_survives_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        """tired:
  actuation:
    - {strength: 0.6, course: {ramp: 1.0, over: {uniform: [2, 4]}}}
  sensing:
    - {bias: 0.1, of: position, course: {step: {uniform: [1, 3]}}}
  dynamics:
    - {field: dof_damping, scale: {uniform: [0.5, 2]}, course: {drift: 0.1}}
  disturbances:
    - {force: 5, of: torso, direction: x, course: {step: 0.5}}
"""
    )
    domain = load_domain("hopper", f"{tmp_path / 'mine.yaml'}:tired")
    assert domain.describe() == [
        "dof_damping × 0.5 to 2 drifting by 0.1 a square root of a second",
        "actuator strength × 0.6 reached from 1 s on over 2 to 4 s",
        "sensor bias of position + 0.1 from 1 to 3 s on",
        "x force of torso 5 N from 0.5 s on",
    ]
    assert parse(Domain, domain.plain() | {"name": "tired"}, "again") == domain
    assert not Domain(sensing=domain.sensing).is_constant
    assert Domain(disturbances=domain.disturbances).is_constant


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("dynamics", {**MASS, "course": {}}, "exactly one of step, ramp, drift, every; got none"),
        ("dynamics", {**MASS, "course": {"step": 1, "drift": 1}}, "got step, drift"),
        ("dynamics", {**MASS, "course": {"ramp": 1}}, "a ramp needs 'over'"),
        ("dynamics", {**MASS, "course": {"step": 1, "over": 1}}, "'over' is for a ramp"),
        ("dynamics", {**MASS, "course": {"step": -1}}, "step must be at least 0 and bounded"),
        ("dynamics", {**MASS, "scale": 2.0, "course": {"drift": 1}}, "within the range .*got 2"),
        (
            "dynamics",
            {"field": "link_length", "of": "leg", "scale": 1.1, "course": {"step": 1}},
            "built into the model",
        ),
        (
            "dynamics",
            {"field": "body_mass", "set": 1.0, "shared": True, "course": {"step": 1}},
            "its elements differ",
        ),
        ("actuation", {"noise": 0.1, "course": {"step": 1}}, "noise takes no course"),
        ("actuation", {"repeat": 2, "course": {"ramp": 1, "over": 1}}, "only take a step"),
        ("actuation", {"rate_limit": 2, "course": {"step": 1}}, "it can only drift"),
        ("sensing", {"rate": 20, "course": {"step": 1}}, "rate takes no course"),
        (
            "disturbances",
            {"push": 1, "of": "torso", "every": 1, "course": {"step": 1}},
            "push takes no course",
        ),
    ],
)
def test_impossible_courses_are_refused(section: str, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation("hopper", parse(Domain, {section: [entry]}, "the domain"))


def test_the_page_shows_a_domain_that_binds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "domains.md").read_text()
    (tired,) = re.findall(r"```yaml\n(tired:.*?)```", page, re.DOTALL)
    names = simulate("hopper", **yaml.safe_load(tired)["tired"]).context_names
    assert {"strength.ramp", "strength.over", "payload.mass.step", "dof_damping.drift"} < {*names}
