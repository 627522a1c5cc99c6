"""Geometry from a pool of compiled variants."""

from pathlib import Path

import mujoco
import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.binding.variants import VARIANTS
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

SERVO = str(Path(__file__).parent.parent / "robots" / "servo.py")


def simulate(*dynamics, task="hopper", num_envs=1, **options):
    domain = Domain(dynamics=dynamics, **options)
    return Simulation(task, domain, num_envs=num_envs, threads=1)


def lengthened(scale, of="thigh"):
    return {"field": "link_length", "of": of, "scale": scale}


def test_a_longer_thigh_keeps_its_hip_and_moves_the_knee():
    model = simulate(lengthened(1.2)).world_model(0)
    nominal = load_task("hopper").compile()
    thigh, leg = nominal.body("thigh").id, nominal.body("leg").id
    geom = nominal.geom("thigh_geom").id
    # the hip is the origin of the thigh; the knee lies 0.45 m below it, 0.25 m above the leg
    np.testing.assert_array_equal(model.body_pos[thigh], nominal.body_pos[thigh])
    np.testing.assert_allclose(model.geom_size[geom, :2], [0.05, 1.2 * 0.225], rtol=1e-12)
    np.testing.assert_allclose(model.geom_pos[geom], [0, 0, 1.2 * -0.225], rtol=1e-12)
    np.testing.assert_allclose(model.body_pos[leg], [0, 0, -0.7 - 0.2 * 0.45], rtol=1e-12)
    # a capsule of density 1000: cylinder and two half spheres
    volume = np.pi * 0.05**2 * (2 * 1.2 * 0.225) + 4 / 3 * np.pi * 0.05**3
    np.testing.assert_allclose(model.body_mass[thigh], 1000 * volume, rtol=1e-9)


def test_a_longer_leg_hangs_on_the_same_knee():
    model = simulate(lengthened(1.5, of="leg")).world_model(0)
    # the knee is 0.25 m above the leg's frame and stays there
    np.testing.assert_allclose(model.geom("leg_geom").pos, [0, 0, 0.25 - 1.5 * 0.25], atol=1e-12)
    # the ankle, 0.13 m behind and 0.1 m above the foot's frame, was 0.5 m below the knee
    np.testing.assert_allclose(model.body("foot").pos, [0.13, 0, -0.35 - 0.5 * 0.5], atol=1e-12)


def test_a_body_of_given_inertia_stretches_its_mass():
    model = simulate({**lengthened(2.0, of="lower"), "component": "z"}, task=SERVO).world_model(0)
    body = model.body("lower")
    assert body.mass[0] == pytest.approx(0.6)
    np.testing.assert_allclose(body.ipos, [0, 0, -0.2], atol=1e-12)
    axes = np.zeros(9)
    mujoco.mju_quat2Mat(axes, body.iquat)
    tensor = axes.reshape(3, 3) @ np.diag(body.inertia) @ axes.reshape(3, 3).T
    # of the second moments, (x, y, z) -> (x, y, 2 z): xx and xy stay, xz doubles, zz is fourfold
    xx, yy, zz = 0.00525 - 0.004, 0.00525 - 0.005, 0.00525 - 0.0015
    expected = [yy + 4 * zz, xx + 4 * zz, xx + yy]
    np.testing.assert_allclose(np.diag(tensor), expected, rtol=1e-9)
    np.testing.assert_allclose(tensor[0], [expected[0], 0.0002, 2 * 0.0001], rtol=1e-9)


def test_a_world_is_the_model_compiled_with_its_values_bit_for_bit():
    simulation = simulate(
        lengthened({"uniform": [0.8, 1.2]}),
        {"field": "geom_size", "of": "foot_geom", "component": "radius", "scale": 1.1},
        {"field": "body_mass", "scale": {"uniform": [0.8, 1.2]}},
        num_envs=3,
    )
    for world in range(3):
        spec, drawn = load_task("hopper").spec(), simulation.world_model(world)
        for geom in spec.geoms[1:]:
            own = drawn.geom(geom.name)
            geom.fromto = [np.nan] * 6
            geom.pos, geom.quat, geom.size = own.pos, own.quat, own.size
        spec.body("leg").pos = drawn.body("leg").pos
        model = spec.compile()
        names = simulation.context_names
        for body in range(1, model.nbody):
            scale = simulation.context[world, names.index(f"body_mass:{model.body(body).name}")]
            model.body_mass[body] *= scale
            model.body_inertia[body] *= scale
        data = mujoco.MjData(model)
        mujoco.mj_setConst(model, data)
        model.stat.meaninertia = simulation.model.stat.meaninertia  # when the solver stops
        data.qpos, data.qvel = simulation.qpos[world], simulation.qvel[world]
        data.ctrl[:] = 0.3
        mujoco.mj_forward(model, data)
        others = simulation.qpos.copy(), simulation.qvel.copy()
        simulation.write_state(*others)
        snapshot = simulation.snapshot()
        for _ in range(50):
            simulation.advance(np.full((3, 3), 0.3))
            for _ in range(simulation.substeps):
                mujoco.mj_step(model, data)
            np.testing.assert_array_equal(simulation.qpos[world], data.qpos)
        simulation.restore(snapshot)


def test_an_episode_draws_one_of_the_pool_and_states_its_values():
    simulation = simulate(lengthened({"uniform": [0.8, 1.2]}, of=["thigh", "leg"]), num_envs=64)
    pool = simulation.plan.pool
    assert pool.values.shape == (VARIANTS, 2)
    # a Sobol sequence: each of 16 equal parts of the range has 4 of the 64 points
    counts = np.histogram(pool.values[:, 0], bins=16, range=(0.8, 1.2))[0]
    assert counts.tolist() == [4] * 16
    seen = set()
    for _ in range(5):
        simulation.reset()
        thigh = simulation.model.geom("thigh_geom").id
        lengths = simulation.expanded("geom_size")[:, thigh, 1] / 0.225
        np.testing.assert_allclose(lengths, simulation.context[:, 0], rtol=1e-12)
        seen |= set(map(tuple, simulation.context.tolist()))
    assert seen <= set(map(tuple, pool.values.tolist()))
    assert len(seen) > 50


def test_geometry_draws_depend_on_seed_and_episode_alone():
    one = simulate(lengthened({"uniform": [0.8, 1.2]}), num_envs=6).context
    other = simulate(lengthened({"uniform": [0.8, 1.2]}), num_envs=3)
    np.testing.assert_array_equal(one[:3], other.context)
    other.reset()
    np.testing.assert_array_equal(one[3:], other.context)


def test_constants_are_one_variant_and_a_length_of_1_none():
    assert len(simulate(lengthened(1.1)).plan.pool.values) == 1
    simulation = simulate(lengthened(1.0))
    assert simulation.plan.writes == ()


def test_a_narrower_distribution_takes_the_variants_within():
    simulation = simulate(lengthened({"uniform": [0.8, 1.2]}), num_envs=8)
    draws = simulation.plan.settle(np.array([[1.0], [5.0]]))
    assert abs(draws[0, 0] - 1.0) < 0.4 / 64
    assert draws[1, 0] == simulation.plan.pool.values.max()


@pytest.mark.parametrize(
    ("dynamics", "message"),
    [
        ([lengthened(-1.0)], "must be greater than 0"),
        ([lengthened(1e19)], r"becomes .*e\+18 m; allowed: at most 10,000 m"),
        ([lengthened({"log_uniform": [1.0, 1e19]})], r"m; allowed: at most 10,000 m"),
        ([{"field": "geom_size", "of": "foot_geom", "scale": 1e7}], "geom_size becomes"),
        (
            [{"field": "body_pos", "of": "leg", "component": "z", "add": {"normal": [0.0, 1e6]}}],
            "body_pos becomes",
        ),
        ([{"field": "link_length", "of": "thigh", "set": 1.0}], "takes scale, not set"),
        ([lengthened(1.1), {"field": "geom_size", "of": "thigh_geom", "scale": 2.0}], "same entry"),
        ([lengthened(1.1), {"field": "body_pos", "of": "leg", "scale": 2.0}], "same entry"),
        ([{"field": "geom_size", "of": "floor", "scale": 2.0}], "a plane has a shape that all"),
        ([{"field": "geom_size", "component": "z", "of": "foot_geom", "scale": 2.0}], "no such"),
        ([{"field": "geom_pos", "component": "w", "scale": 2.0}], "unknown component"),
        (
            [
                {**lengthened({"uniform": [0.8, 1.2]}), "group": "size"},
                {"field": "body_mass", "scale": {"uniform": [0.8, 1.2]}, "group": "size"},
            ],
            "cannot be tied",
        ),
    ],
)
def test_impossible_geometry_is_refused(dynamics, message):
    with pytest.raises(UserError, match=message):
        simulate(*dynamics)


def test_a_round_body_has_no_length_of_its_own():
    with pytest.raises(UserError, match=r"torso has no long geom; name the axis"):
        simulate(lengthened(1.1, of="torso"), task="ant")


def test_a_sensor_that_is_mounted_askew_reads_in_its_own_axes(tmp_path):
    gyro = '<sensor><gyro name="gyro" site="tip"/></sensor></mujoco>'
    text = Path(SERVO).with_suffix(".xml").read_text().replace("</mujoco>", gyro)
    (tmp_path / "gyro.xml").write_text(text)
    askew = {"field": "site_tilt", "of": "tip", "component": "z", "add": 0.5}
    rates = []
    for dynamics in ([], [askew]):
        simulation = simulate(*dynamics, task=SERVO, model=str(tmp_path / "gyro.xml"))
        model = simulation.world_model(0)
        data = mujoco.MjData(model)
        data.qvel[0] = 2.0  # the shoulder turns about y, in rad/s
        mujoco.mj_forward(model, data)
        rates.append(data.sensordata.copy())
    np.testing.assert_allclose(rates[0], [0, 2, 0], atol=1e-12)
    np.testing.assert_allclose(rates[1], [2 * np.sin(0.5), 2 * np.cos(0.5), 0], atol=1e-12)


def test_lengths_of_a_group_are_one_draw():
    simulation = simulate(
        {**lengthened({"uniform": [0.8, 1.2]}, of="thigh"), "group": "size", "name": "thigh"},
        {**lengthened({"uniform": [0.9, 1.1]}, of="leg"), "group": "size", "name": "leg"},
    )
    values = simulation.plan.pool.values
    np.testing.assert_allclose((values[:, 0] - 0.8) / 0.4, (values[:, 1] - 0.9) / 0.2, rtol=1e-9)


def test_a_link_that_is_welded_to_another_is_not_stretched(tmp_path):
    servo = Path(SERVO).with_suffix(".xml").read_text()
    tie = '<equality><weld body1="hand" body2="cart"/></equality><tendon>'
    (tmp_path / "tied.xml").write_text(servo.replace("<tendon>", tie, 1))
    with pytest.raises(UserError, match="hand is welded by an equality"):
        simulate(lengthened(1.1, of="hand"), task=SERVO, model=str(tmp_path / "tied.xml"))


def test_what_stands_in_a_frame_is_refused(tmp_path):
    servo = Path(SERVO).with_suffix(".xml").read_text()
    geom = servo[servo.index('<geom name="hand_geom"') :].partition("/>")[0] + "/>"
    framed = servo.replace(geom, f'<frame pos="0 0 .01">{geom}</frame>')
    (tmp_path / "framed.xml").write_text(framed)
    resized = {"field": "geom_size", "of": "hand_geom", "component": "x", "scale": 1.1}
    with pytest.raises(UserError, match=r"'hand_geom' stands in a <frame>"):
        simulate(resized, task=SERVO, model=str(tmp_path / "framed.xml"))
