"""Domains with a control period of their own, constant or drawn at each step."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

import sim2real as s2r
from sim2real.domains import Domain, dump_domains, load_domains
from sim2real.errors import UserError
from sim2real.evaluation.audit import audit
from sim2real.registry import load_task
from sim2real.simulation import Simulation

SLIDER = str(Path(__file__).parents[1] / "robots" / "slider.py")
IRREGULAR = Domain(control_period={"uniform": [0.012, 0.036]})
TIMESTEP = 0.004


def test_a_longer_period_holds_each_action_longer() -> None:
    simulation = Simulation(SLIDER, Domain(control_period=0.028), threads=1)
    assert (simulation.substeps, simulation.dt) == (7, 0.028)
    assert simulation.episode_steps == 36  # 1 s
    simulation.write_state(np.zeros((1, 1)), np.zeros((1, 1)))
    for _ in range(5):
        simulation.advance(np.ones((1, 1)))
    # 3 N on 2 kg, semi-implicit Euler: a h^2 n (n + 1) / 2 after n = 35 steps
    expected = 1.5 * TIMESTEP**2 * 35 * 36 / 2
    assert simulation.qpos[0, 0] == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(simulation.step_s, [0.028])


def test_without_one_the_period_is_the_tasks_to_the_last_bit() -> None:
    simulation = Simulation("hopper", num_envs=2, threads=1)
    np.testing.assert_array_equal(simulation.step_s, [load_task("hopper").control_dt] * 2)


def test_an_irregular_period_is_a_plain_loop_with_these_steps() -> None:
    simulation = Simulation(SLIDER, IRREGULAR, num_envs=4, threads=1)
    model = load_task(SLIDER).compile()
    datas = [mujoco.MjData(model) for _ in range(4)]
    for data, start in zip(datas, simulation.qpos, strict=True):
        data.qpos[:] = start
    counts = []
    rng = np.random.default_rng(0)
    for _ in range(40):
        action = rng.uniform(-1, 1, (4, 1))
        simulation.advance(action)
        counts.append(np.rint(simulation.step_s / TIMESTEP).astype(int))
        for data, count, one in zip(datas, counts[-1], action, strict=True):
            data.ctrl[:] = one
            for _ in range(count):
                mujoco.mj_step(model, data)
        for data, qpos, time in zip(datas, simulation.qpos, simulation.time, strict=True):
            np.testing.assert_array_equal(qpos, data.qpos)
            assert float(np.squeeze(time)) == pytest.approx(data.time)
    taken = np.array(counts)
    assert (taken.min(), taken.max()) == (3, 9)
    assert taken.mean() == pytest.approx(6, abs=0.5)  # of a uniform distribution over 3 to 9
    assert (np.ptp(taken, axis=0) > 0).all()
    assert (np.ptp(taken, axis=1) > 0).any()


def lengths(num_envs: int, episodes: int) -> dict[int, np.ndarray]:
    """Episode number -> the seconds of its first 35 control steps."""
    simulation = Simulation(SLIDER, IRREGULAR, num_envs=num_envs, threads=1)
    found = {}
    for _ in range(episodes // num_envs):
        rows = []
        for _ in range(35):
            simulation.advance(np.zeros((num_envs, 1)))
            rows.append(simulation.step_s.copy())
        for world, episode in enumerate(simulation.episode_indices.tolist()):
            found[episode] = np.array(rows)[:, world]
        simulation.reset()
    return found


def test_its_draws_depend_on_seed_and_episode_alone() -> None:
    one, many = lengths(1, 4), lengths(4, 4)
    for episode in range(4):
        np.testing.assert_array_equal(one[episode], many[episode])
    assert not np.array_equal(one[0], one[1])


def test_a_snapshot_goes_on_in_the_middle() -> None:
    simulation = Simulation(SLIDER, IRREGULAR, num_envs=3, threads=1)
    for _ in range(34):
        simulation.advance(np.ones((3, 1)))
    snapshot = simulation.snapshot()
    ends = []
    for _ in range(2):
        for _ in range(8):
            simulation.advance(np.ones((3, 1)))
        ends.append((simulation.qpos.copy(), simulation.step_s.copy()))
        simulation.restore(snapshot)
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    np.testing.assert_array_equal(ends[0][1], ends[1][1])


@pytest.mark.parametrize("task", ["hopper", "half_cheetah", "walker2d", "swimmer"])
def test_a_velocity_is_a_distance_in_the_time_that_it_took(task: str) -> None:
    dt = load_task(task).control_dt
    domain = Domain(control_period={"uniform": [dt, 3 * dt]})
    simulation = Simulation(task, domain, num_envs=4, threads=1)
    rng = np.random.default_rng(0)
    for _ in range(5):
        before = simulation.qpos[:, 0].copy()
        made = simulation.advance(rng.uniform(-1, 1, (4, simulation.model.nu)) * 0.3)
        speed = (simulation.qpos[:, 0] - before) / simulation.step_s
        np.testing.assert_allclose(made.terms["forward"], speed, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("period", "message"),
    [
        (0.03, r"domain 'custom': control_period of 0\.03 s is not a multiple of 0\.004 s"),
        (0.0, r"control_period: 0 s reaches 0 to 0; it must lie between a physics step"),
        (2.0, r"it must lie between a physics step \(0\.004 s\) and an episode \(1 s\)"),
        ({"normal": [0.02, 0.001]}, "reaches -inf to inf"),
        ({"uniform": [0.001, 0.02]}, r"reaches 0\.001 to 0\.02"),
    ],
)
def test_periods_that_no_clock_can_have_are_refused(period: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation(SLIDER, Domain(control_period=period), threads=1)


def test_a_foreign_environment_keeps_its_own() -> None:
    with pytest.raises(UserError, match="a foreign environment cannot have control_period"):
        s2r.DomainWrapper(gymnasium.make("Hopper-v5"), Domain(control_period=0.016))


def test_a_file_may_say_so_and_the_audit_looks_at_it(tmp_path: Path) -> None:
    (tmp_path / "slow.yaml").write_text("late: {control_period: {uniform: [0.012, 0.036]}}")
    domain = load_domains(tmp_path / "slow.yaml")["late"]
    assert domain.describe() == ["a control step of 0.012 to 0.036 s"]
    (tmp_path / "again.yaml").write_text(dump_domains({"late": domain}))
    assert load_domains(tmp_path / "again.yaml")["late"] == domain
    (finding,) = audit(SLIDER, domain).findings
    assert (finding.parameter, finding.verdict) == ("control_period", "acts")
    (same,) = audit(SLIDER, Domain(control_period=0.02)).findings
    assert same.errors == ("has no effect: it is the task's own",)
