"""Audits of environments that are no tasks: Gymnasium's, or a user's own."""

from pathlib import Path

import numpy as np
import pytest

import sim2real as s2r
from sim2real.cli.audit import Audit
from sim2real.errors import UserError
from sim2real.evaluation.audit import auditor
from sim2real.evaluation.audit.foreign_worlds import ForeignWorlds, context_names_of
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.foreign import ForeignEnv, find_foreign

ROBOTS = Path(__file__).parents[2] / "robots"


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROBOTS))


def test_what_acts_and_what_does_not_in_an_environment_of_a_users_own():
    domain = s2r.Domain(
        name="worn",
        dynamics=[
            {"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}},
            {"field": "geom_friction", "component": "sliding", "scale": 0.5},  # nothing touches it
        ],
        actuation=[{"strength": {"uniform": [0.5, 1.0]}}, {"delay": 0.04}],
        sensing=[{"bias": 0.1, "of": "observation"}],
        disturbances=[{"force": 3.0, "of": "mass", "direction": "x"}],
    )
    report = s2r.audit("slider_env:make", domain)
    found = {one.parameter: one for one in report.findings}
    dead = [name for name, one in found.items() if one.errors]
    assert dead == ["geom_friction.sliding:box"]
    assert "nothing" in found[dead[0]].errors[0] or "no contact" in found[dead[0]].errors[0]
    assert report.task == "slider_env:make"
    lighter, heavier = found["body_mass:mass"].ends
    assert (lighter.name, heavier.name) == ("low", "high")
    # 3 N at the rail: a mass of 1 or 4 kg in place of 2 kg accelerates 2 and 1/2 as much
    np.testing.assert_allclose(lighter.changes["acceleration"], 2 * heavier.changes["acceleration"])


def test_worlds_are_those_of_a_task_of_the_same_motion():
    ours = Simulation(str(ROBOTS / "slider.py"), num_envs=2)
    theirs = ForeignWorlds(find_foreign("slider_env:make"), s2r.Domain(), 2, seed=0)
    assert (theirs.dt, theirs.episode_steps) == (0.02, 20)
    ours.write_state(theirs.qpos, theirs.qvel)
    push = np.array([[0.5], [-0.25]])
    theirs.push(push)
    ours.qvel[:] += push
    for step in range(25):  # past the end of the environment's episode
        action = np.array([[0.5], [-1.0]], dtype=np.float32) * (-1) ** step
        made = theirs.advance(action)
        ours.advance(action)
        np.testing.assert_allclose(theirs.qpos, ours.qpos, atol=1e-12)
        np.testing.assert_allclose(made.observation[:, 1], ours.qvel[:, 0], atol=1e-12)
        assert not made.unstable.any()
    assert not theirs.warning_counts.any()


def test_the_verb_takes_a_gymnasium_id(tmp_path):
    worlds = tmp_path / "worlds.yaml"
    worlds.write_text("heavy: {about: x, dynamics: [{field: body_mass, of: pole, scale: 2.0}]}\n")
    outcome = Audit(task="InvertedPendulum-v5", domain=f"{worlds}:heavy").run()
    assert outcome.code == 0
    assert outcome.data["task"] == "InvertedPendulum-v5"
    with pytest.raises(UserError, match=r"no domains of its own: name one, such as --domain my_"):
        Audit(task="InvertedPendulum-v5").run()
    with pytest.raises(UserError, match=r"no domains of its own, such as 'hard'; allowed: 'my_"):
        Audit(task="InvertedPendulum-v5", domain="hard").run()
    # gymnasium-robotics, once imported, registers this id anew, and gives another reason
    with pytest.raises(UserError, match=r"^HalfCheetah-v3 cannot be made: .*mujoco"):
        Audit(task="HalfCheetah-v3", domain=f"{worlds}:heavy").run()
    with pytest.raises(UserError, match="CartPole-v1 is no MuJoCo environment"):
        s2r.audit("CartPole-v1", s2r.Domain())


def test_names_of_a_domain_are_found_without_another_environment(monkeypatch):
    made = []
    make = ForeignEnv.make
    monkeypatch.setattr(ForeignEnv, "make", lambda self: made.append(self) or make(self))
    env = find_foreign("slider_env:make")
    for scale in (0.5, 2.0):
        domain = s2r.Domain(dynamics=[{"field": "body_mass", "scale": {"uniform": [0.1, scale]}}])
        assert context_names_of(env, domain) == ("body_mass:mass",)
    assert len(made) == 1
    with pytest.raises(UserError, match="a foreign environment cannot have keyframe"):
        context_names_of(env, s2r.Domain(keyframe="home"))


def test_a_long_audit_shows_where_it_is(monkeypatch, capsys):
    domain = s2r.Domain(name="worn", actuation=[{"strength": 0.5}, {"delay": 0.04}])
    s2r.audit("slider_env:make", domain)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(auditor, "PATIENCE_S", 0.0)
    s2r.audit("slider_env:make", domain, progress=True)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "audit of worn: strength:push, 1 of 2"
    assert second == "audit of worn: delay, 2 of 2"
