"""What the comparison of identifications computes, against closed forms and plain loops."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
from scipy import stats

from sim2real import files
from sim2real.benchmark import baselines, toolbox
from sim2real.benchmark.identification import Given, family, shares_of
from sim2real.benchmark.identification_report import errors, report
from sim2real.benchmark.recovery import drawn, recorded
from sim2real.errors import UserError
from sim2real.identification.fit import start
from sim2real.identification.problem import Problem
from sim2real.identification.replay import Windows


def problem_of(task: str, steps: int) -> tuple[Problem, dict[str, float]]:
    """A noise-free problem of a random target, and the truth."""
    unknowns = family(task, "plain")
    truth = drawn(unknowns, 3)
    log = recorded(unknowns, truth, steps, 3, {})
    size = sum(one.shape[1] for one in log.observations.values())
    return Given(unknowns, log, np.zeros(size), "plain", 0, 0).problem(5), truth


def test_the_discrepancy_is_the_weighted_sum_of_distances_and_squares() -> None:
    gaps = np.array([[[1.0, -2.0], [0.0, 3.0]], [[0.0, 0.0], [0.0, 0.5]]])
    assert baselines.discrepancy(gaps) == pytest.approx([0.5 * 6 + 14, 0.25 + 0.25])


def test_the_likelihood_is_that_of_a_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    gaps, epsilon = rng.normal(0.3, 2.0, (4, 9, 3)), np.array([0.1, 0.2, 0.3])
    expected = [
        stats.multivariate_normal(np.zeros(3), np.cov(one.T) + np.diag(epsilon)).logpdf(
            one.mean(axis=0)
        )
        for one in gaps
    ]
    assert baselines.log_likelihood(gaps, epsilon) == pytest.approx(expected)


def test_the_likelihood_of_a_linear_system_has_its_closed_form() -> None:
    """x' = a t with t ~ N(m, s²): the next state is normal around a m with variance a² s²."""
    rng = np.random.default_rng(1)
    slopes, mean, std, epsilon = np.array([0.5, 2.0]), 1.5, 0.2, 0.01
    observed = slopes * 1.7
    simulated = slopes[:, None] * rng.normal(mean, std, (2, 200_000))
    found = baselines.log_likelihood(
        (observed[:, None] - simulated)[..., None], np.array([epsilon])
    )
    spread = np.sqrt(slopes**2 * std**2 + epsilon)
    assert found == pytest.approx(stats.norm(slopes * mean, spread).logpdf(observed), abs=0.01)


def test_candidates_of_dropo_are_normal_distributions_of_shares() -> None:
    noise = np.array([[0.0, 0.0], [1.0, -10.0]])
    point = np.array([0.5, 0.9, 0.0, 1.0])
    shares = baselines.drawn_shares(point, noise)
    assert shares[0] == pytest.approx([0.5, 0.9])
    assert shares[1] == pytest.approx([0.5 + baselines.NARROWEST, 0.0])


def test_simopt_finds_a_target() -> None:
    pytest.importorskip("cma")
    problem, truth = problem_of("cartpole", 100)
    found = baselines.simopt(problem, 8_000, 0)
    values = dict(zip(truth, problem.replay.family.space.values(found).tolist(), strict=True))
    assert values["strength"] == pytest.approx(truth["strength"], rel=0.02)
    assert problem.replay.simulated < 12_000


@pytest.mark.parametrize("task", ["cartpole", "hopper", "half_cheetah"])
def test_a_modified_spec_moves_as_the_family_does(task: str) -> None:
    """A plain loop over `mj_step` with the toolbox's model against our replay."""
    problem, truth = problem_of(task, 60)
    task_, windows, replay = problem.replay.family.task, problem.windows, problem.replay
    spec = toolbox.explicit_spec(task_)
    write = toolbox.modifier(spec)
    for name, value in truth.items():
        write(spec, SimpleNamespace(name=name, value=np.array([value])))
    model = spec.compile()
    data = mujoco.MjData(model)
    commands = toolbox.shifted(windows, replay.substeps, 0)[0]
    data.qpos[:], data.qvel[:] = windows.qpos[0], windows.qvel[0]
    qpos, qvel = [], []
    for command in commands:
        data.ctrl[:] = command
        mujoco.mj_step(model, data)
        qpos.append(data.qpos.copy())
        qvel.append(data.qvel.copy())
    ends = slice(replay.substeps - 1, None, replay.substeps)
    expected = toolbox.observed(task_, np.array(qpos)[ends], np.array(qvel)[ends])
    shares = shares_of(replay.family, truth)
    found = replay.run(shares[None], windows, np.zeros(1, dtype=int), np.zeros((1, 2 * model.nv)))
    np.testing.assert_allclose(found[0, 1:], expected, rtol=1e-6, atol=1e-6)


def test_an_unknown_that_no_modifier_writes_is_refused() -> None:
    spec = toolbox.explicit_spec(family("cartpole", "plain").task)
    with pytest.raises(UserError, match="unknown 'body_pos:cart'; allowed: body_mass"):
        toolbox.modifier(spec)(spec, SimpleNamespace(name="body_pos:cart", value=np.ones(1)))


def test_late_commands_are_shifted_by_physics_steps() -> None:
    nothing = np.zeros((1, 0))
    windows = Windows(
        np.arange(5.0).reshape(1, 5, 1), nothing, nothing, nothing, {}, np.zeros(1, int), 2
    )
    assert toolbox.shifted(windows, 2, 0)[0, :, 0].tolist() == [2, 2, 3, 3, 4, 4]
    assert toolbox.shifted(windows, 2, 3)[0, :, 0].tolist() == [0, 1, 1, 2, 2, 3]


def test_the_start_states_of_all_methods_show_the_readings() -> None:
    """Also where the estimate of `cut` stops beside the readings, as in a window of this log."""
    problem, truth = problem_of("cartpole", 400)
    fit = start(problem, shares_of(problem.replay.family, truth))
    assert np.abs(fit.residuals).max() < 1e-6


@pytest.mark.skipif(not toolbox.has_toolbox(), reason="mujoco[sysid] is not installed")
def test_the_toolbox_finds_a_target() -> None:
    problem, truth = problem_of("cartpole", 100)
    values, simulated = toolbox.fitted(problem)
    assert values == pytest.approx(truth, rel=1e-3)
    assert simulated > 0


def test_the_report_has_a_row_for_each_method(tmp_path: Path) -> None:
    def own(value: float) -> dict[str, object]:
        return {
            "values": {"mass": value, "delay": 0.0},
            "simulated_steps": 1_000,
            "cpu_seconds": 2.0,
            "load": 1.0,
            "prediction": 0.5,
        }

    result = {
        "truth": {"mass": 2.0, "delay": 0.0},
        "prediction": {"truth": 0.1, "nominal": 3.0},
        "methods": {"identify": own(2.02), "SimOpt": own(1.0)},
    }
    files.write_json(tmp_path / "cartpole-plain-00.json", result)
    text = report(tmp_path, {"DROPO": "the package cma is not installed"})
    assert errors(result, "SimOpt") == [0.5]
    assert "| identify | 1.00% | 1.0% | 0.5 | 1,000 | 2 s |" in text
    assert "| SimOpt | 50.00% | 50.0% | 0.5 | 1,000 | 2 s |" in text
    assert "| (nominal) |  |  | 3 |  |  |" in text
    assert "`DROPO` is left out: the package cma is not installed." in text
