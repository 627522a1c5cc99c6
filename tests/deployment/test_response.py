"""The linear model of responses against a linear system whose numbers are known."""

from __future__ import annotations

import numpy as np
import pytest

from sim2real.deployment.faults import Channels, found_faults
from sim2real.deployment.response import Episode, Response, later

CHANGE = np.array([[-0.2, 0.1], [0.15, -0.3]])  # of x, in a step, by x
GAIN = np.array([[0.3, 0.5]])  # and by the one command
OFFSET = np.array([0.05, -0.02])
NAMES = Channels(["a[0]", "a[1]"], ["command of motor"], ["a", "a"], {}, [None])


def episode(rows: int = 400, seed: int = 0, delay: int = 0) -> Episode:
    rng = np.random.default_rng(seed)
    commands, x = rng.normal(size=(rows, 1)), np.zeros((rows, 2))
    for row in range(rows - 1):
        given = commands[max(row - delay, 0)]
        noise = 0.01 * rng.normal(size=2)
        x[row + 1] = x[row] + OFFSET + x[row] @ CHANGE + given @ GAIN + noise
    return x, commands


@pytest.fixture(scope="module")
def response() -> Response:
    return Response.fit([episode()], lags=0)


def test_the_numbers_of_the_system_are_found(response: Response) -> None:
    np.testing.assert_allclose(response.weights, np.vstack([CHANGE, GAIN]), atol=3e-3)
    np.testing.assert_allclose(response.offset, OFFSET, atol=3e-3)
    np.testing.assert_allclose(response.scale, 0.01, rtol=0.1)
    np.testing.assert_allclose(response.scores([episode(seed=1)]), 1.0, atol=0.3)


def test_the_numbers_survive_as_json(response: Response) -> None:
    again = Response.of(response.plain())
    np.testing.assert_allclose(again.weights, response.weights, rtol=1e-5)
    assert again.lags == 0


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_late_commands_are_found(response: Response, delay: int) -> None:
    assert response.late([episode(seed=2, delay=delay)]) == delay


def test_half_a_step_is_the_mean_of_two_commands() -> None:
    seen, commands = np.arange(6.0)[:, None], 10 * np.arange(6.0)[:, None]
    ((rows, mixed),) = later([(seen, commands)], 1.5)
    np.testing.assert_array_equal(rows[:, 0], [2, 3, 4, 5])
    np.testing.assert_array_equal(mixed[:, 0], [5, 15, 25, 35])
    ((rows, mixed),) = later([(seen, commands)], -1)
    np.testing.assert_array_equal(mixed[:, 0], 10 * (rows[:, 0] + 1))


def test_a_shift_is_found(response: Response) -> None:
    seen, commands = episode(seed=3)
    found = response.shifts([(seen + np.array([0.0, 0.4]), commands)])
    assert found[1] == pytest.approx(0.4, abs=0.02)


def test_the_fault_that_explains_an_episode_is_named(response: Response) -> None:
    seen, commands = episode(seed=4)
    usual = np.ones(2)

    def faults(x: np.ndarray, u: np.ndarray) -> list[str]:
        return found_faults(response, [(x, u)], usual, NAMES)

    assert faults(seen, commands) == []
    assert faults(seen, -commands) == ["command of motor seems to be reversed"]
    assert faults(seen * [1, -1], commands * 1)[0].endswith("seems to be reversed")
    assert faults(seen[:, ::-1], commands) == ["a[0] and a[1] seem to be swapped"]
    noise = np.random.default_rng(0).normal(size=seen.shape)
    assert faults(noise, commands)[0].endswith("does not answer as in any world of the training")
