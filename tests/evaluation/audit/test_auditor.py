"""What the audit must find by itself, and what it must not make a fuss about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.audit import Auditor, Finding, audit, audits
from sim2real.registry import load_task
from sim2real.task import Task

SLIDER = str(Path(__file__).parents[2] / "robots" / "slider.py")
SLED = '''
from sim2real.task import Task

class Sled(Task):
    """A box on a floor, pushed along x."""
    control_dt, episode_s = 0.02, 2.0

    def observe(self, world):
        return {"place": world.qpos}

    def reward(self, world, action):
        return {"place": world.qpos[:, 0]}
'''
SLED_MODEL = """
<mujoco>
  <option timestep="0.005"/>
  <worldbody>
    <geom name="floor" type="plane" size="5 5 1" FLOOR/>
    <body name="box" pos="0 0 .1">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="z" type="slide" axis="0 0 1"/>
      <geom name="sole" type="box" size=".1 .1 .1" mass="1" SOLE/>
    </body>
  </worldbody>
  EXTRA
  <actuator><motor name="push" joint="x" gear="20" ctrlrange="-1 1"/></actuator>
</mujoco>
"""


def sled(folder: Path, floor: str = "", sole: str = "", extra: str = "") -> Task:
    model = SLED_MODEL.replace("FLOOR", floor).replace("SOLE", sole).replace("EXTRA", extra)
    (folder / "sled.py").write_text(SLED)
    (folder / "sled.xml").write_text(model)
    return load_task(str(folder / "sled.py"))


@pytest.fixture(scope="module")
def hopper() -> Auditor:
    return Auditor("hopper")


@pytest.fixture(scope="module")
def slider() -> Auditor:
    return Auditor(SLIDER)


def only(auditor: Auditor | Task, **sections: Any) -> Finding:
    """The one finding of a domain."""
    auditor = auditor if isinstance(auditor, Auditor) else Auditor(auditor)
    (finding,) = auditor.audit(Domain(**sections)).findings
    return finding


def dynamics(**parameter: Any) -> dict[str, Any]:
    return {"dynamics": [parameter]}


FRICTION = {"field": "geom_friction", "component": "sliding"}


def test_the_friction_of_the_off_dynamics_hopper_is_found(hopper: Auditor) -> None:
    """Its foot is given 0.2 on a floor of 1.0; nominally the foot has 2.0, so that things change,
    but not to what was asked."""
    finding = only(hopper, **dynamics(**FRICTION, of="foot_geom", set=0.2))
    assert finding.verdict == "error"
    (error,) = finding.errors
    assert error.endswith(
        "foot_geom is asked to have 0.2, but floor's friction 1.0 is larger, and MuJoCo takes the "
        "maximum"
    )
    assert max(finding.change("trajectory")) > 0.01


def test_friction_hidden_at_one_end_is_a_warning(hopper: Auditor) -> None:
    finding = only(hopper, **dynamics(**FRICTION, of="foot_geom", set={"uniform": [0.2, 3.0]}))
    assert finding.verdict == "warning"
    assert finding.warnings[0].startswith("at its low end, 0.2: no contact uses")


def test_a_constraint_shorter_than_two_time_steps_is_a_warning(hopper: Auditor) -> None:
    short = {"field": "jnt_solref", "of": "leg_joint", "component": "timeconst"}
    finding = only(hopper, dynamics=[{**short, "set": {"uniform": [0.001, 0.1]}}])
    (warning,) = finding.warnings
    assert warning.startswith("at its low end, 0.001: a timeconst of 0.001 s acts as 0.004 s")


def test_two_geoms_that_the_domain_changes_do_not_hide_each_other(hopper: Auditor) -> None:
    drawn = {"uniform": [0.5, 2.0]}
    both = Domain(dynamics=[{**FRICTION, "of": ["floor", "foot_geom"], "scale": drawn}])
    assert hopper.audit(both).passed
    lower = Domain(
        dynamics=[
            {**FRICTION, "of": "floor", "scale": 0.5},
            {**FRICTION, "of": "foot_geom", "scale": 0.3, "name": "foot"},
        ]
    )
    assert hopper.audit(lower).passed


@pytest.mark.parametrize(
    ("model", "component", "reason"),
    [
        ({"floor": 'friction="1"'}, "sliding", "floor's friction 1.0 is larger, and MuJoCo takes"),
        ({"floor": 'priority="1"'}, "sliding", "floor's friction 1.0 has priority"),
        (
            {"extra": '<contact><pair geom1="floor" geom2="sole" friction="1 1"/></contact>'},
            "sliding",
            "the contact pair of floor and sole has its own friction, 1.0",
        ),
        ({"floor": 'condim="1"', "sole": 'condim="1"'}, "sliding", "without friction (condim 1)"),
        ({}, "torsional", "condim 3, and torsional friction needs 4"),
        ({"sole": 'condim="4"'}, "rolling", "condim 4, and rolling friction needs 6"),
        (
            {"sole": 'contype="0" conaffinity="0"'},
            "sliding",
            "sole collides with nothing (contype and conaffinity are 0)",
        ),
    ],
)
def test_why_a_friction_is_not_used(
    tmp_path: Path, model: dict[str, str], component: str, reason: str
) -> None:
    task = sled(tmp_path, **model)
    friction = {"field": "geom_friction", "of": "sole", "component": component, "scale": 0.5}
    finding = only(task, dynamics=[friction])
    assert reason in finding.errors[0]


def test_a_friction_that_is_used_passes(tmp_path: Path) -> None:
    task = sled(tmp_path, floor='friction=".1"')
    assert only(task, **dynamics(**FRICTION, of="sole", scale=0.5)).verdict == "acts"


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        (dynamics(field="body_mass", scale={"uniform": [1.0, 1.0]}), "scale 1 leaves everything"),
        (dynamics(field="body_mass", set=2.0), "the values are the nominal ones"),
        (dynamics(field="opt.gravity", component="z", add=1.0), "move in that direction"),
        (dynamics(field="opt.wind", component="x", set=1.0), "density and viscosity"),
        (dynamics(field="qpos_spring", add=0.1), "the joint has no stiffness"),
        ({"actuation": [{"delay": 0.0}]}, "delay 0 leaves everything"),
        ({"actuation": [{"strength": 1.0}]}, "strength 1 leaves everything"),
        ({"sensing": [{"noise": 0.0, "of": "place"}]}, "noise 0 leaves everything"),
        ({"sensing": [{"saturation": 1e3, "of": "place"}]}, "nothing reaches the limit"),
        ({"disturbances": [{"force": 1.0, "of": "mass", "direction": "y"}]}, "no motion changes"),
    ],
)
def test_a_parameter_without_effect_is_an_error(
    slider: Auditor, sections: dict[str, Any], reason: str
) -> None:
    finding = only(slider, **sections)
    assert finding.verdict == "error"
    assert finding.errors[0].startswith("has no effect: ")
    assert reason in finding.errors[0]
    changes = [change for end in finding.ends for change in end.changes.values()]
    assert changes
    assert not any(changes)
    assert all(end.times_noise == 0 for end in finding.ends)


def test_effects_have_their_size(slider: Auditor) -> None:
    """Twice the mass halves the acceleration; a motor at 80 % lacks a fifth of its force."""
    mass = only(slider, **dynamics(field="body_mass", scale={"uniform": [0.5, 2.0]}))
    assert [(end.name, end.value) for end in mass.ends] == [("low", 0.5), ("high", 2.0)]
    assert mass.change("acceleration") == pytest.approx((1.0, 0.5))
    assert mass.change("force") == (0.0, 0.0)
    strength = only(slider, actuation=[{"strength": 0.8}])
    assert strength.change("force") == pytest.approx((0.2,))
    assert strength.change("acceleration") == pytest.approx((0.2,))
    bias = only(slider, sensing=[{"bias": 0.1, "of": "place"}])
    assert bias.change("trajectory") == (0.0,)
    assert bias.change("observation")[0] > 0.1
    assert all(end.times_noise > 1e9 for end in (*mass.ends, *strength.ends, *bias.ends))


def test_what_is_rare_is_looked_for_as_long_as_an_episode(slider: Auditor) -> None:
    push = {"push": 1.0, "of": "mass", "direction": "x", "every": 0.9}
    assert only(slider, disturbances=[push]).verdict == "acts"


def test_what_acts_only_with_others_is_no_error(slider: Auditor) -> None:
    wind = {"field": "opt.wind", "component": "x", "set": 5.0}
    medium = {"field": "opt.density", "set": 1.2}
    first, second = slider.audit(Domain(dynamics=[wind, medium])).findings
    assert first.warnings == ("acts only together with other parameters of the domain",)
    assert second.verdict == "acts"


def test_what_cannot_stand_alone_is_probed_with_others(hopper: Auditor) -> None:
    payload = [
        {"field": "payload", "component": "mass", "of": "torso", "set": 1.0},
        {"field": "payload", "component": "x", "of": "torso", "set": {"uniform": [-0.1, 0.1]}},
    ]
    report = hopper.audit(Domain(dynamics=payload))
    assert [finding.verdict for finding in report.findings] == ["acts", "acts"]


def test_an_explosion_is_reported_with_its_end(hopper: Auditor) -> None:
    stiff = {"field": "jnt_stiffness", "of": "leg_joint", "set": {"uniform": [0.0, 1e9]}}
    report = hopper.audit(Domain(dynamics=[stiff]))
    assert "jnt_stiffness:leg_joint: at its high end, 1e+09: the model explodes" in report.errors[0]
    assert "(MuJoCo warns: BAD" in report.errors[0]
    assert "explodes" in report.errors[1]
    assert "with jnt_stiffness:leg_joint" in report.errors[1]


def test_every_kind_of_geometry_acts(hopper: Auditor) -> None:
    length = {"field": "link_length", "of": "leg", "scale": {"uniform": [0.8, 1.2]}}
    assert only(hopper, dynamics=[length]).verdict == "acts"


def test_each_element_is_reported_alone(hopper: Auditor) -> None:
    masses = {"field": "body_mass", "of": ["torso", "foot"], "scale": {"uniform": [0.8, 1.2]}}
    report = hopper.audit(Domain(dynamics=[masses]))
    assert [finding.parameter for finding in report.findings] == [
        "body_mass:torso",
        "body_mass:foot",
    ]
    assert report.findings[0].description == "body_mass of torso × 0.8 to 1.2"


def test_it_is_the_same_every_time() -> None:
    first, second = (audit(SLIDER, "drawn") for _ in range(2))
    assert first.findings == second.findings


def test_errors_are_waived_by_name() -> None:
    nothing = Domain(**dynamics(field="opt.gravity", component="y", add=1.0))
    assert not audit(SLIDER, nothing).passed
    first, second = audits(SLIDER, [nothing, "heavy"], waive=["opt.gravity.y"])
    assert first.passed
    assert second.passed
    assert first.findings[0].verdict == "waived"
    with pytest.raises(UserError, match=r"unknown waived parameter 'opt.gravty.y'; did you mean"):
        audit(SLIDER, nothing, waive=["opt.gravty.y"])


def test_what_cannot_be_bound_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'torso'"):
        audit("hopper", Domain(**dynamics(field="body_mass", of="torsoo", scale=2.0)))


TIMES = "episode_s = 0.02, 2.0"
HISTORY = SLED.replace(TIMES, f'{TIMES}\n    history = {{"place": 3}}')
COMMANDED = SLED.replace(TIMES, f'{TIMES}\n    commanded = ("action",)').replace(
    '"place": world.qpos}', '"place": world.qpos, "action": world.last_action}'
)


@pytest.mark.parametrize(
    ("delays", "source", "late"),
    [
        ({"actuation": [{"delay": 0.03}]}, SLED, "up to 0.03 s late, 1.5 control steps of 0.02 s"),
        (
            {"actuation": [{"delay": 0.01}], "sensing": [{"delay": {"uniform": [0.0, 0.01]}}]},
            SLED,
            "up to 0.02 s late, 1 control steps",
        ),
        ({"actuation": [{"delay": 0.01}]}, SLED, ""),
        ({"sensing": [{"reward_delay": 0.1}]}, SLED, ""),
        ({"actuation": [{"delay": 0.03}]}, HISTORY, ""),
        ({"actuation": [{"delay": 0.03}]}, COMMANDED, ""),
    ],
)
def test_a_policy_that_cannot_tell_what_is_on_its_way_is_a_hint(
    delays: dict[str, Any], source: str, late: str, tmp_path: Path
) -> None:
    (tmp_path / "late.py").write_text(source)
    model = SLED_MODEL.replace("FLOOR", "").replace("SOLE", "").replace("EXTRA", "")
    (tmp_path / "late.xml").write_text(model)
    report = audit(str(tmp_path / "late.py"), Domain(**delays))
    assert len(report.hints) == (1 if late else 0)
    assert all(late in hint for hint in report.hints)
    assert report.plain()["hints"] == list(report.hints)


@pytest.mark.parametrize("drawn", [{"when": "startup"}, {"course": {"every": 0.2}}])
def test_when_a_parameter_is_drawn_does_not_hide_its_effect(slider: Auditor, drawn: Any) -> None:
    ranged = {"uniform": [1.5, 2.0]}
    assert not only(slider, **dynamics(field="body_mass", scale=ranged, **drawn)).errors
    still = only(slider, **dynamics(field="opt.gravity", component="y", add=ranged, **drawn))
    assert "no effect" in still.errors[0]
