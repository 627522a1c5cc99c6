"""Models of others as targets: found, compiled at arm's length, matched by name or by a mapping."""

from __future__ import annotations

import contextlib
import shutil
import sys
import types
from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real import untrusted_model
from sim2real.domains import Domain, load_domain, load_domains
from sim2real.errors import UserError
from sim2real.evaluation.provenance import content
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

ROBOT = """
<mujoco>
  <worldbody>
    <geom name="ground" type="plane" size="5 5 .1"/>
    <body name="base" pos="0 0 .5">
      <freejoint{root}/>
      <geom name="hull" type="box" size=".2 .1 .05" mass="{mass}"/>
      <site name="{imu}"/>
      <body name="{left}_leg" pos="0 .1 0">
        <joint name="{left}_hip" axis="0 1 0" damping=".5"/>
        <geom type="capsule" size=".02" fromto="0 0 0 0 0 -.2" mass=".2"/>
      </body>
      <body name="{right}_leg" pos="0 -.1 0">
        <joint name="{right}_hip" axis="0 1 0" damping=".5"/>
        <geom type="capsule" size=".02" fromto="0 0 0 0 0 -.2" mass=".2"/>
      </body>
    </body>
  </worldbody>
  <contact><exclude body1="{left}_leg" body2="{right}_leg"/></contact>
  <equality><joint joint1="{left}_hip" joint2="{right}_hip" active="false"/></equality>
  <actuator>
    <position name="{left}" joint="{left}_hip" kp="{kp}" ctrlrange="-1 1"/>
    <position name="{right}" joint="{right}_hip" kp="{kp}" ctrlrange="-1 1"/>
  </actuator>
  {sensors}
</mujoco>
"""
SENSORS = '<sensor><gyro name="gyro" site="imu"/><jointpos name="hip" joint="L_hip"/></sensor>'
OURS = {"root": ' name="root"', "mass": 2, "left": "L", "right": "R", "kp": 5, "imu": "imu"}
OURS |= {"sensors": SENSORS}
THEIRS = OURS | {"root": "", "mass": 3, "left": "links", "right": "rechts", "sensors": ""}
MAPPING = {
    "joints": {"L_hip": "links_hip", "R_hip": "rechts_hip"},
    "actuators": {"L": "links", "R": "rechts"},
    "bodies": {"L_leg": "links_leg", "R_leg": "rechts_leg"},
}


class Biped(Task):
    """Stands on two legs; reads joints and sensors by their names."""

    model = ""
    control_dt, episode_s = 0.02, 1.0

    def __init__(self, model: str) -> None:
        super().__init__(model=model)

    @property
    def model_file(self) -> Path:
        return Path(self.options["model"])

    def observe(self, world):
        hips = np.hstack([world.joint("L_hip").qpos, world.joint("R_hip").qpos])
        return {"hips": hips, "gyro": world.sensor("gyro").data, "root": world.joint("root").qpos}

    def reward(self, world, action):
        return {"height": world.qpos[:, 2].copy()}


@pytest.fixture
def task(tmp_path: Path) -> Biped:
    (tmp_path / "biped.xml").write_text(ROBOT.format(**OURS))
    return Biped(str(tmp_path / "biped.xml"))


@pytest.fixture
def menagerie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for a checkout: two robots, one of them with a scene."""
    root = tmp_path / "menagerie"
    for name in ("maker_biped", "maker_arm"):
        (root / name).mkdir(parents=True)
    (root / "maker_biped" / "biped.xml").write_text(ROBOT.format(**THEIRS))
    scene = '<mujoco><include file="biped.xml"/></mujoco>'
    (root / "maker_biped" / "scene.xml").write_text(scene)
    (root / "maker_arm" / "arm.xml").write_text("<mujoco/>")
    monkeypatch.setenv("MENAGERIE_ROOT", str(root))
    return root


def theirs(**changes: object) -> Domain:
    return Domain(**({"model": "menagerie:maker_biped", "mapping": MAPPING} | changes))


@pytest.mark.usefixtures("menagerie")
def test_a_robot_of_the_menagerie_is_a_target(task: Biped) -> None:
    ours, other = (Simulation(task, domain, threads=1) for domain in (None, theirs()))
    assert other.model.body("base").mass == 3
    assert [other.model.joint(i).name for i in range(3)] == ["root", "L_hip", "R_hip"]
    assert other.model.actuator("L").trnid[0] == other.model.joint("L_hip").id
    assert other.observation_terms == ours.observation_terms
    other.step(np.array([[1.0, -1.0]]))
    assert other.joint("L_hip").qpos[0, 0] > 0 > other.joint("R_hip").qpos[0, 0]


@pytest.mark.usefixtures("menagerie")
def test_it_gets_the_sensors_that_it_lacks(task: Biped) -> None:
    simulation = Simulation(task, theirs(), threads=1)
    assert simulation.model.nsensor == 2
    simulation.write_state(simulation.qpos, np.tile([0, 0, 0, 1.0, 2.0, 3.0, 0, 0], (1, 1)))
    np.testing.assert_allclose(simulation.sensor("gyro").data, [[1, 2, 3]])


def test_it_gets_the_sites_that_its_sensors_need(task: Biped, menagerie: Path) -> None:
    text = ROBOT.format(**THEIRS | {"imu": "other"})
    (menagerie / "maker_biped" / "biped.xml").write_text(text)
    simulation = Simulation(task, theirs(), threads=1)
    assert simulation.model.site("imu").bodyid == simulation.model.body("base").id
    (menagerie / "maker_biped" / "biped.xml").write_text(text.replace('"base"', '"trunk"'))
    with pytest.raises(UserError, match="sensor gyro cannot be added, missing in sites: imu"):
        Simulation(task, theirs(), threads=1)


@pytest.mark.usefixtures("menagerie")
def test_an_element_that_the_task_reads_and_the_model_lacks_is_reported(task: Biped) -> None:
    simulation = Simulation(task, theirs(), threads=1)
    with pytest.raises(UserError, match="unknown body of the model 'bsae'; did you mean 'base'"):
        simulation.body("bsae")


FRONT_LEFT_FIRST = """
<mujoco>
  <worldbody>
    <geom name="ground" type="plane" size="5 5 .1"/>
    <body name="base" pos="0 0 .5">
      <freejoint/>
      <geom name="hull" type="box" size=".2 .1 .05" mass="2"/>
      <site name="imu"/>
      <body name="R_leg" pos="0 -.1 0">
        <joint name="R_hip" axis="0 1 0" damping=".5"/>
        <geom type="capsule" size=".02" fromto="0 0 0 0 0 -.2" mass=".2"/>
      </body>
      <frame pos="0 .1 0">
        <body name="L_leg">
          <joint name="L_hip" axis="0 1 0" damping=".5"/>
          <geom type="capsule" size=".02" fromto="0 0 0 0 0 -.2" mass=".2"/>
        </body>
      </frame>
    </body>
  </worldbody>
  <contact><exclude body1="L_leg" body2="R_leg"/></contact>
  <include file="drives.xml"/>
  <keyframe><key name="home" qpos="0 0 .4 1 0 0 0 -.2 .3" ctrl="-.2 .3"/></keyframe>
</mujoco>
"""
DRIVES = """
<mujoco>
  <actuator><position name="R" joint="R_hip" kp="5" ctrlrange="-1 1"/></actuator>
  <actuator><position name="links" joint="L_hip" kp="5" ctrlrange="-1 1"/></actuator>
  <tendon><fixed name="both"><joint joint="R_hip" coef="2"/><joint joint="L_hip" coef="1"/></fixed>
  </tendon>
</mujoco>
"""


@pytest.fixture
def other_way_round(tmp_path: Path) -> Path:
    """The biped of another maker, who lists the right leg first and calls one motor otherwise."""
    (tmp_path / "drives.xml").write_text(DRIVES)
    (tmp_path / "other.xml").write_text(FRONT_LEFT_FIRST)
    return tmp_path / "other.xml"


def test_legs_in_another_order_are_brought_into_ours(task: Biped, other_way_round: Path) -> None:
    domain = Domain(model=str(other_way_round), mapping={"actuators": {"L": "links"}})
    with pytest.warns(UserWarning, match="beside the model of task") as warned:
        other = Simulation(task, domain, threads=1)
    messages = [str(one.message).partition("': ")[2] for one in warned]
    assert messages == [
        "its joints stand in the order root (free), R_hip (hinge), L_hip (hinge); they are used "
        "in the order of the task's: root (free), L_hip (hinge), R_hip (hinge)",
        "its actuators stand in the order R, L; they are used in the order of the task's: L, R",
    ]
    assert [other.model.joint(i).name for i in range(3)] == ["root", "L_hip", "R_hip"]
    assert [other.model.actuator(i).name for i in range(2)] == ["L", "R"]
    assert other.model.key_qpos[0].tolist() == [0, 0, 0.4, 1, 0, 0, 0, 0.3, -0.2]
    assert other.model.key_ctrl[0].tolist() == [0.3, -0.2]
    ours = Simulation(task, threads=1)
    for _ in range(10):
        action = np.array([[0.8, -0.3]])
        one, two = ours.advance(action), other.advance(action)
        np.testing.assert_allclose(two.observation, one.observation, atol=1e-9)
    assert abs(ours.joint("L_hip").qpos[0, 0] - ours.joint("R_hip").qpos[0, 0]) > 0.1


def test_actuators_without_names_are_matched_by_their_joints(tmp_path: Path) -> None:
    task = load_task("hopper")
    lines = task.model_file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "<motor" in line and "joint=" in line)
    lines[first : first + 3] = lines[first : first + 3][::-1]
    (tmp_path / "other.xml").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="stand in the order foot_joint, leg_joint, thigh_joint"):
        other = Simulation(task, Domain(model=str(tmp_path / "other.xml")), threads=1)
    ours = Simulation(task, threads=1)
    for _ in range(10):
        action = np.array([[0.8, -0.3, 0.1]])
        one, two = ours.advance(action), other.advance(action)
        np.testing.assert_array_equal(two.observation, one.observation)


@pytest.mark.usefixtures("menagerie")
def test_a_mapping_may_exchange_names(task: Biped) -> None:
    crossed = {
        "joints": {"L_hip": "rechts_hip", "R_hip": "links_hip"},
        "actuators": {"L": "rechts", "R": "links"},
        "bodies": {"L_leg": "rechts_leg", "R_leg": "links_leg"},
    }
    with pytest.warns(UserWarning, match="stand in the order"):
        other = Simulation(task, theirs(mapping=crossed), threads=1)
    assert other.model.body("L_leg").pos[1] == -0.1
    assert other.model.joint("L_hip").id == 1
    assert other.model.actuator("L").trnid[0] == 1


def test_what_only_another_tree_could_give_is_refused(task: Biped, other_way_round: Path) -> None:
    leg = '<body name="R_leg"><joint name="R_hip" axis="1 0 0"/><joint name="L_hip" axis="0 1 0"/>'
    drives = DRIVES[9:-10].replace("links", "L")
    other_way_round.write_text(
        '<mujoco><worldbody><body name="base"><freejoint/><geom size=".1"/><site name="imu"/>'
        f'{leg}<geom size=".1"/></body></body></worldbody>{drives}</mujoco>'
    )
    message = r"joints cannot be brought into the task's order .*root .*, R_hip .*, L_hip"
    with pytest.raises(UserError, match=message):
        Simulation(task, Domain(model=str(other_way_round)), threads=1)


def test_tendons_follow_names_that_change(task: Biped, menagerie: Path) -> None:
    tendons = """<tendon>
      <fixed name="both" stiffness="4" range="-1 2" limited="true">
        <joint joint="links_hip" coef="2"/><joint joint="rechts_hip" coef="-1"/>
      </fixed>
      <spatial name="cord" width=".01" springlength=".1 .2">
        <site site="kamera"/><geom geom="pulley" sidesite="kamera"/><site site="imu"/>
        <pulley divisor="2"/>
        <site site="kamera"/><site site="imu"/>
      </spatial>
    </tendon>"""
    text = ROBOT.format(**THEIRS).replace("<actuator>", f"{tendons}<actuator>")
    site = '<site name="kamera" pos=".1 0 0"/><geom name="pulley" size=".02" pos=".2 0 0"/>'
    text = text.replace('<site name="imu"/>', f'<site name="imu"/>{site}')
    (menagerie / "maker_biped" / "biped.xml").write_text(text)
    mapping = MAPPING | {"sites": {"imu": "kamera"}}
    with pytest.raises(UserError, match="two sites of one name: imu"):
        Simulation(task, theirs(mapping=mapping), threads=1)
    swapped = MAPPING | {"sites": {"imu": "imu"}}
    renamed = Simulation(task, theirs(mapping=swapped), threads=1).model
    plain = mujoco.MjModel.from_xml_string(text)
    assert [renamed.tendon(i).name for i in range(2)] == ["both", "cord"]
    for name in ("tendon_stiffness", "tendon_range", "tendon_lengthspring", "tendon_width"):
        np.testing.assert_array_equal(getattr(renamed, name), getattr(plain, name))
    for name in ("wrap_type", "wrap_objid", "wrap_prm"):
        np.testing.assert_array_equal(getattr(renamed, name), getattr(plain, name))


def test_unnamed_actuators_are_known_by_their_joints(task: Biped, menagerie: Path) -> None:
    text = ROBOT.format(**THEIRS)
    for name in ("links", "rechts"):
        text = text.replace(f'<position name="{name}" ', "<position ")
    first, second = (line for line in text.splitlines() if "<position" in line)
    text = text.replace(first, "X").replace(second, first).replace("X", second)
    (menagerie / "maker_biped" / "biped.xml").write_text(text)
    mapping = {kind: MAPPING[kind] for kind in ("joints", "bodies")}
    with pytest.warns(UserWarning, match="its actuators stand in the order R, L"):
        other = Simulation(task, theirs(mapping=mapping), threads=1)
    assert [other.model.actuator(i).name for i in range(2)] == ["L", "R"]
    assert other.model.actuator("L").trnid[0] == other.model.joint("L_hip").id


def test_an_include_that_is_not_there_and_broken_files_are_reported(
    task: Biped, other_way_round: Path
) -> None:
    other_way_round.with_name("drives.xml").unlink()
    with pytest.raises(UserError, match=r"other\.xml is not valid") as caught:
        Simulation(task, Domain(model=str(other_way_round)), threads=1)
    assert "\n" not in str(caught.value)


def test_a_domain_file_may_say_so(task: Biped, menagerie: Path, tmp_path: Path) -> None:
    file = tmp_path / "domains.yaml"
    file.write_text(
        "theirs:\n  model: menagerie:maker_biped/biped\n  mapping:\n"
        "    joints: {L_hip: links_hip, R_hip: rechts_hip}\n"
        "    actuators: {L: links, R: rechts}\n"
    )
    domain = load_domain(task, f"{file}:theirs")
    assert domain.describe() == ["the model menagerie:maker_biped/biped"]
    file.write_text(f"again: {domain.plain()}")
    assert load_domains(file)["again"].model_copy(update={"name": "theirs"}) == domain
    assert Simulation(task, domain, threads=1).model.body("base").mass == 3


@pytest.mark.usefixtures("menagerie")
@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"model": "menagerie:maker_bipde"}, "unknown robot .* did you mean 'maker_biped'"),
        ({"model": "menagerie:maker_biped/scen"}, "unknown model in .* did you mean 'scene'"),
        ({"model": "menagerie:maker_arm"}, "unknown model in .*maker_arm 'scene'.* allowed: arm"),
        ({"model": "menagerie:../menagerie"}, "unknown robot"),
        (
            {"mapping": {}},
            r"joints lack L_hip \(hinge\), R_hip \(hinge\), and have besides links_hip .*; "
            "its actuators lack L, R, and have besides links, rechts; sensor hip cannot be added, "
            "missing in joints: L_hip",
        ),
        (
            {"mapping": {"joints": {"L_hip": "links_hop"}}},
            "unknown name in joints of /.* 'links_hop'; did you mean 'links_hip'",
        ),
        (
            {"mapping": {"joints": {"L_hop": "links_hip"}}},
            "unknown name in joints of the task 'L_hop'; did you mean 'L_hip'",
        ),
        (
            {"mapping": {"joints": {"L_hip": "links_hip", "R_hip": "links_hip"}}},
            "joints lack L_hip",
        ),
    ],
)
def test_every_mismatch_is_reported(task: Biped, domain: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Simulation(task, theirs(**domain), threads=1)
    assert "\n" not in str(caught.value)


def test_unknown_kinds_and_mappings_of_nothing_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "domains.yaml"
    file.write_text("a: {model: menagerie:x, mapping: {joint: {a: b}}}")
    with pytest.raises(UserError, match="unknown key 'joint'; did you mean 'joints'"):
        load_domains(file)
    file.write_text("a: {mapping: {joints: {a: b}}}")
    with pytest.raises(UserError, match="a mapping needs a model of the domain's own"):
        load_domains(file)


def test_actuators_that_mean_something_else_are_reported(task: Biped, menagerie: Path) -> None:
    text = ROBOT.format(**THEIRS).replace("<position", "<motor").replace('kp="5" ', "")
    text = text.replace('ctrlrange="-1 1"', 'ctrlrange="-20 20"')
    (menagerie / "maker_biped" / "biped.xml").write_text(text)
    with pytest.warns(UserWarning, match="beside the model of task") as warned:
        Simulation(task, theirs(), threads=1)
    messages = {str(one.message).partition("': ")[2] for one in warned}
    assert "actuator L has the control range [-20.0, 20.0], not [-1.0, 1.0]" in messages
    law = "actuators L, R are a motor, in the task a position servo; a control is a target there"
    assert any(one.startswith(law) for one in messages), messages


def test_without_a_checkout_the_package_is_asked(
    task: Biped, menagerie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MENAGERIE_ROOT")
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", None)
    with pytest.raises(UserError, match=r"MENAGERIE_ROOT.*pip install 'sim2real\[robots\]'"):
        Simulation(task, theirs(), threads=1)

    class Robot:
        def xml(self, entry: str) -> Path:
            if entry != "scene":
                raise KeyError(entry)
            return menagerie / "maker_biped" / "scene.xml"

    package = types.SimpleNamespace(
        names=lambda: ["maker_biped"], get=lambda name: Robot(), MenagerieError=KeyError
    )
    monkeypatch.setitem(sys.modules, "mujoco_menagerie", package)
    assert Simulation(task, theirs(), threads=1).model.nu == 2
    with pytest.raises(UserError, match="did you mean 'maker_biped'"):
        Simulation(task, theirs(model="menagerie:maker_bipd"), threads=1)
    with pytest.raises(UserError, match="menagerie:maker_biped: 'mjx'"):
        Simulation(task, theirs(model="menagerie:maker_biped/mjx"), threads=1)
    monkeypatch.setenv("MENAGERIE_ROOT", "nowhere")
    with pytest.raises(UserError, match="MENAGERIE_ROOT is nowhere, which is no folder"):
        Simulation(task, theirs(), threads=1)


def test_references_are_kept_by_the_content_of_the_model(task: Biped, menagerie: Path) -> None:
    before = content(task, theirs())
    assert content(task, theirs(model="menagerie:maker_biped/biped")) == before
    heavier = ROBOT.format(**THEIRS | {"mass": 4})
    (menagerie / "maker_biped" / "biped.xml").write_text(heavier)
    assert content(task, theirs()) != before


# -- what an untrusted file may do to the compiler ------------------------------------------------


@pytest.mark.parametrize(
    ("element", "message"),
    [
        (
            '<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>'
            '<worldbody><geom type="hfield" hfield="h"/></worldbody>',
            "compiler does not survive it",
        ),
        ('<option timestep="nan"/>', "opt.timestep is not a number"),
        ('<option timestep="0"/>', "opt.timestep is not greater than 0"),
        ('<worldbody><geom size="1" friction="-1 0 0"/></worldbody>', "geom_friction is below 0"),
    ],
)
def test_what_breaks_the_compiler_or_the_physics_is_not_used(
    task: Biped, element: str, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "untrusted.xml"
    file.write_text(f"<mujoco>{element}</mujoco>")
    with pytest.raises(UserError, match=message) as caught:
        Simulation(task, Domain(model=str(file)), threads=1)
    assert "\n" not in str(caught.value)


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_compiler_that_dies_or_hangs_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "untrusted.xml"
    file.write_text("<mujoco/>")
    monkeypatch.setattr(untrusted_model, "CHILD", script("import os; os.abort()"))
    with pytest.raises(UserError, match=r"does not survive it \(exit code -6\)"):
        untrusted_model.check_model(file)
    monkeypatch.setattr(untrusted_model, "CHILD", script("import time; time.sleep(60)"))
    monkeypatch.setattr(untrusted_model, "TIMEOUT_S", 0.1)
    with pytest.raises(UserError, match=r"took over 0\.1 s"):
        untrusted_model.check_model(file)


def test_a_file_is_compiled_once_for_its_content_and_that_of_its_parts(
    menagerie: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, part = (menagerie / "maker_biped" / name for name in ("scene.xml", "biped.xml"))
    untrusted_model.check_model(scene)
    monkeypatch.setattr(untrusted_model, "CHILD", script("raise SystemExit(3)"))
    untrusted_model.check_model(scene)  # of the same content
    part.write_text(part.read_text().replace('mass="3"', 'mass="4"'))
    with pytest.raises(UserError, match="exit code 3"):
        untrusted_model.check_model(scene)


@pytest.mark.parametrize("place", ["alone", "with its part"])
def test_a_copy_is_compiled_again_only_where_it_depends_on_other_files(
    place: str, menagerie: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"alone": "biped.xml", "with its part": "scene.xml"}[place]
    untrusted_model.check_model(menagerie / "maker_biped" / name)
    shutil.copytree(menagerie / "maker_biped", tmp_path / "copy")
    monkeypatch.setattr(untrusted_model, "CHILD", script("raise SystemExit(3)"))
    again = pytest.raises(UserError, match="exit code 3")
    with contextlib.nullcontext() if place == "alone" else again:
        untrusted_model.check_model(tmp_path / "copy" / name)


def test_a_file_that_does_not_compile_yet_is_not_taken_for_one_that_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.xml"
    file.write_text('<mujoco><include file="part.xml"/></mujoco>')
    untrusted_model.check_model(file)  # loading it reports what is wrong
    monkeypatch.setattr(untrusted_model, "CHILD", script("raise SystemExit(3)"))
    (tmp_path / "part.xml").write_text("<mujoco/>")
    with pytest.raises(UserError, match="exit code 3"):
        untrusted_model.check_model(file)
