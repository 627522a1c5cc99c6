"""Derived fields belong to the state they are read at, and nothing handed out changes later."""

from pathlib import Path
from typing import ClassVar

import mujoco
import mujoco.batch
import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.task import Task

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
SERVO = SLIDER.replace("slider", "servo")
STATE = mujoco.batch._STATE_FIELDS
REFUSED = {
    "cacc", "cfrc_ext", "cfrc_int", "energy", "subtree_angmom", "subtree_linvel",
    "qfrc_inverse", "solver_fwdinv", "solver_nnz", "qDeriv", "qH", "qHDiagInv", "qLU", "bvh_active",
    "bvh_aabb_dyn",
}  # fmt: skip


def step_all(simulation, steps=3, seed=0):
    rng = np.random.default_rng(seed)
    low, high = simulation.action_space.low, simulation.action_space.high
    for _ in range(steps):
        simulation.advance(rng.uniform(low, high, (simulation.num_envs, len(low))))


@pytest.mark.parametrize("task", ["furuta", "arm_reach", "cartpole"])
def test_a_field_that_is_first_read_late_stays_current(task):
    simulation = Simulation(task, "randomized", num_envs=3, seed=1)
    step_all(simulation)
    for _ in range(2):
        for world in range(3):
            data = simulation.world_data(world)
            model = simulation.world_model(world)
            mujoco.mj_fwdPosition(model, data)
            body = model.body(model.nbody - 1).name
            np.testing.assert_array_equal(simulation.xpos[world], data.xpos)
            np.testing.assert_array_equal(simulation.body(body).xpos[world], data.body(body).xpos)
            np.testing.assert_array_equal(simulation.site_xpos[world], data.site_xpos)
        step_all(simulation)


@pytest.mark.parametrize("attribute", ["xpos", "subtree_com", "cvel"])
def test_a_named_view_is_filled_when_it_is_first_read(attribute):
    early, late = (Simulation("cartpole", num_envs=2, seed=1) for _ in range(2))
    getattr(early, attribute)
    for simulation in (early, late):
        step_all(simulation)
    values = getattr(late.body("pole"), attribute)
    assert np.any(values)
    np.testing.assert_array_equal(values, getattr(early.body("pole"), attribute))


def test_fields_follow_a_reset_that_draws_new_geometry():
    domain = Domain(
        dynamics=[{"field": "body_pos", "of": "base", "component": "z",
                   "add": {"uniform": [-0.05, 0.05]}}]
    )  # fmt: skip
    simulation = Simulation("arm_reach", domain, num_envs=3, seed=4)
    for ids in (None, [1], [0, 2]):
        simulation.reset(ids)
        for world in range(3):
            data = simulation.world_data(world)
            mujoco.mj_forward(simulation.world_model(world), data)
            np.testing.assert_array_equal(simulation.xpos[world], data.xpos)
            np.testing.assert_array_equal(simulation.site_xpos[world], data.site_xpos)


def test_reading_a_field_leaves_lagged_ones_as_they_are():
    """Ant's observation is one substep behind, as Gymnasium's is."""
    ours, theirs = (Simulation("ant", num_envs=2, seed=0) for _ in range(2))
    for simulation in (ours, theirs):
        step_all(simulation)
        simulation.cvel  # noqa: B018
    before = ours.cvel.copy()
    ours.geom_xpos  # noqa: B018
    np.testing.assert_array_equal(ours.cvel, before)
    for simulation in (ours, theirs):
        step_all(simulation, 5, seed=1)
    np.testing.assert_array_equal(ours.qpos, theirs.qpos)
    np.testing.assert_array_equal(ours.cvel, theirs.cvel)


@pytest.mark.parametrize("task", ["cartpole", "arm_push"])
def test_every_field_equals_a_plain_loop_or_is_refused(task):
    simulation = Simulation(task, num_envs=2, seed=2)
    fields = sorted(mujoco.batch.DATA_FIELDS - set(STATE) - REFUSED)
    plain = [simulation.world_data(world) for world in range(2)]
    actions = np.random.default_rng(3).uniform(-1, 1, (4, 2, simulation.model.nu))
    for action in actions:
        simulation.advance(action)
        for world, data in enumerate(plain):
            data.ctrl[:] = simulation.ctrl[world]
            mujoco.mj_step(simulation.model, data, simulation.substeps)
            mujoco.mj_step1(simulation.model, data)
        for name in fields:  # first read after a step
            getattr(simulation, name)
    for name in fields:
        for world, data in enumerate(plain):
            expected = np.asarray(getattr(data, name))
            np.testing.assert_array_equal(getattr(simulation, name)[world], expected, name)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_fields_that_the_engine_does_not_compute_are_refused_by_name(name):
    simulation = Simulation(SLIDER, num_envs=2)
    with pytest.raises(UserError, match=f"{name} cannot be read: .*[Mm][Jj]|{name} cannot be read"):
        getattr(simulation, name)


@pytest.mark.parametrize(
    ("name", "sensor"),
    [("subtree_linvel", "subtreelinvel"), ("subtree_angmom", "subtreeangmom"),
     ("cacc", "force"), ("cfrc_int", "torque"), ("cfrc_ext", "accelerometer")],
)  # fmt: skip
def test_a_sensor_makes_the_engine_compute_what_it_needs(name, sensor):
    kind = f"mjSENS_{sensor.upper()}"
    subtree = sensor.startswith("subtree")

    def edit(self, spec):
        body = spec.body("hand")  # it lies on the ground and turns
        body.add_site(name="there")
        spec.add_sensor(
            type=getattr(mujoco.mjtSensor, kind),
            objtype=mujoco.mjtObj.mjOBJ_BODY if subtree else mujoco.mjtObj.mjOBJ_SITE,
            objname=body.name if subtree else "there",
        )

    simulation = Simulation(altered(SERVO, edit=edit), num_envs=2)
    action = np.full((2, simulation.model.nu), 0.3)
    simulation.step(action)
    data = simulation.world_data(0)
    getattr(simulation, name)
    data.ctrl[:] = 0.3
    simulation.step(action)
    mujoco.mj_step(simulation.model, data, simulation.substeps)
    mujoco.mj_step1(simulation.model, data)
    np.testing.assert_array_equal(getattr(simulation, name)[0], getattr(data, name))
    assert np.any(getattr(simulation, name))


def altered(task, **methods):
    """A task with other methods."""
    kind = type(load_task(task))
    return type("Altered", (kind,), {"model": str(load_task(task).model_file), **methods})()


@pytest.mark.parametrize("task", ["arm_reach", "quadruped", "quadrotor"])
def test_a_reset_derives_forces_with_the_commanded_control(task):
    simulation = Simulation(task, num_envs=3, seed=5)
    simulation.actuator_force, simulation.qacc  # noqa: B018
    simulation.reset()
    commanded = simulation.task.control(simulation, np.zeros((3, simulation.model.nu)))
    np.testing.assert_array_equal(simulation.ctrl, commanded)
    for world in range(3):
        data = simulation.world_data(world)
        data.ctrl[:] = commanded[world]
        mujoco.mj_forward(simulation.model, data)
        np.testing.assert_allclose(
            simulation.actuator_force[world], data.actuator_force, rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(simulation.qacc[world], data.qacc, rtol=1e-6, atol=1e-6)


def test_reading_forces_at_a_reset_does_not_change_the_motion():
    read, unread = (Simulation("quadruped", "randomized", num_envs=3, seed=5) for _ in range(2))
    read.actuator_force  # noqa: B018
    for simulation in (read, unread):
        simulation.reset()
        step_all(simulation, 10)
    np.testing.assert_array_equal(read.qpos, unread.qpos)


# -- what is handed out ------------------------------------------------------------------------


def handed_out(simulation, action):
    """All arrays that a control step, a reset and the rest of the interface give."""
    made = simulation.advance(action)
    state = simulation.qpos.copy(), simulation.qvel.copy()
    return {
        "observation": made.observation,
        "reward": made.reward,
        **{f"terms.{name}": values for name, values in made.terms.items()},
        "terminated": made.terminated,
        "truncated": made.truncated,
        "unstable": made.unstable,
        "final_observation": made.final_observation,
        "shown": simulation.observation,
        "episodes": simulation.episode_indices,
        "written": simulation.write_state(*state),
        "reset": simulation.reset([0]),
        **{f"snapshot.{name}": values for name, values in simulation.snapshot().items()},
    }


@pytest.mark.parametrize(
    ("task", "domain"),
    [
        (SLIDER, "nominal"),
        (SLIDER, "drawn"),
        ("cartpole", "randomized"),
        ("quadruped", "randomized"),
    ],
)
def test_what_was_handed_out_never_changes(task, domain):
    simulation = Simulation(task, domain, num_envs=3, seed=1, privileged=True)
    action = np.full((3, simulation.model.nu), 0.3)
    handed_out(simulation, action)
    given = handed_out(simulation, action)
    copies = {name: values.copy() for name, values in given.items()}
    contexts = simulation.contexts()
    handed_out(simulation, -action)
    for name, values in given.items():
        np.testing.assert_array_equal(values, copies[name], name)
    # nor does what the receiver does with it come back
    for values in given.values():
        if values.flags.writeable and values.dtype == np.float64:
            values[...] = 77.0
    for context in contexts:
        context["mine"] = 77.0
    assert not any("mine" in context for context in simulation.contexts())
    shown = handed_out(simulation, action)
    assert not any(np.any(values == 77.0) for values in shown.values())


# -- snapshots ---------------------------------------------------------------------------------


def test_a_snapshot_is_of_one_domain_and_model():
    heavy = Domain(name="heavy", dynamics=[{"field": "body_mass", "scale": {"uniform": [1, 2]}}])
    light = Domain(name="light", dynamics=[{"field": "body_mass", "scale": {"uniform": [0.5, 1]}}])
    snapshot = Simulation("hopper", heavy, num_envs=2).snapshot()
    Simulation("hopper", heavy.model_copy(update={"name": "renamed"}), num_envs=2).restore(snapshot)
    late = Domain(name="late", actuation=[{"delay": 0.01}])  # its state has another size
    for other in (light, late):
        with pytest.raises(UserError, match="snapshot: it was taken in another domain"):
            Simulation("hopper", other, num_envs=2).restore(snapshot)


def test_restoring_is_bitwise_where_control_reads_what_the_last_substep_left():
    def control(self, world, action):
        return action - 0.01 * world.qacc[:, -1:] + 0.1 * world.joint("rail").qfrc_actuator

    def make():
        domain = load_domain(load_task(SLIDER), "drawn")
        return Simulation(altered(SLIDER, control=control), domain, num_envs=3, seed=2)

    simulation, fresh = make(), make()
    step_all(simulation, 7)
    fresh.restore(simulation.snapshot())
    for one in (simulation, fresh):
        step_all(one, 7, seed=3)
    np.testing.assert_array_equal(simulation.qpos, fresh.qpos)
    np.testing.assert_array_equal(simulation.qacc, fresh.qacc)


# -- errors of the engine in the forward pass of a reset ---------------------------------------

BODIES = 12
PILE = f"""<mujoco><size memory="60K"/><option timestep="0.01"/><worldbody>
<geom type="plane" size="5 5 .1"/>
{"".join(f'<body name="b{i}"><freejoint/><geom size=".1"/></body>' for i in range(BODIES))}
</worldbody><actuator><motor name="m" site="s" gear="1 0 0 0 0 0" ctrlrange="-1 1"/></actuator>
</mujoco>""".replace('<body name="b0"><freejoint/>', '<body name="b0"><freejoint/><site name="s"/>')


class Pile(Task):
    """Balls that lie apart, but in world 1 on one heap, for which the engine has no memory."""

    control_dt, episode_s = 0.01, 0.05

    def observe(self, world):
        return {"place": world.xpos.reshape(world.num_envs, -1)}

    def reward(self, world, action):
        return {"one": np.ones(world.num_envs)}

    def start(self, world, ids, rng):
        places = world.qpos.reshape(world.num_envs, BODIES, 7)
        places[ids, :, :3] = 0.05
        places[ids, :, 0] += 0.1 * np.arange(BODIES)
        apart = ids[ids != 1]
        places[apart, :, 0] += 100.0 * np.arange(BODIES)
        places[apart, :, 2] += 5.0


def test_an_error_of_the_engine_at_a_reset_makes_that_world_unstable(tmp_path):
    (tmp_path / "pile.xml").write_text(PILE)
    task = type("HeapTask", (Pile,), {"model": str(tmp_path / "pile.xml")})()
    simulation = Simulation(task, num_envs=3)
    for _ in range(3):
        transition = simulation.step(np.zeros((3, 1)))
        assert transition.unstable.tolist() == [False, True, False]
        assert np.isfinite(transition.observation).all()
        assert [episode.unstable for episode in transition.episodes] == [True]


# -- while an episode starts --------------------------------------------------------------------


class Started(type(load_task(SLIDER))):
    """The slider, which notes where its mass is when it starts and when its command is drawn."""

    model = SLIDER.replace(".py", ".xml")
    memory: ClassVar = {"default": 1, "started": 1, "viewed": 1, "redrawn": 1}

    def observe(self, world):
        return {"height": world.xpos[:, 1], **super().observe(world)}

    def start(self, world, ids, rng):
        world.memory["default"][ids] = world.xpos[ids, 1, :1]
        world.qpos[ids, 0] = rng.uniform(-0.5, 0.5, (len(ids),))
        world.memory["started"][ids] = world.xpos[ids, 1, :1]
        world.memory["viewed"][ids] = world.body("mass").xpos[ids, :1]

    def redraw(self, world, ids, rng):
        world.memory["redrawn"][ids] = world.xpos[ids, 1, :1]


def test_fields_are_current_while_an_episode_starts():
    simulation, alone = Simulation(Started(), num_envs=3, seed=2), Simulation(Started(), seed=2)
    for ids in (None, [1], [0, 2]):
        step_all(simulation, 5)
        kept = {name: values.copy() for name, values in simulation.memory.items()}
        simulation.reset(ids)
        worlds = np.arange(3) if ids is None else np.array(ids)
        place = simulation.qpos[:, :1]
        assert place[worlds].all()
        np.testing.assert_array_equal(simulation.memory["default"][worlds], 0.0)
        for name in ("started", "viewed", "redrawn"):
            np.testing.assert_allclose(simulation.memory[name][worlds], place[worlds], rtol=1e-12)
            still = np.setdiff1d(np.arange(3), worlds)
            np.testing.assert_array_equal(simulation.memory[name][still], kept[name][still])
    alone.reset(episodes=[int(simulation.episode_indices[2])])
    np.testing.assert_array_equal(alone.memory["redrawn"][0], simulation.memory["redrawn"][2])


def test_reading_fields_while_an_episode_starts_does_not_change_the_motion():
    class Silent(Started):
        def start(self, world, ids, rng):
            world.qpos[ids, 0] = rng.uniform(-0.5, 0.5, (len(ids),))

        redraw = Task.redraw

    ours, theirs = (Simulation(task(), num_envs=2, seed=3) for task in (Started, Silent))
    for _ in range(3):
        for one in (ours, theirs):
            step_all(one, 5)
            one.reset([1])
        np.testing.assert_array_equal(ours.qpos, theirs.qpos)
        np.testing.assert_array_equal(ours.qacc, theirs.qacc)
