"""Presets: the published numbers, names, levels, and the ranges that the documentation prints."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from sim2real.domains import dump_domains, load_domain, load_domains, preset_domains
from sim2real.domains.presets import preset_names
from sim2real.errors import UserError
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

ROBOTS = Path(__file__).parent.parent / "robots"
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "presets.md"
RANGES = {
    name: domain
    for block in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, domain in yaml.safe_load(block).items()
}


def model(task, preset):
    return Simulation(task, preset, threads=1).world_model(0)


# -- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", task_names())
def test_every_task_has_the_combined_challenges(task):
    assert {"rwrl:easy", "rwrl:medium", "rwrl:hard"} <= set(preset_names(load_task(task)))


def test_a_robot_of_the_users_has_them_too():
    domain = load_domain(str(ROBOTS / "slider.py"), "rwrl:easy")
    assert domain.actuation[0].distribution.value == pytest.approx(3 * 0.02)
    assert not domain.dynamics
    assert not [
        name for name in preset_names(load_task(str(ROBOTS / "slider.py"))) if "odrl" in name
    ]


@pytest.mark.parametrize("task", ["hopper", "ant"])
def test_presets_survive_a_round_trip(task, tmp_path):
    domains = preset_domains(task)
    assert list(domains) == preset_names(load_task(task))
    assert {name: domain.name for name, domain in domains.items()} == {
        name: name for name in domains
    }
    (tmp_path / "all.yaml").write_text(dump_domains(domains))
    assert load_domains(tmp_path / "all.yaml") == domains
    again = load_domain(task, f"{tmp_path / 'all.yaml'}:odrl:friction-0.5")
    assert again == domains["odrl:friction-0.5"]


@pytest.mark.parametrize(
    ("task", "name", "message"),
    [
        (
            "hopper",
            "rwrl:eas",
            "unknown preset of task 'hopper' 'rwrl:eas'; did you mean 'rwrl:easy'",
        ),
        ("hopper", "rwl:easy", "did you mean 'rwrl:easy'"),
        ("hopper", "odrl:friktion-2", "did you mean 'odrl:friction-2'"),
        ("hopper", "odrl:friction", "unknown preset"),
        ("hopper", "odrl:friction-easy", "unknown preset"),
        ("hopper", "odrl:kinematic-hipjnt-easy", "unknown preset"),
        ("hopper", "odrl:gravity-0", "greater than 0, got 0"),
        ("hopper", "odrl:gravity-nan", "greater than 0, got nan"),
        ("pusher", "odrl:friction-2", "unknown preset of task 'pusher'"),
    ],
)
def test_unknown_presets_are_refused(task, name, message):
    with pytest.raises(UserError, match=message):
        load_domain(task, name)


# -- the Real-World RL suite -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "delay", "reward_delay", "noise", "probability", "steps", "repeat"),
    [
        ("easy", 3, 10, 0.1, 0.01, 1, None),
        ("medium", 6, 20, 0.3, 0.05, 5, 2),
        ("hard", 9, 40, 1.0, 0.1, 10, 3),
    ],
)
def test_the_combined_challenges_have_the_suites_numbers(
    level, delay, reward_delay, noise, probability, steps, repeat
):
    plain = load_domain("humanoid", f"rwrl:{level}").plain()  # 15 ms, actions within 0.4
    action_delay, action_noise, *repeats = plain["actuation"]
    assert action_delay["delay"] == pytest.approx(delay * 0.015)
    assert action_noise["noise"] == {"normal": [0.0, pytest.approx(0.4 * noise)]}
    assert repeats == ([{"repeat": repeat}] if repeat else [])
    observation_delay, observation_noise, dropped, held, late = plain["sensing"]
    assert observation_delay == {"delay": pytest.approx(delay * 0.015)}
    assert observation_noise == {"noise": {"normal": [0.0, noise]}}
    assert dropped["dropped"] == held["held"] == probability
    assert dropped.get("steps", 1) == held.get("steps", 1) == steps
    assert late == {"reward_delay": pytest.approx(reward_delay * 0.015)}


# -- off-dynamics RL ---------------------------------------------------------------------------


def test_friction_goes_with_the_floor():
    nominal, shifted = model("hopper", None), model("hopper", "odrl:friction-0.1")
    np.testing.assert_allclose(shifted.geom_friction[:, 0], 0.1 * nominal.geom_friction[:, 0])
    np.testing.assert_array_equal(shifted.geom_friction[:, 1:], nominal.geom_friction[:, 1:])
    assert shifted.geom("floor").friction[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("level", "factor"), [("0.1", 0.1), ("5", 5.0), ("0.73", 0.73)])
def test_gravity_is_multiplied(level, factor):
    assert model("ant", f"odrl:gravity-{level}").opt.gravity[2] == pytest.approx(-9.81 * factor)


# published numbers, from the model files of the benchmark: degrees and metres
RANGE = {
    ("hopper", "kinematic-legjnt-easy"): {"leg_joint": (-120, 0)},
    ("hopper", "kinematic-footjnt-hard"): {"foot_joint": (-9, 9)},
    ("walker2d", "kinematic-thighjnt-hard"): {
        "thigh_joint": (-30, 0),
        "thigh_left_joint": (-30, 0),
    },
    ("walker2d", "kinematic-footjnt-medium"): {"foot_left_joint": (-22.5, 22.5)},
    ("half_cheetah", "kinematic-thighjnt-hard"): {
        "bthigh": (np.degrees(-0.104), np.degrees(0.21)),
        "fthigh": (np.degrees(-0.2), np.degrees(0.14)),
    },
    ("half_cheetah", "kinematic-footjnt-easy"): {"bfoot": (np.degrees(-0.32), np.degrees(0.628))},
    ("ant", "kinematic-hipjnt-easy"): {f"hip_{i}": (-24, 24) for i in (1, 2, 3, 4)},
    ("ant", "kinematic-anklejnt-hard"): {"ankle_1": (30, 38), "ankle_3": (-38, -30)},
}


@pytest.mark.parametrize(("task", "shift"), RANGE)
def test_kinematic_shifts_have_the_published_ranges(task, shift):
    shifted = model(task, f"odrl:{shift}")
    for joint, ends in RANGE[task, shift].items():
        np.testing.assert_allclose(np.degrees(shifted.joint(joint).range), ends, atol=1e-9)


SHAPE = {  # geom: radius, half length, middle in the body's frame
    ("hopper", "morph-foot-medium"): {"foot_geom": (0.036, 0.117, (-0.091, 0, 0.1))},
    ("hopper", "morph-torso-easy"): {"torso_geom": (0.075, 0.24, (0, 0, 0.04))},
    ("walker2d", "morph-torso-hard"): {"torso_geom": (0.125, 0.4, (0, 0, 0.2))},
    ("walker2d", "morph-leg-hard"): {
        "thigh_geom": (0.05, 0.425, (0, 0, -0.425)),
        "leg_left_geom": (0.04, 0.05, (0, 0, -0.2)),
    },
    ("half_cheetah", "morph-torso-medium"): {
        "torso": (0.046, 0.25, (0, 0, 0)),
        "head": (0.046, 0.15, (0.35, 0, 0.1)),
    },
    ("ant", "morph-alllegs-hard"): {
        "left_ankle_geom": (0.08, 0.0565685, (0.04, 0.04, 0)),
        "fourth_ankle_geom": (0.08, 0.0565685, (0.04, -0.04, 0)),
    },
    ("ant", "morph-halflegs-easy"): {
        "right_ankle_geom": (0.08, 0.226274, (-0.16, 0.16, 0)),
        "third_ankle_geom": (0.08, 0.282843, (-0.2, -0.2, 0)),
    },
}


@pytest.mark.parametrize(("task", "shift"), SHAPE)
def test_morphological_shifts_have_the_published_sizes(task, shift):
    shifted = model(task, f"odrl:{shift}")
    for name, (radius, half_length, middle) in SHAPE[task, shift].items():
        geom = shifted.geom(name)
        np.testing.assert_allclose(geom.size[:2], (radius, half_length), atol=1e-6)
        np.testing.assert_allclose(geom.pos, middle, atol=1e-6)


def test_the_parts_still_hang_together():
    walker = model("walker2d", "odrl:morph-leg-hard")
    np.testing.assert_allclose(walker.joint("leg_joint").pos, (0, 0, -0.15), atol=1e-12)
    cheetah = model("half_cheetah", "odrl:morph-torso-hard")
    np.testing.assert_allclose(cheetah.body("bthigh").pos, (-0.1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(cheetah.body("fthigh").pos, (0.1, 0, 0), atol=1e-12)
    shorter = model("half_cheetah", "odrl:morph-thigh-0.5")
    nominal = model("half_cheetah", None)
    for link, factor in (("bshin", 0.5), ("fshin", 0.5), ("bfoot", 0.634), ("ffoot", 0.767)):
        length = np.linalg.norm(shorter.body(link).pos) / np.linalg.norm(nominal.body(link).pos)
        assert length == pytest.approx(factor, abs=0.03)  # a little off the long axis


# -- ranges in the documentation ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "robot"), [("go1", "quadruped"), ("walk-these-ways", "quadruped"), ("leap", "hand")]
)
def test_documented_ranges_fit_the_robots_they_are_for(name, robot, tmp_path):
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({name: RANGES[name]}))
    simulation = Simulation(
        str(ROBOTS / f"{robot}.py"), f"{tmp_path / 'all.yaml'}:{name}", num_envs=4, threads=1
    )
    nominal = Simulation(simulation.task, num_envs=4, threads=1)
    assert np.ptp(simulation.context, axis=0).max() > 0
    for _ in range(50):
        still = np.zeros((4, simulation.model.nu))
        moved, calm = simulation.step(still), nominal.step(still)
        assert not moved.unstable.any()
    assert np.abs(moved.observation - calm.observation).max() > 1e-3


def test_all_documented_ranges_are_tested():
    assert set(RANGES) == {"go1", "walk-these-ways", "leap"}
