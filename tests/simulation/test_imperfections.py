"""Imperfections of actuators, sensors and rewards inside a simulation."""

import re
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from sim2real.domains import Domain, Subject, bind, load_domain
from sim2real.domains.distributions.distribution import Constant
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.domains.entries.kinds import ACTUATION as ACTUATIONS
from sim2real.domains.entries.kinds import SENSING as SENSINGS
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.randomness import ACTUATION, EpisodeGenerators
from sim2real.task import ObservationTerm

SLIDER, SERVO = (
    str(Path(__file__).parent.parent / "robots" / f"{name}.py") for name in ("slider", "servo")
)
EVERYTHING = {
    "actuation": [
        {"latency": {"uniform": [0.0, 0.05]}},
        {"repeat": {"choice": [1, 2, 3]}},
        {"dropped": {"uniform": [0.0, 0.2]}, "steps": 2},
        {"held": 0.1, "shared": True},
        {"quantization": {"uniform": [0.0, 0.1]}},
        {"noise": {"normal": [0.0, 0.1]}},
        {"saturation": {"uniform": [0.5, 1.0]}},
        {"dead_zone": 0.02},
        {"rate_limit": {"uniform": [10, 50]}},
        {"lag": {"uniform": [0.0, 0.05]}},
        {"backlash": 0.05},
        {"delay": {"uniform": [0.0, 0.03]}, "jitter": {"uniform": [-0.01, 0.01]}},
        {"strength": {"uniform": [0.8, 1.2]}},
    ],
    "sensing": [
        {"delay": {"uniform": [0.0, 0.05]}, "jitter": {"truncated_normal": [0, 0.01, -0.02, 0.02]}},
        {"rate": {"uniform": [30, 80]}, "phase": {"uniform": [0, 1]}},
        {"scale": {"normal": [1.0, 0.1]}},
        {"bias": {"normal": [0.0, 0.1]}},
        {"drift": {"uniform": [0.0, 0.2]}},
        {"noise": {"normal": [0.0, 0.1]}},
        {"saturation": 20.0},
        {"quantization": 0.01},
        {"stuck": 0.002},
        {"dropped": 0.02, "steps": 3},
        {"held": {"uniform": [0.0, 0.1]}, "steps": 2},
        {"reward_delay": {"uniform": [0.0, 0.1]}},
    ],
}
ALL = Domain(**EVERYTHING)


def actions(simulation, steps, seed=0):
    shape = (steps, simulation.num_envs, simulation.model.nu)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def trajectory(simulation, steps):
    return [simulation.step(action) for action in actions(simulation, steps)]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.reward, other.reward)
        assert one.episodes == other.episodes


@pytest.mark.parametrize("task", ["hopper", SLIDER])
def test_the_same_at_any_number_of_threads(task):
    one, two = (Simulation(task, ALL, num_envs=5, seed=3, threads=t) for t in (1, 2))
    assert_equal(trajectory(one, 60), trajectory(two, 60))


@pytest.mark.parametrize("task", ["hopper", SLIDER])
def test_a_snapshot_continues_bitwise_in_mid_episode(task):
    simulation = Simulation(task, ALL, num_envs=4, seed=2)
    trajectory(simulation, 33)
    snapshot = simulation.snapshot()
    expected = trajectory(simulation, 70)
    assert sum(len(transition.ended) for transition in expected) > 0
    fresh = Simulation(task, ALL, num_envs=4, seed=0)
    fresh.restore(snapshot)
    assert_equal(trajectory(fresh, 70), expected)


def test_an_episode_does_not_know_who_shares_its_batch():
    few, many = (Simulation(SLIDER, ALL, num_envs=n, seed=7) for n in (2, 6))
    few.reset(episodes=[4, 5])
    push = np.random.default_rng(0).uniform(-1, 1, (45, 6, 1))
    np.testing.assert_array_equal(few.observation, many.observation[4:])
    for action in push:
        ours, theirs = few.advance(action[4:]), many.advance(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation[4:])
        np.testing.assert_array_equal(ours.reward, theirs.reward[4:])


def test_worlds_that_stand_still_forget_nothing():
    pausing, plain = (Simulation(SLIDER, ALL, num_envs=2, seed=1) for _ in range(2))
    push = np.random.default_rng(0).uniform(-1, 1, (40, 2, 1))
    for step, action in enumerate(push):
        if step % 3 == 0:
            before = pausing.observation
            pausing.advance(-action, np.array([False, False]))
            np.testing.assert_array_equal(pausing.observation, before)
        ours, theirs = pausing.advance(action), plain.advance(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation)
        np.testing.assert_array_equal(ours.reward, theirs.reward)


def test_the_first_observation_has_filled_the_lines():
    late = Simulation(SLIDER, Domain(sensing=[{"delay": 0.05}]), num_envs=3)
    clean = Simulation(SLIDER, num_envs=3)
    first = clean.observation
    np.testing.assert_array_equal(late.observation, first)
    truths = [first, first, first]
    for _ in range(20):
        truths.append(clean.step(np.ones((3, 1))).observation)
        seen = late.step(np.ones((3, 1))).observation
        # 0.05 s are two and a half control steps
        np.testing.assert_allclose(seen, (truths[-3] + truths[-4]) / 2, rtol=1e-12)


def test_a_world_that_is_put_elsewhere_is_sensed_there():
    simulation = Simulation(SLIDER, Domain(sensing=[{"delay": 0.1}]))
    simulation.step(np.ones((1, 1)))
    np.testing.assert_array_equal(simulation.write_state([[3.0]], [[1.0]]), [[3.0, 1.0]])


def test_bias_and_scale_are_drawn_for_each_number():
    domain = Domain(
        sensing=[
            {"bias": {"uniform": [-1, 1]}, "of": "position"},
            {"scale": {"uniform": [0.5, 2]}, "of": ["velocity[0]", "velocity[2]"], "shared": True},
        ]
    )
    simulation, plain = Simulation("hopper", domain, 3), Simulation("hopper", None, 3)
    names = tuple(f"sensor_bias:position[{i}]" for i in range(5))
    assert simulation.context_names == (*names, "sensor_scale")
    bias, scale = simulation.context[:, :5], simulation.context[:, 5]
    expected = plain.observation
    expected[:, :5] += bias
    expected[:, [5, 7]] *= scale[:, None]
    np.testing.assert_array_equal(simulation.observation, expected)


def test_shared_lapses_fall_together():
    def lost(shared):
        entry = {"dropped": 0.3, "of": "position", "shared": shared}
        simulation = Simulation("hopper", Domain(sensing=[entry]), num_envs=8)
        return simulation.observation[:, :5] == 0

    together = lost(True).sum(axis=1)
    assert set(together.tolist()) == {0, 5}
    assert len(set(lost(False).sum(axis=1).tolist())) > 2


@pytest.mark.parametrize("delay", [0.02, 0.05, 0.5])
def test_late_rewards_are_all_paid(delay):
    late, plain = Simulation(SLIDER, Domain(sensing=[{"reward_delay": delay}])), Simulation(SLIDER)
    ours, theirs = trajectory(late, 50), trajectory(plain, 50)
    paid, earned = (np.array([one.reward[0] for one in many]) for many in (ours, theirs))
    whole, fraction = divmod(delay / 0.02, 1)
    shifted = np.concatenate([np.zeros(int(whole) + 1), earned])
    expected = (1 - fraction) * shifted[1 : len(earned)] + fraction * shifted[: len(earned) - 1]
    np.testing.assert_allclose(paid[:-1], expected[: len(earned) - 1], atol=1e-12)
    assert paid.sum() == pytest.approx(earned.sum(), rel=1e-12)
    assert ours[-1].episodes[0].total == theirs[-1].episodes[0].total
    for one, other in zip(ours, theirs, strict=True):
        assert one.terms == other.terms


def test_the_reward_is_that_of_the_action_that_was_given():
    simulation = Simulation(SLIDER, Domain(actuation=[{"dropped": 1.0}]))
    transition = simulation.step(np.ones((1, 1)))
    assert simulation.ctrl[0, 0] == 0.0
    assert transition.terms["effort"][0] == pytest.approx(-0.1)


def test_saturation_is_a_fraction_of_the_control_range():
    domain = Domain(actuation=[{"saturation": 0.5}])
    humanoid = Simulation("humanoid", domain)
    humanoid.step(np.full((1, 17), 0.4, dtype=np.float32))
    np.testing.assert_allclose(humanoid.ctrl, 0.2)  # its range is 0.4


def test_a_jitter_of_nothing_is_none():
    plain, still = (
        Simulation("hopper", Domain(actuation=[entry]), num_envs=2, threads=1)
        for entry in ({"delay": 0.016}, {"delay": 0.016, "jitter": 0.0})
    )
    for _ in range(5):
        expected = plain.advance(np.ones((2, 3))).observation
        np.testing.assert_array_equal(still.advance(np.ones((2, 3))).observation, expected)


def test_jitter_writes_the_engines_delay():
    entry = {"delay": 0.02, "jitter": {"uniform": [-0.03, 0.01]}}
    simulation = Simulation(SLIDER, Domain(actuation=[entry]), num_envs=4, seed=5)
    for step in range(40):
        simulation.advance(np.ones((4, 1)))
        written = simulation.expanded("actuator_delay")[:, 0]
        for world in range(4):
            key = key_of("delay")
            block = EpisodeGenerators(5).at(world, ACTUATION, step // 32, key).random(32)
            jitter = -0.03 + 0.04 * block[step % 32]
            assert written[world] == pytest.approx(np.clip(0.02 + jitter, 0.0, 0.03))


def stepped(simulation, commands, world=0):
    """Positions of a plain `mj_step` loop at each control step, for commands (steps, nu)."""
    model = simulation.world_model(world)
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = simulation.qpos[world], simulation.qvel[world]
    found = [data.qpos.copy()]
    for command in commands:
        data.ctrl[:] = command
        mujoco.mj_step(model, data, simulation.substeps)
        found.append(data.qpos.copy())
    return np.array(found)


def test_a_latency_equals_a_plain_loop_with_older_actions():
    simulation = Simulation(SLIDER, Domain(actuation=[{"latency": 0.05}]))
    given = np.random.default_rng(0).uniform(-1, 1, (30, 1))
    begun = [3 * (step // 3) - 3 for step in range(30)]  # 0.05 s are three control steps
    expected = stepped(simulation, [given[one] if one >= 0 else [0.0] for one in begun])
    for action, place in zip(given, expected[1:], strict=True):
        np.testing.assert_array_equal(simulation.advance(action[None]).observation[:, :1], [place])


def test_a_sensor_with_a_rate_equals_samples_of_a_plain_loop():
    entries = [{"rate": 30, "phase": 0.2, "of": "place"}]
    simulation = Simulation(SLIDER, Domain(sensing=entries))
    given = np.random.default_rng(0).uniform(-1, 1, (30, 1))
    truth = stepped(simulation, given)[:, 0]
    times = [0.2 / 30 + np.floor((0.02 * k - 0.2 / 30) * 30) / 30 for k in range(1, 31)]
    expected = np.interp(np.maximum(times, 0.0), 0.02 * np.arange(31), truth)
    for action, place in zip(given, expected, strict=True):
        seen = simulation.advance(action[None]).observation
        assert seen[0, 0] == pytest.approx(place, abs=1e-12)


def test_a_sample_keeps_its_noise():
    entries = [{"rate": 20.0, "of": "place"}, {"noise": {"normal": [0, 1]}}]
    simulation = Simulation(SLIDER, Domain(sensing=entries), num_envs=3)
    seen = [simulation.observation]
    seen += [simulation.advance(np.zeros((3, 1))).observation for _ in range(40)]
    changes = np.diff(np.stack(seen), axis=0) != 0
    fresh = [k for k in range(1, 41) if (2 * k) % 5 in (0, 1)]  # samples every 2.5 control steps
    assert (np.flatnonzero(changes[:, 0, 0]) + 1).tolist() == fresh
    assert (changes[:, :, 0] == changes[:, :1, 0]).all()
    assert changes[:, :, 1].all()


@pytest.mark.parametrize("steps", range(1, 10))
def test_a_delay_of_physics_steps_is_the_same_at_all_times(steps):
    model = load_task("half_cheetah").compile()
    late = steps * model.opt.timestep
    simulation = Simulation("half_cheetah", Domain(actuation=[{"delay": late}]))
    given = np.random.default_rng(0).uniform(-1, 1, (60, model.nu))
    commands = np.concatenate(
        [np.zeros((steps, model.nu)), np.repeat(given, simulation.substeps, axis=0)]
    )
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = simulation.qpos[0], simulation.qvel[0]
    for step, action in enumerate(given):
        for substep in range(simulation.substeps):
            data.ctrl[:] = commands[simulation.substeps * step + substep]
            mujoco.mj_step(model, data)
        simulation.advance(action[None])
        np.testing.assert_allclose(simulation.qpos[0], data.qpos, rtol=1e-6, atol=1e-9)


def test_actuators_of_a_joint_are_late_alike():
    late = {"delay": {"uniform": [0.0, 0.05]}, "shared": "joint"}
    simulation = Simulation(SERVO, Domain(actuation=[late]), num_envs=4)
    joints = ("shoulder", "elbow", "wrist", "turn", "rail")
    assert simulation.context_names == tuple(f"delay:{joint}" for joint in joints)
    delays = simulation.expanded("actuator_delay")
    np.testing.assert_allclose(delays, simulation.context[:, [0, 1, 2, 3, 4, 4]], rtol=2e-6)
    given = np.random.default_rng(0).uniform(-1, 1, (20, 6))
    expected = stepped(simulation, given, 2)
    for action, place in zip(given, expected[1:], strict=True):
        simulation.advance(np.tile(action, (4, 1)))
        np.testing.assert_allclose(simulation.qpos[2], place, rtol=1e-9, atol=1e-12)


def test_noise_and_losses_of_a_joint_are_one():
    noise = {"noise": {"normal": [0, 0.1]}, "shared": "joint"}
    jitter = {"delay": 0.02, "jitter": {"uniform": [-0.01, 0.01]}, "shared": "joint"}
    simulation = Simulation(SERVO, Domain(actuation=[noise, jitter]), num_envs=2)
    simulation.advance(np.zeros((2, 6)))
    ctrl, delays = simulation.ctrl, simulation.expanded("actuator_delay")
    for values in (ctrl, delays):
        np.testing.assert_array_equal(values[:, 4], values[:, 5])  # drive and pump move the rail
        assert len(set(values.ravel().tolist())) == 10


def test_a_foreign_model_has_its_delay_in_the_signal():
    domain = Domain(actuation=[{"delay": 0.05}])
    terms = (ObservationTerm("place", 1),)
    subject = Subject("slider", terms, 0.02, 1.0)
    foreign = bind(domain, load_task(SLIDER).compile(), subject)
    assert [effect.stage.name for effect in foreign.actuation] == ["delay"]
    assert not foreign.writes
    ours = Simulation(SLIDER, domain).plan
    assert not ours.actuation
    assert [write.array for write in ours.writes] == ["actuator_delay"]
    assert ours.names == foreign.names == ("delay",)


@pytest.mark.parametrize("task", ["hopper", "humanoid"])
def test_what_changes_nothing_is_a_bitwise_no_op(task):
    identity = {
        "actuation": [
            {"repeat": 1},
            *({kind: 0.0} for kind in ("dropped", "held", "quantization", "noise", "dead_zone")),
            *({kind: 0.0} for kind in ("lag", "backlash", "delay", "latency")),
            {"saturation": 1.0},
            {"strength": 1.0},
        ],
        "sensing": [
            {"scale": 1.0},
            *({kind: 0.0} for kind in ("delay", "bias", "drift", "noise", "quantization")),
            *({kind: 0.0} for kind in ("stuck", "dropped", "held", "reward_delay")),
        ],
    }
    ours, plain = Simulation(task, Domain(**identity), 3), Simulation(task, None, 3)
    assert ours.context_names
    assert not ours.plan.actuation
    assert not ours.plan.sensing
    assert_equal_but_for_contexts(ours, plain)
    # the same with stages that are there and draw their identities
    drawn = {
        section: [
            entry
            if "noise" in entry
            else {kind: {"choice": [value, abs(value - 0.5)]} for kind, value in entry.items()}
            for entry in entries
            if "repeat" not in entry
        ]
        for section, entries in identity.items()
    }
    ours, plain = Simulation(task, Domain(**drawn), 3), Simulation(task, None, 3)
    assert len(ours.plan.actuation) == 8
    assert len(ours.plan.sensing) == 8 + 2 * (task == "humanoid")  # which observes a quaternion
    ends = zip(ours.context_names, ours.plan.distributions, strict=True)
    ours.redistribute({name: Constant(choice.values[0]) for name, choice in ends})
    ours.reset(episodes=range(3))
    assert_equal_but_for_contexts(ours, plain)


def assert_equal_but_for_contexts(ours, plain):
    for action in actions(plain, 30):
        one, other = ours.step(action), plain.step(action)
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.reward, other.reward)


REFUSED = [
    ("actuation", {"lag": 0.1, "of": "psh"}, "lag: .*did you mean 'push'"),
    ("actuation", {"delay": 1.0}, "a delay of 1 s is as long as an episode"),
    ("actuation", {"delay": 0.9, "jitter": {"uniform": [0, 0.1]}}, "as long as an episode"),
    ("sensing", {"delay": 1.0, "of": "place"}, "sensor_delay: a delay of 1 s is as long as"),
    ("sensing", {"reward_delay": 1.5}, "reward_delay: a delay of 1.5 s is as long as an episode"),
    ("sensing", {"rate": {"uniform": [0.5, 9]}}, "sensor_rate: a period of 2 s is as long as"),
    ("actuation", {"latency": 1.0}, "latency: a delay of 1 s is as long as an episode"),
    ("sensing", {"bias": 1.0, "of": "palce"}, "sensor_bias.*did you mean 'place'"),
    ("sensing", {"bias": 1.0, "of": "place[1]"}, "unknown observation term"),
]


@pytest.mark.parametrize(("section", "entry", "message"), REFUSED)
def test_what_does_not_fit_the_task_is_refused(section, entry, message):
    domain = Domain(name="odd", **{section: [entry]})
    with pytest.raises(UserError, match=message) as caught:
        Simulation(SLIDER, domain)
    assert "'odd'" in str(caught.value)


@pytest.mark.parametrize("of", [["place", "place"], ["place", "pl*"]])
def test_a_term_that_is_named_twice_is_one(of):
    domain = Domain(sensing=[{"bias": 1.0, "of": of, "name": "b"}])
    assert Simulation(SLIDER, domain).context_names == ("b:place",)


@pytest.mark.parametrize(
    ("section", "first", "second", "message"),
    [
        ("actuation", {"lag": 0.1}, {"lag": 0.2, "name": "more"}, "push has two entries of the"),
        ("actuation", {"delay": 0.1}, {"delay": 0.1, "name": "more"}, "two entries of the kind"),
        ("actuation", {"noise": 0.1}, {"noise": 0.2}, "noise: push has two entries"),
        ("sensing", {"noise": 0.1}, {"noise": 0.2, "of": "speed"}, "speed has two entries"),
        ("sensing", {"bias": 0.1, "of": "speed"}, {"bias": 1.0, "name": "b"}, "b: speed has two"),
        ("sensing", {"reward_delay": 0.1}, {"reward_delay": 0.2}, "the reward has two entries"),
    ],
)
def test_two_of_a_kind_are_refused(section, first, second, message):
    with pytest.raises(UserError, match=message):
        Simulation(SLIDER, Domain(**{section: [first, second]}))


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("actuation", {"lag": -0.1}, "lag must be at least 0, got -0.1"),
        ("actuation", {"rate_limit": 0.0}, "rate_limit must be greater than 0"),
        ("actuation", {"dropped": 1.5}, "dropped must be at most 1, got 1.5"),
        ("actuation", {"held": {"uniform": [-0.1, 0.1]}}, "held must be at least 0"),
        ("actuation", {"saturation": 1.5}, "saturation must be at most 1"),
        ("actuation", {"repeat": 0}, "repeat must be at least 1"),
        ("actuation", {"repeat": {"uniform": [1, 3]}}, "a choice of whole numbers"),
        ("actuation", {"repeat": 1.5}, "repeat must be a whole number"),
        ("actuation", {"lag": 0.1, "jitter": 0.1}, "jitter belongs to a delay, not to lag"),
        ("actuation", {"jitter": 0.1}, "needs exactly one of .*; got none"),
        ("actuation", {"delay": 0.1, "jitter": {"normal": [0, 1]}}, "jitter must be bounded"),
        ("actuation", {"lag": {"normal": [0.1, 0.1]}}, "use truncated_normal"),
        ("actuation", {"lag": 0.1, "steps": 2}, "lag takes no steps; dropped and held do"),
        ("actuation", {"held": 0.1, "steps": 0}, "at least 1"),
        ("sensing", {"stuck": 2.0}, "stuck must be at most 1"),
        ("sensing", {"rate": 0.0}, "rate must be greater than 0"),
        ("sensing", {"rate": 50, "phase": 1.5}, "a phase must lie within 0 to 1, got 1.5"),
        ("sensing", {"bias": 0.1, "phase": 0.5}, "phase belongs to a rate, not to bias"),
        ("sensing", {"bias": 0.1, "shared": "joint"}, "shared"),
        ("actuation", {"strength": 0.5, "shared": "joint"}, "strength is that of an actuator"),
        ("actuation", {"lag": 0.1, "shared": "joints"}, "shared"),
        ("actuation", {"latency": -0.1}, "latency must be at least 0"),
        ("sensing", {"drift": -1.0}, "drift must be at least 0"),
        ("sensing", {"saturation": 0.0}, "saturation must be greater than 0"),
        ("sensing", {"reward_delay": 0.1, "of": "place"}, "drop 'of'"),
        ("sensing", {"reward_delay": 0.1, "jitter": 0.1}, "not to reward_delay"),
    ],
)
def test_impossible_values_are_refused(section, entry, message, tmp_path):
    (tmp_path / "mine.yaml").write_text(f"odd: {{{section}: [{entry}]}}")
    with pytest.raises(UserError, match=message) as caught:
        load_domain(SLIDER, f"{tmp_path / 'mine.yaml'}:odd")
    assert f"odd: {section}.0" in str(caught.value)


def test_a_domain_says_what_it_does_to_signals():
    assert ALL.describe()[0] == "actuator latency 0 to 0.05 s, one draw for all"
    assert ALL.describe()[2] == "actuator dropped 0 to 0.2 a step, for 2 steps"
    assert ALL.describe()[3] == "actuator held 0.1 a step, one draw for all"
    assert "sensor rate 30 to 80 Hz, first after 0 to 1 periods" in ALL.describe()
    joint = Domain(actuation=[{"delay": 0.01, "shared": "joint"}])
    assert joint.describe() == ["actuator delay 0.01 s, one draw for each joint"]
    assert "sensor bias + 0 ± 0.1" in ALL.describe()
    assert Domain(**ALL.plain()).describe() == ALL.describe()
    assert not ALL.is_constant
    assert Domain(sensing=[{"noise": {"normal": [0, 1]}}, {"bias": 0.1}]).is_constant


def test_the_page_lists_every_kind_with_what_it_does():
    page = (Path(__file__).parents[2] / "docs" / "howto" / "imperfections.md").read_text()
    for section, kinds in (("actuation", ACTUATIONS), ("sensing", SENSINGS)):
        assert f"```{{kinds}} {section}\n```" in page
        abouts = [kind.__doc__ for kind in kinds.values()]
        assert all(abouts)
        assert len(set(abouts)) == len(kinds)
    (worn,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    simulation = Simulation("hopper", Domain(**yaml.safe_load(worn)["worn"]), num_envs=2)
    assert "lag:leg_joint" in simulation.context_names
    assert "sensor_bias:position[3]" in simulation.context_names


def test_an_unstable_world_leaves_nothing_behind_in_its_sensors():
    broken, healthy = (Simulation("hopper", ALL, num_envs=4, seed=0) for _ in range(2))
    for step, action in enumerate(actions(broken, 30)):
        if step == 5:
            broken.qvel[2] = 1e30
        ours, theirs = broken.step(action), healthy.step(action)
        others = [0, 1, 3]
        np.testing.assert_array_equal(ours.observation[others], theirs.observation[others])
        assert ours.unstable.tolist() == [False, False, step == 5, False]
        assert np.isfinite(ours.observation).all()
        assert np.isfinite(ours.reward).all()


COMMANDED = ["delay", "scale", "bias", "drift", "noise", "quantization", "stuck", "dropped", "held"]


@pytest.mark.parametrize("kind", COMMANDED)
def test_what_a_robot_is_commanded_has_a_sensor_only_where_it_is_named(kind):
    magnitude = {"noise": {"normal": [0, 1]}, "scale": 0.5, "stuck": 0.5, "dropped": 0.5}

    def sensed(**entry):
        domain = Domain(sensing=[{kind: magnitude.get(kind, 0.3), **entry}])
        return [effect.columns.tolist() for effect in Simulation("quadruped", domain).plan.sensing]

    assert sensed() == [list(range(30))]
    assert sensed(of=["*"]) == [list(range(30))]
    assert sensed(of="command") == [[42, 43, 44]]
    assert sensed(of=["gyro", "last_action[1]"]) == [[0, 1, 2, 31]]
    assert sensed(of="*_action") == [list(range(30, 42))]  # a pattern that no sensed term matches
