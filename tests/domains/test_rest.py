"""Where each control asks its actuator for nothing."""

import mujoco
import numpy as np
import pytest

from sim2real.domains.model_fields.rest_points import rest_points

XML = """<mujoco><worldbody>
  <body><joint name="j" axis="0 0 1"/><geom size=".1"/></body>
  <body><joint name="b" type="ball"/><geom size=".1"/></body>
</worldbody><actuator>{}</actuator></mujoco>"""
HOLDS = None


@pytest.mark.parametrize(
    ("actuator", "expected"),
    [
        ('<motor joint="j" gear="3"/>', [0]),
        ('<velocity joint="j" kv="2"/>', [0]),
        ('<damper joint="j" kv="3" ctrlrange="0 1"/>', [0]),
        ('<cylinder joint="j" area=".1" bias="0.02 0 0"/>', [-0.2]),
        ('<position joint="j" kp="5" kv="1"/>', [HOLDS]),
        ('<position joint="j" kp="5" timeconst="0.1"/>', [HOLDS]),
        ('<intvelocity joint="j" kp="3" actrange="-1 1"/>', [0]),
        ('<general joint="j" gainprm="2" biasprm="1 0 -3" biastype="affine"/>', [-0.5]),
        ('<general joint="j" gainprm="2" biasprm="1 0 -3"/>', [0]),  # without a bias type: none
        ('<general joint="j" gainprm="2" biasprm="1 -7 0" biastype="affine"/>', [HOLDS]),
        (
            '<general joint="j" gainprm="2" biasprm="1" biastype="affine" ctrlrange="0 1"/>',
            [0],
        ),
        ('<pid joint="j" kp="3" kv="1"/>', [HOLDS, 0]),
        ('<pid joint="j" kp="3" kv="1" input="vel ff"/>', [0, 0]),
        ('<pid joint="j" kp="3" kv="1" input="pos vel ff"/>', [HOLDS, 0, 0]),
        ('<dcmotor joint="j" motorconst="0.1" resistance="1"/>', [0]),
        (
            '<dcmotor joint="j" motorconst="0.1" resistance="1" input="pos" controller="5"/>',
            [HOLDS],
        ),
        ('<orientation joint="b" kp="3"/>', [HOLDS] * 3),
    ],
)
def test_rest_points_follow_from_gain_and_bias(actuator, expected):
    model = mujoco.MjModel.from_xml_string(XML.format(f'<motor joint="j"/>{actuator}'))
    rest = rest_points(model)
    assert rest.holds.tolist() == [False, *(one is HOLDS for one in expected)]
    np.testing.assert_allclose(rest.values, [0, *(one or 0 for one in expected)])


@pytest.mark.parametrize("actuator", ["motor", "velocity"])
def test_at_the_rest_point_a_still_actuator_gives_no_force(actuator):
    model = mujoco.MjModel.from_xml_string(XML.format(f'<{actuator} joint="j"/>'))
    model.actuator_biastype[0] = int(mujoco.mjtBias.mjBIAS_AFFINE)
    model.actuator_biasprm[0, 0] = 0.7
    model.actuator_gainprm[0, 0] = 4.0
    data = mujoco.MjData(model)
    data.qpos[0], data.ctrl[:] = 0.5, rest_points(model).values
    mujoco.mj_forward(model, data)
    assert data.actuator_force[0] == pytest.approx(0, abs=1e-15)
    assert data.ctrl[0] == -0.7 / 4.0
