"""Targets with a model of their own: what differs from the task's, and what of it has an effect."""

from __future__ import annotations

import io
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from rich.console import Console

from sim2real.cli.audit import audited
from sim2real.domains import Domain
from sim2real.evaluation.audit import AuditReport, Finding, audit, audits
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

TASK = '''
from sim2real.task import Task

class Sled(Task):
    """A box on a floor, pushed along x, with an arm that is commanded to a position."""
    control_dt, episode_s = 0.02, 2.0

    def observe(self, world):
        return {"place": world.qpos, "rate": world.sensor("gyro").data}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0]}
'''
MODEL = """
<mujoco>
  <compiler angle="radian"/>
  <option timestep="0.005" gravity="0 0 -9.81" integrator="Euler" cone="pyramidal"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1" friction="1"/>
    <body name="box" pos="0 0 .1">
      <joint name="x" type="slide" axis="1 0 0" damping="1"/>
      <joint name="z" type="slide" axis="0 0 1"/>
      <geom name="sole" type="box" size=".1 .1 .1" mass="1" friction=".4"/>
      <site name="chip"/>
      <body name="arm" pos="0 0 .2">
        <joint name="arm" axis="0 1 0" damping=".1" armature=".01" range="-1.5 1.5" limited="true"/>
        <geom name="rod" type="capsule" fromto="0 0 0 0 0 .2" size=".01" mass=".2" friction=".3"/>
        <site name="hand" pos="0 0 .2"/>
      </body>
    </body>
  </worldbody>
  <contact><exclude body1="box" body2="arm"/></contact>
  <actuator>
    <motor name="push" joint="x" gear="20" ctrlrange="-1 1"/>
    <position name="hold" joint="arm" kp="4" kv=".2" ctrlrange="-1 1" forcerange="-3 3"/>
  </actuator>
  <sensor><gyro name="gyro" site="hand"/></sensor>
</mujoco>
"""


@pytest.fixture(scope="module")
def sled(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("sled")
    (folder / "sled.py").write_text(TASK)
    (folder / "sled.xml").write_text(MODEL)
    return load_task(str(folder / "sled.py"))


def other(folder: Path, *changes: tuple[str, str], name: str = "other") -> Domain:
    """A domain whose model is that of the sled with some text changed."""
    text = MODEL
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    (folder / f"{name}.xml").write_text(text)
    return Domain(name=name, model=str(folder / f"{name}.xml"))


def found(report: AuditReport, parameter: str) -> Finding:
    (finding,) = [one for one in report.findings if one.parameter == parameter]
    return finding


DIFFERENCES: list[list[tuple[str, str, str, str]]] = [  # before, after, the field, what is told
    [
        ('mass="1"', 'mass="1.5"', "body_mass", "box 1 -> 1.5"),
        ('timestep="0.005"', 'timestep="0.002"', "opt.timestep", "0.005 -> 0.002"),
        ('damping="1"', 'damping="2"', "dof_damping", "x 1 -> 2"),
        ('armature=".01"', 'armature=".02"', "dof_armature", "arm 0.01 -> 0.02"),
        ('gear="20"', 'gear="25"', "actuator_gear", "push number 0 20 -> 25"),
    ],
    [
        ("0 0 -9.81", "0 0 -3.7", "opt.gravity", "z -9.81 -> -3.7"),
        ('"Euler"', '"implicitfast"', "opt.integrator", "euler -> implicitfast"),
        ('kv=".2"', 'kv=".3"', "actuator_biasprm", "hold bias by velocity -0.2 -> -0.3"),
    ],
    [
        ('"pyramidal"', '"elliptic"', "opt.cone", "pyramidal -> elliptic"),
        ("-1.5 1.5", "-1.5 0.7", "jnt_range", "arm upper 1.5 -> 0.7"),
        ("-3 3", "-1 1", "actuator_forcerange", "hold (-3, 3) -> (-1, 1)"),
        ('kp="4"', 'kp="5"', "actuator_gainprm", "hold gain 4 -> 5"),
        ('friction="1"', 'friction="2"', "geom_friction", "floor sliding 1 -> 2"),
    ],
    [
        ('mass="1"', 'mass="1.00001"', "body_mass", "box 1 -> 1.00001"),
        ('size=".1 .1 .1"', 'size=".1 .1 .08"', "geom_size", "sole z 0.1 -> 0.08"),
        ('name="arm" axis', 'name="arm" pos="0 0 .1" axis', "jnt_pos", "arm z 0 -> 0.1"),
        ('"hand" pos=', '"hand" euler="1.5708 0 0" pos=', "site_quat", "hand turned by 90"),
        ('name="sole"', 'name="sole" solref=".05 1"', "geom_solref", "sole timeconst 0.02 -> 0.05"),
    ],
]


@pytest.mark.parametrize("changes", DIFFERENCES)
def test_every_difference_is_reported_and_acts(
    sled: Task, changes: list[tuple[str, str, str, str]], tmp_path: Path
) -> None:
    report = audit(sled, other(tmp_path, *(change[:2] for change in changes)))
    for *_, field, words in changes:
        finding = found(report, f"model.{field}")
        assert finding.description.startswith(words)
        assert finding.verdict == "acts", finding.warnings
        assert finding.ends[0].times_noise > 10
    assert report.passed


def test_differences_that_do_nothing_are_reported_with_the_reason(
    sled: Task, tmp_path: Path
) -> None:
    idle = [
        (
            'body name="arm" pos="0 0 .2"',
            'body name="arm" pos="0 0 .3"',  # the box does not turn
            "body_pos",
            "no joint of the body feels it",
        ),
        (
            'friction=".4"',
            'friction=".6"',
            "geom_friction",
            "sole is asked to have 0.6, but floor's friction 1.0 is larger, and MuJoCo takes the",
        ),
        ('<site name="chip"/>', '<site name="chip" pos="1 0 0"/>', "site_pos", "in none of the st"),
        ('"0 0 -9.81"', '"0 1 -9.81"', "opt.gravity", "no joint lets anything move in that"),
        ("cone=", 'wind="1 0 0" cone=', "opt.wind", "density and viscosity of the medium are 0"),
    ]
    changes = [('mass="1"', 'mass="1.5"'), *((before, after) for before, after, *_ in idle)]
    report = audit(sled, other(tmp_path, *changes))
    for *_, field, reason in idle:
        finding = found(report, f"model.{field}")
        assert finding.verdict == "warning"
        assert f"has no effect: {reason}" in finding.warnings[0]


def test_a_floor_that_is_missing_is_an_error(sled: Task, tmp_path: Path) -> None:
    floor = re.search(r"<geom name=\"floor\".*?/>", MODEL)
    assert floor is not None
    report = audit(sled, other(tmp_path, (floor.group(), "")))
    assert report.errors == (
        "model: there is nothing to stand on: the task's model has floor, fixed to the world",
    )
    assert found(report, "model.geom").warnings == ("lacks floor",)


def test_a_model_that_is_the_tasks_own_is_an_error(sled: Task, tmp_path: Path) -> None:
    same = audit(sled, other(tmp_path, ('name="chip"', 'name="chip" rgba="1 0 0 1"')))
    assert same.errors == (
        "model: has no effect: it is the world of the task's own model, no probe differs",
    )
    heavier = other(tmp_path).model_copy(
        update={
            "dynamics": Domain(
                dynamics=[{"field": "body_mass", "of": "box", "scale": 2.0}]
            ).dynamics
        }
    )
    assert audit(sled, heavier).passed  # its parameters set it apart


def test_a_motor_for_a_servo_is_reported_with_what_to_do(sled: Task, tmp_path: Path) -> None:
    servo = '<position name="hold" joint="arm" kp="4" kv=".2" ctrlrange="-1 1" forcerange="-3 3"/>'
    motor = '<motor name="hold" joint="arm" ctrlrange="-2 2"/>'
    domain = other(tmp_path, (servo, motor))
    with pytest.warns(UserWarning, match="beside the model of task"):
        finding = found(audit(sled, domain), "model")
    assert finding.warnings == (
        "actuator hold has the control range [-2.0, 2.0], not [-1.0, 1.0]",
        "actuator hold is a motor, in the task a position servo; a control is a target there and "
        "not a force: give it <position> with the kp and kv of the real drive",
    )


# -- published targets ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> list[AuditReport]:
    """Hoppers as the off-dynamics benchmark has them: the friction of the robot alone, scaled."""
    text = load_task("hopper").model_file.read_text()

    def scaled(match: re.Match[str], factor: float) -> str:
        return f'friction="{float(match.group(1)) * factor:g}"'

    domains = []
    for factor in (0.1, 0.5, 2.0):
        file = tmp_path_factory.mktemp("odrl") / f"hopper_{factor}.xml"
        file.write_text(re.sub(r'friction="([\d.]+)"', lambda m, f=factor: scaled(m, f), text))
        domains.append(Domain(name=f"friction {factor}", model=str(file)))
    return audits("hopper", domains)


def test_published_friction_targets_are_the_same_world(published: list[AuditReport]) -> None:
    lowest, low, high = published
    assert lowest.passed
    assert low.errors == ("model: is the same world as 'friction 0.1', no probe differs",)
    assert high.passed


def test_friction_is_compared_as_it_acts(published: list[AuditReport]) -> None:
    lowest, low, high = published
    for report in (lowest, low):
        acting = found(report, "model.contact friction")
        assert acting.description == "as it acts: floor+foot_geom 2 -> 1"
        hidden = found(report, "model.geom_friction").warnings
        assert len(hidden) == 3  # of torso, thigh and leg, which stay below the floor's
        assert all("floor's friction 1.0 is larger" in one for one in hidden)
    assert found(lowest, "model.contact friction").warnings == (
        "floor+foot_geom 2 -> 1: foot_geom is asked to have 0.2, but floor's friction 1.0 is "
        "larger, and MuJoCo takes the maximum",
    )
    assert "floor+foot_geom 2 -> 4" in found(high, "model.contact friction").description


def test_the_tables_show_what_differs(published: list[AuditReport]) -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    for table in audited(published[0]):
        console.print(table)
    text = console.export_text()
    assert "foot_geom sliding 2 -> 0.2" in text
    assert "floor+foot_geom 2 -> 1" in text


def test_legs_of_another_maker_are_put_in_order_and_move_alike(tmp_path: Path) -> None:
    root = ET.fromstring(load_task("quadruped").model_file.read_text())
    trunk = next(body for body in root.iter("body") if body.get("name") == "trunk")
    legs = [child for child in trunk if child.tag == "body"]
    places, drives = [list(trunk).index(leg) for leg in legs], root.find("actuator")
    assert [leg.get("name") for leg in legs] == ["FR_hip", "FL_hip", "RR_hip", "RL_hip"]
    assert drives is not None
    listed = list(drives)
    for place, leg in zip(places, (1, 0, 3, 2), strict=True):  # the front left leg first
        trunk[place] = legs[leg]
    drives[:] = [one for leg in (1, 0, 3, 2) for one in listed[3 * leg : 3 * leg + 3]]
    (tmp_path / "left.xml").write_text(ET.tostring(root, encoding="unicode"))
    ours = Simulation("quadruped", num_envs=2, threads=1)
    with pytest.warns(UserWarning, match="are used in the order of the task's"):
        theirs = Simulation(
            "quadruped", Domain(model=str(tmp_path / "left.xml")), num_envs=2, threads=1
        )
    rng = np.random.default_rng(0)
    for _ in range(20):
        action = rng.uniform(-0.3, 0.3, (2, 12))
        one, two = ours.step(action), theirs.step(action)
        np.testing.assert_array_equal(one.observation, two.observation)
