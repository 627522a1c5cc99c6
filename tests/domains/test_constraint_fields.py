"""Contact pairs, equality constraints and gravity compensation against closed forms and mj_step."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.audit import audit
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

G = 9.81
TASK = '''
from sim2real.task import Task

class Yard(Task):
    """A sled on a floor, a ball on a floor, a hanging bob and a falling stone."""
    control_dt, episode_s = 0.02, 4.0

    def observe(self, world):
        return {"place": world.qpos}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0]}
'''
MODEL = """
<mujoco>
  <option timestep="0.002"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1" contype="0" conaffinity="0"/>
    <body name="sled" pos="0 0 .0999">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="z" type="slide" axis="0 0 1"/>
      <geom name="sole" type="box" size=".3 .3 .1" mass="2" contype="0" conaffinity="0"/>
    </body>
    <body name="ball" pos="0 3 .1">
      <joint name="height" type="slide" axis="0 0 1"/>
      <geom name="shell" size=".1" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="bob" pos="2 0 1">
      <joint name="bob" type="slide" axis="0 0 1"/>
      <geom size=".1" mass="1" contype="0" conaffinity="0"/>
    </body>
    <body name="stone" pos="-2 0 1">
      <joint name="stone" type="slide" axis="0 0 1"/>
      <geom size=".1" mass="1" contype="0" conaffinity="0"/>
    </body>
  </worldbody>
  <contact>
    <pair geom1="floor" geom2="sole" friction=".8 .8 .005 .0001 .0001"/>
    <pair name="rest" geom1="floor" geom2="shell" condim="1" solref=".05 1" solimp=".9 .9 .001"/>
  </contact>
  <equality>
    <joint name="hook" joint1="bob" solref=".05 1" solimp=".9 .9 .001"/>
    <joint name="spare" joint1="stone" active="false"/>
  </equality>
  <actuator><motor name="push" joint="x" gear="1" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("yard")
    (folder / "yard.py").write_text(TASK)
    (folder / "yard.xml").write_text(MODEL)
    return load_task(str(folder / "yard.py"))


def run(task: Task, seconds: float, speed: float = 0.0, **parameter: object) -> Simulation:
    """The world after `seconds` in a domain of one parameter; the sled starts with `speed`."""
    domain = Domain(dynamics=[parameter] if parameter else [])
    simulation = Simulation(task, domain, threads=1)
    velocity = np.zeros((1, 5))
    velocity[0, 0] = speed
    simulation.write_state(simulation.qpos, velocity)
    for _ in range(round(seconds / simulation.dt)):
        simulation.advance(np.zeros((1, 1)))
    return simulation


@pytest.mark.parametrize("friction", [0.3, 0.6])
def test_a_sled_slows_down_by_the_friction_of_its_pair(yard: Task, friction: float) -> None:
    pair = {"field": "pair_friction", "of": "floor+sole", "component": "sliding"}
    moved = run(yard, 0.4, speed=3.0, **pair, set=friction)
    # v = v0 - mu g t; a soft contact lets a little of it go
    assert moved.qvel[0, 0] == pytest.approx(3.0 - friction * G * 0.4, rel=0.02)


@pytest.mark.parametrize("component", ["timeconst", "dmin"])
@pytest.mark.parametrize(("field", "of", "joint"), [("pair", "rest", 2), ("eq", "hook", 3)])
def test_a_soft_constraint_gives_way_by_what_its_parameters_say(
    yard: Task, field: str, of: str, joint: int, component: str
) -> None:
    # At rest 0 = d aref + (1 - d) a0 with aref = -k r, k = 1 / (d tau^2), a0 = -g
    # (MuJoCo's manual, "Computation: Solver parameters"), so that r = -(1 - d) g tau^2.
    nominal = run(yard, 3.0)
    assert nominal.qpos[0, joint] == pytest.approx(-0.1 * G * 0.05**2, rel=0.01)
    if component == "timeconst":
        softer = run(yard, 3.0, field=f"{field}_solref", of=of, component=component, scale=2.0)
        assert softer.qpos[0, joint] == pytest.approx(-0.1 * G * 0.1**2, rel=0.01)
    else:
        domain = Domain(
            dynamics=[
                {"field": f"{field}_solimp", "of": of, "component": one, "set": 0.8}
                for one in ("dmin", "dmax")
            ]
        )
        softer = Simulation(yard, domain, threads=1)
        for _ in range(150):
            softer.advance(np.zeros((1, 1)))
        assert softer.qpos[0, joint] == pytest.approx(-0.2 * G * 0.05**2, rel=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_gravity_compensation_carries_its_share_of_the_weight(yard: Task, share: float) -> None:
    # nothing in the nominal model is compensated: MuJoCo must be brought to look at it at all
    fallen = run(yard, 0.5, field="body_gravcomp", of="stone", set=share)
    # semi-implicit Euler of constant acceleration a: -a h^2 n (n + 1) / 2
    steps, h = 250, 0.002
    expected = -(1 - share) * G * h**2 * steps * (steps + 1) / 2
    assert fallen.qpos[0, 4] == pytest.approx(expected, rel=1e-9, abs=1e-12)


PARAMETERS = [
    ({"field": "pair_friction", "of": "floor+sole", "component": "sliding", "scale": 0.5}, "pair"),
    ({"field": "pair_margin", "of": "rest", "set": 0.01}, "pair"),
    ({"field": "eq_solref", "of": "hook", "component": "dampratio", "set": 0.5}, "equality"),
    ({"field": "body_gravcomp", "of": "ball", "set": 0.3}, "body"),
]


@pytest.mark.parametrize(("parameter", "kind"), PARAMETERS)
def test_a_world_is_a_plain_loop_over_the_model_that_says_so(
    yard: Task, parameter: dict[str, object], kind: str
) -> None:
    spec = yard.spec()
    if kind == "body":
        spec.body("ball").gravcomp = 0.3
    elif parameter["field"] == "pair_friction":
        spec.pairs[0].friction = [0.4, 0.4, 0.005, 0.0001, 0.0001]
    elif kind == "pair":
        spec.pairs[1].margin = 0.01
    else:
        spec.equalities[0].solref = [0.05, 0.5]
    model = spec.compile()
    data = mujoco.MjData(model)
    data.qvel[0] = 1.0
    mujoco.mj_forward(model, data)
    simulation = Simulation(yard, Domain(dynamics=[parameter]), threads=1)
    simulation.write_state(simulation.qpos, np.array([[1.0, 0, 0, 0, 0]]))
    for _ in range(50):
        simulation.advance(np.zeros((1, 1)))
        for _ in range(simulation.substeps):
            mujoco.mj_step(model, data)
    np.testing.assert_array_equal(simulation.qpos[0], data.qpos)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"field": "pair_friction", "of": "floor+shoe", "scale": 2}, r"did you mean 'floor\+sole'"),
        ({"field": "pair_friction", "component": "sliding", "set": -1}, "must be at least 0"),
        ({"field": "pair_friction", "component": "slidng", "set": 1}, "did you mean 'sliding'"),
        ({"field": "pair_friction", "set": 1}, "needs a component: sliding, torsional, rolling"),
        ({"field": "eq_solref", "of": "spare", "scale": 2}, "spare: the constraint is not active"),
        ({"field": "eq_solref", "of": "hoke", "scale": 2}, "unknown equality 'hoke'"),
        ({"field": "eq_solimp", "component": "dmax", "set": 2}, "must be at most 1"),
        ({"field": "body_gravcomp", "of": "bob", "scale": 2}, "it is 0, so a scale has no effect"),
        ({"field": "body_gravcomp", "of": "bob", "set": -1}, "must be at least 0"),
    ],
)
def test_impossible_values_and_names_are_refused(
    yard: Task, parameter: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Simulation(yard, Domain(dynamics=[parameter]), threads=1)


def test_the_audit_says_what_acts_and_why_something_does_not(yard: Task) -> None:
    report = audit(
        yard,
        Domain(
            dynamics=[
                {"field": "pair_friction", "of": "floor+sole", "component": "sliding", "set": 0.2},
                {"field": "pair_friction", "of": "rest", "component": "sliding", "set": 0.2},
                {"field": "pair_solref", "of": "rest", "component": "timeconst", "set": 0.1},
                {"field": "eq_solref", "of": "hook", "component": "timeconst", "set": 0.1},
                {"field": "eq_solimp", "of": "hook", "component": "width", "set": 0.1},
                {"field": "body_gravcomp", "of": "stone", "set": 0.2},
            ]
        ),
    )
    said = {finding.parameter: finding.errors for finding in report.findings}
    assert said == {
        "pair_friction.sliding:floor+sole": (),
        "pair_friction.sliding:rest": (
            "has no effect: its contacts are without friction (condim 1)",
        ),
        "pair_solref.timeconst:rest": (),
        "eq_solref.timeconst:hook": (),
        "eq_solimp.width:hook": (
            "has no effect: dmin equals dmax, so that the impedance is the same at every depth",
        ),
        "body_gravcomp:stone": (),
    }
