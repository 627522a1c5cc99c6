"""Gains, limits and motor constants by the type of the actuator."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain, Subject, bind
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import ObservationTerm

SERVO = str(Path(__file__).parent.parent / "robots" / "servo.py")


def actuator(name, *dynamics, **options):
    model = Simulation(SERVO, Domain(dynamics=dynamics, **options), threads=1).world_model(0)
    return model.actuator(name)


def test_gains_are_written_wherever_the_type_holds_them():
    kp, kv = {"field": "kp", "scale": 2.0}, {"field": "kv", "set": 3.0}
    position = actuator("shoulder_servo", kp, kv)
    assert position.gainprm[0] == 80.0
    assert position.biasprm[:3].tolist() == [0.0, -80.0, -3.0]
    velocity = actuator("wrist_servo", kv)
    assert velocity.gainprm[0] == 3.0
    assert velocity.biasprm[:3].tolist() == [0.0, 0.0, -3.0]
    pid = actuator("turn_servo", kp, kv)
    assert pid.biasprm[:3].tolist() == [0.0, -10.0, -3.0]


def test_strength_comes_on_top_of_a_gain():
    servo = actuator(
        "shoulder_servo",
        {"field": "kp", "of": "shoulder_servo", "set": 50.0},
        {"field": "torque_limit", "of": "shoulder_servo", "set": 10.0},
        actuation=[{"strength": 0.5, "of": "shoulder_servo"}],
    )
    assert servo.gainprm[0] == 25.0
    assert servo.biasprm[:3].tolist() == [0.0, -25.0, -1.0]
    assert servo.forcerange.tolist() == [-5.0, 5.0]


def test_strength_scales_a_limit_that_another_entry_gives():
    limited = {"field": "torque_limit", "of": "drive", "set": 0.5}
    weak = {"strength": 0.5, "of": "drive"}
    drive = actuator("drive", limited, actuation=[weak])
    assert drive.forcerange.tolist() == [-0.25, 0.25]
    assert actuator("drive", actuation=[weak]).forcerange.tolist() == [0.0, 0.0]


def test_strength_alone_scales_gain_bias_and_limit():
    servo = actuator("shoulder_servo", actuation=[{"strength": 0.5, "of": "shoulder_servo"}])
    assert servo.gainprm[0] == 20.0
    assert servo.biasprm[:3].tolist() == [0.0, -20.0, -1.0]
    assert servo.forcerange.tolist() == [-10.0, 10.0]


def test_a_limit_is_set_where_there_was_none():
    domain = Domain(dynamics=[{"field": "torque_limit", "of": "drive", "set": 0.5}])
    simulation = Simulation(SERVO, domain, threads=1)
    drive = simulation.world_model(0).actuator("drive")
    assert drive.forcelimited[0]
    assert drive.forcerange.tolist() == [-0.5, 0.5]
    simulation.actuator_force  # noqa: B018  # asked for, so that it is computed
    simulation.advance(np.ones((1, simulation.model.nu)))
    assert simulation.actuator_force[0, drive.id] == 0.5
    with pytest.raises(UserError, match="drive: it has none; use set"):
        actuator("drive", {"field": "torque_limit", "of": "drive", "scale": 0.5})


def test_resistance_and_inductance_make_the_time_constant_together():
    resistance = {"field": "dcmotor", "component": "resistance", "scale": 4.0}
    inductance = {"field": "dcmotor", "component": "inductance", "set": 0.03}
    # 0.01 H / 2 Ohm, then / 8 Ohm, then 0.03 H
    assert actuator("elbow_motor").dynprm[0] == 0.005
    assert actuator("elbow_motor", resistance).dynprm[0] == 0.00125
    both = actuator("elbow_motor", inductance, resistance)
    assert both.dynprm[0] == pytest.approx(0.03 / 8)
    assert both.gainprm[0] == 8.0
    other = actuator("elbow_motor", resistance, inductance)
    assert other.dynprm[0] == pytest.approx(0.03 / 8)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"field": "kp", "of": "drive", "scale": 2.0}, "no position gain"),
        ({"field": "kv", "of": "drive", "set": 2.0}, "no velocity gain"),
        ({"field": "kp", "scale": -1.0}, "kp must be at least 0"),
        ({"field": "time_constant", "of": "drive", "scale": 2.0}, "drive.*follows at once"),
        ({"field": "time_constant", "of": "pump", "set": 0.0}, "must be"),
        ({"field": "dcmotor", "scale": 2.0}, "needs a component: resistance"),
        (
            {"field": "dcmotor", "of": "drive", "component": "constant", "scale": 2.0},
            "no dcmotor",
        ),
        ({"field": "dcmotor", "component": "voltage_limit", "set": 2.0}, "without voltage limit"),
        ({"field": "dcmotor", "component": "resistance", "set": 0.0}, "must be at least"),
        ({"field": "actuator_gain", "of": "elbow_motor", "scale": 2.0}, "no single gain"),
        ({"field": "actuator_armature", "of": "wrist_servo", "add": 2.0}, "cannot be given"),
    ],
)
def test_impossible_constants_are_refused(parameter, message):
    with pytest.raises(UserError, match=message):
        Simulation(SERVO, Domain(dynamics=[parameter]))


def test_a_motor_has_no_strength():
    with pytest.raises(UserError, match=r"elbow_motor.*: a dcmotor has no single gain"):
        Simulation(SERVO, Domain(actuation=[{"strength": 0.5, "of": "elbow_motor"}]))


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"field": "geom_solref", "component": "timeconst", "scale": -1.0}, "keep the sign"),
        ({"field": "geom_solimp", "component": "dmax", "set": 1.5}, "must be at most 1"),
        ({"field": "geom_solimp", "scale": 1.1}, "needs a component: dmin"),
        ({"field": "jnt_range", "component": "lower", "set": 2.0}, "a range from 2 to 1.0"),
        ({"field": "tendon_range", "scale": -1.0}, "reaches a range from 0.8 to -0.8"),
        ({"field": "tendon_damping", "of": "bell", "scale": 1.0}, "unknown tendon 'bell'; did you"),
        ({"field": "qpos0", "of": "elbw", "add": 0.1}, "unknown joint 'elbw'; did you"),
    ],
)
def test_impossible_ranges_are_refused(parameter, message):
    with pytest.raises(UserError, match=message):
        Simulation(SERVO, Domain(dynamics=[parameter]))


def test_an_offset_of_a_joint_turns_the_link_at_the_same_reading():
    domain = Domain(dynamics=[{"field": "qpos0", "of": "shoulder", "add": 0.2}])
    ours, plain = Simulation(SERVO, domain, threads=1), Simulation(SERVO, threads=1)
    zero = np.zeros((1, 5))
    ours.body("lower").xpos  # noqa: B018  # asked for, so that it is computed
    plain.body("lower").xpos  # noqa: B018
    ours.write_state(zero, zero)
    plain.write_state(np.array([[-0.2, 0, 0, 0, 0]]), zero)
    np.testing.assert_allclose(ours.body("lower").xpos, plain.body("lower").xpos, atol=1e-15)
    assert load_task(SERVO).compile().qpos0[0] == 0


def test_a_controller_of_several_inputs_shifts_the_commands_behind_it():
    model = mujoco.MjModel.from_xml_string("""
    <mujoco>
      <worldbody>
        <body><joint name="a"/><geom size=".1"/></body>
        <body pos="1 0 0"><joint name="b"/><geom size=".1"/></body>
      </worldbody>
      <actuator>
        <pid name="arm" joint="a" input="pos vel" kp="5" kv=".5" ctrlrange="-1 1"/>
        <motor name="wheel" joint="b" ctrlrange="-2 2"/>
      </actuator>
    </mujoco>""")
    subject = Subject("pair", (ObservationTerm("qpos", 2),), 0.02, 1.0)
    domain = Domain(actuation=[{"noise": {"normal": [0, 1]}, "of": "wheel"}])
    (noise,) = bind(domain, model, subject).actuation
    assert noise.columns.tolist() == [2]
    assert noise.high.tolist() == [2.0]
    (dead,) = bind(Domain(actuation=[{"dead_zone": 0.1, "of": "arm"}]), model, subject).actuation
    assert dead.columns.tolist() == [0, 1]
