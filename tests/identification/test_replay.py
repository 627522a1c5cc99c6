"""Replays from estimated states are what the log shows, where the world is the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Constant
from sim2real.errors import UserError
from sim2real.identification.family import Family, family_of
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.identification.replay import Replay, moved
from sim2real.identification.windows import channels_of, check_log, cut
from sim2real.learning.adaptive.space import share_of
from sim2real.registry import load_task
from sim2real.simulation import Simulation


def shares_of(family: Family, values: dict[str, float]) -> np.ndarray:
    pairs = zip(family.names, family.space.bases, strict=True)
    return np.array([float(share_of(base, np.array(values[name]))) for name, base in pairs])


def replayed(task: str, domain: Domain, family: Domain | None, steps: int = 200, dofs: Any = None):  # type: ignore[no-untyped-def]
    """Residuals of a replay in the world of the log, in units of a channel's change."""
    rng = np.random.default_rng(3)
    simulation = Simulation(task, domain, 1, seed=2)
    low, high = simulation.action_space.low, simulation.action_space.high
    actions = np.repeat(rng.uniform(low, high, (steps, len(low))), 1, axis=0)
    log = record(simulation, actions, steps)
    found = family_of(load_task(task), family)
    replay = Replay(found, 64, threads=1)
    channels = channels_of(log, replay)
    windows = cut(log, replay, channels, 8)
    truth = dict(zip(found.names, found.nominal_values, strict=True)) | simulation.contexts()[0]
    shares = np.tile(shares_of(found, truth), (len(windows), 1))
    offsets = np.zeros((len(windows), 2 * replay.model.nv))
    shown = replay.run(shares, windows, np.arange(len(windows)), offsets)
    gap = (shown - windows.observations)[:, :, channels.used] / channels.scale[channels.used]
    return gap, windows


@pytest.mark.parametrize("delay", [0.0, 0.008, 0.012])
def test_the_hopper_is_replayed_exactly(delay: float) -> None:
    target = Domain(
        dynamics=[{"field": "body_mass", "of": "torso", "scale": 1.3}], actuation=[{"delay": delay}]
    )
    gap, windows = replayed("hopper", target, None)
    assert len(windows) > 8
    assert np.median(np.abs(gap), axis=(0, 2)).max() < 1e-4  # contacts amplify rounding
    assert np.median(np.abs(gap[:, 0])) < 1e-9


def test_commands_before_a_window_are_written_as_if_simulated() -> None:
    """Shares that differ in every replay, so that each has a delay of its own."""
    rng = np.random.default_rng(0)
    log = record(Simulation("half_cheetah", None, 1), rng.uniform(-1, 1, (60, 6)), 60)
    family = family_of(load_task("half_cheetah"), None)
    replay = Replay(family, 8, threads=1)
    windows = cut(log, replay, channels_of(log, replay), 5).take(slice(0, 8))
    shares = np.stack([family.snapped(one) for one in rng.uniform(size=(8, len(family.names)))])
    given = shares, windows, np.arange(8), np.zeros((8, 2 * replay.model.nv))
    assert replay.simulated_fill == 0
    written = replay.run(*given)
    replay.before_substep = lambda worlds: None
    assert replay.simulated_fill == replay.fill == 5
    np.testing.assert_allclose(replay.run(*given), written, rtol=1e-6, atol=1e-9)


def test_a_lag_and_a_backlash_are_replayed() -> None:
    """The memory of an actuator is filled by the commands before a window."""
    target = Domain(actuation=[{"lag": 0.004}, {"strength": 0.9}])
    family = Domain(
        actuation=[{"lag": {"uniform": [0.0, 0.01]}}, {"strength": {"uniform": [0.5, 1.5]}}]
    )
    gap, _ = replayed("hopper", target, family)
    assert np.median(np.abs(gap)) < 0.02


def test_an_encoder_shows_exact_values_in_a_replay() -> None:
    """So that readings have slopes: half the change of a mass makes half the difference."""
    mass = {"field": "body_mass", "of": "pendulum", "scale": {"uniform": [0.5, 1.5]}}
    family = family_of(load_task("furuta"), Domain(dynamics=[mass]))
    voltages = np.tile(np.repeat([[1.0], [-1.0]], 5, axis=0), (20, 1))
    log = record(Simulation("furuta", None, 1), voltages, 200)
    replay = Replay(family, 16, threads=1)
    windows = cut(log, replay, channels_of(log, replay), 10)
    each = np.arange(len(windows))
    shown = [
        replay.run(np.full((len(each), 1), share), windows, each, np.zeros((len(each), 4)))
        for share in (0.5, 0.5001, 0.5002)
    ]
    assert np.abs(shown[1] - shown[0]).max() > 1e-6
    np.testing.assert_allclose(shown[2] - shown[0], 2 * (shown[1] - shown[0]), rtol=0.01, atol=1e-7)


def test_an_angle_behind_cosine_and_sine_is_found() -> None:
    gap, windows = replayed("furuta", Domain(), None, steps=120)
    assert np.abs(windows.qpos[:, 1]).max() > 2  # it hangs
    assert np.median(np.abs(gap[:, :3, :3])) < 0.3  # those of the log round


def test_goals_come_from_the_log() -> None:
    gap, _ = replayed("arm_reach", Domain(), None, steps=150)
    assert np.median(np.abs(gap)) < 1e-6


def test_offsets_move_the_start_in_the_tangent_space() -> None:
    model = load_task("quadruped").compile()
    qpos, qvel = np.tile(model.qpos0, (2, 1)), np.zeros((2, model.nv))
    offset = np.zeros((2, 2 * model.nv))
    offset[1, 3], offset[1, model.nv] = np.pi, 2.0
    new, speed = moved(model, qpos, qvel, offset)
    assert np.array_equal(new[0], qpos[0])
    assert new[1, 3:7] == pytest.approx([0, 1, 0, 0], abs=1e-12)  # half a turn about x
    assert speed[1, 0] == 2.0


def hopper_log(**changed: Any) -> Log:
    log = record(Simulation("hopper", None, 1, seed=0), np.zeros((40, 3)), 40)
    parts = {name: getattr(log, name) for name in log.__dataclass_fields__}
    return Log(**parts | changed)


def test_logs_of_another_robot_are_refused() -> None:
    replay = Replay(family_of(load_task("hopper")), 2, threads=1)
    check_log(hopper_log(), replay)
    log = hopper_log()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"actuators": ("a", "b", "c")}, "the log commands a, b, c; task 'hopper' has thigh_joint"),
        ({"observations": {"position": log.observations["position"]}, "units": {}}, "'velocity'"),
        (
            {"observations": log.observations | {"positon": log.observations["position"]}},
            "unknown observation of task 'hopper' 'positon'; did you mean 'position'",
        ),
        (
            {"observations": log.observations | {"position": np.ones((len(log), 4))}},
            "the log has 4 numbers of 'position'; task 'hopper' has 5",
        ),
    ]
    for changed, message in cases:
        with pytest.raises(UserError, match=message):
            check_log(hopper_log(**changed), replay)


def test_a_short_log_is_refused() -> None:
    replay = Replay(family_of(load_task("hopper")), 2, threads=1)
    log = hopper_log()
    with pytest.raises(UserError, match=r"windows of 15 steps; allowed: 4 or more"):
        cut(log, replay, channels_of(log, replay), 15)


def test_a_point_domain_is_the_world_of_its_shares() -> None:
    family = family_of(load_task("hopper"))
    constants = dict(zip(family.names, map(Constant, family.nominal_values), strict=True))
    point = family.with_distributions(constants, "point")
    given = Simulation(family.task, point, 1, threads=1)
    replay = Replay(family, 1, threads=1)
    replay.given = family.contexts(family.nominal)
    replay.reset()
    for field in ("body_mass", "body_inertia", "dof_damping", "geom_friction"):
        assert np.array_equal(given.expanded(field), replay.expanded(field)), field
