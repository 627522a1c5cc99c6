"""The three methods as plain SB3 callbacks, on a world where the right answer is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env

from sim2real.errors import UserError
from sim2real.learning.adaptive import ADR, DORAEMON, AdaptiveRandomization, Curriculum
from sim2real.learning.adaptive.beta import entropy
from sim2real.policies.scaled_reward import ScaledReward
from sim2real.simulation.front_ends.vec_env import make_vec_env

# of the range 0.5 to 1.5 of a mass's factor, 1.3 is at the share 0.8, and nominal at 0.5
SHARE = 0.8


def logged(callback: AdaptiveRandomization) -> dict[str, float]:
    """What goes to TensorBoard."""
    values: dict[str, float] = callback.state()["told"]
    return values


def test_adr_expands_to_the_threshold(train: Any) -> None:
    callback = ADR(low=0.3, high=0.7, boundary_probability=0.8, buffer=4, step=0.06)
    train(callback, 16_000)
    left, right = callback.bounds
    np.testing.assert_array_equal(right, [0.0, 1.0])  # the right mass does nothing: all of it
    assert left[0] == 0.0
    assert abs(left[1] - SHARE) <= 0.06  # one step in, one step out
    values = logged(callback)
    assert values["low/body_mass:left"] == pytest.approx(0.5)
    assert values["high/body_mass:left"] == pytest.approx(0.5 + left[1])
    assert values["entropy/body_mass:left"] == pytest.approx(np.log(left[1]))
    assert values["entropy"] == pytest.approx(np.log(left[1]))
    assert values["moved_out"] > values["moved_in"] >= 1
    drawn = callback.simulation.context[:, 0]  # some before the last move of a bound
    assert np.all((drawn >= 0.5) & (drawn <= 0.5 + left[1] + 0.06))


def test_adr_starts_at_the_nominal_values(train: Any) -> None:
    callback = ADR(low=-1.0, high=2.0, boundary_probability=0.8)  # never moves
    train(callback, 256)
    np.testing.assert_allclose(callback.bounds, 0.5, atol=1e-12)
    np.testing.assert_allclose(callback.simulation.context, 1.0, rtol=1e-12)


def test_adr_draws_back_to_the_nominal_value_and_no_further(train: Any) -> None:
    callback = ADR(low=0.3, high=0.7, buffer=2, step=0.4)
    train(callback, 2000)
    callback.options = callback.options.model_copy(update={"low": 2.0, "high": 3.0})
    train(callback, 8000, env=callback.training_env)
    np.testing.assert_allclose(callback.bounds, 0.5, atol=1e-12)


def test_doraemon_becomes_the_whole_domain_where_that_succeeds_often_enough(train: Any) -> None:
    callback = DORAEMON(success_rate=0.5, episodes=64, divergence=0.5)
    train(callback, 6000)
    np.testing.assert_allclose(callback.shapes, 1.0, atol=0.05)
    values = logged(callback)
    assert values["entropy"] == pytest.approx(0.0, abs=1e-3)
    assert values["success_rate"] == pytest.approx(SHARE, abs=0.15)
    assert 1 <= values["effective_episodes"] <= 64
    assert values["low/body_mass:right"] == pytest.approx(0.55, abs=0.01)
    assert values["high/body_mass:right"] == pytest.approx(1.45, abs=0.01)


def test_doraemon_finds_the_widest_distribution_that_succeeds_nine_times_in_ten(train: Any) -> None:
    callback = DORAEMON(success_return=0.9, success_rate=0.9, episodes=300, divergence=0.2)
    train(callback, 30_000)
    left, right = callback.shapes
    np.testing.assert_allclose(right, 1.0, atol=0.2)
    best = scipy.optimize.minimize(
        lambda s: -entropy(s[None])[0],
        [2.0, 3.0],
        bounds=[(1.0, 50.0)] * 2,
        constraints=[{"type": "ineq", "fun": lambda s: scipy.stats.beta(*s).cdf(SHARE) - 0.9}],
    )
    # 300 episodes tell a rate of 0.9 to within 0.02
    assert scipy.stats.beta(*left).cdf(SHARE) == pytest.approx(0.9, abs=0.06)
    assert entropy(left[None])[0] == pytest.approx(-best.fun, abs=0.12)


def test_doraemon_waits_for_the_first_success(train: Any) -> None:
    callback = DORAEMON(success_return=5.0, episodes=32, concentration=20.0)
    train(callback, 4000)
    np.testing.assert_allclose(callback.shapes, 11.0)  # the mode 10 / 20 is nominal
    assert logged(callback)["success_rate"] == 0.0


def test_doraemon_draws_back_when_success_is_lost(train: Any) -> None:
    callback = DORAEMON(success_rate=0.6, episodes=64, divergence=0.5)
    train(callback, 4000)
    before = callback.shapes[0].copy()
    callback.options = callback.options.model_copy(update={"success_rate": 0.97})
    train(callback, 6000, env=callback.training_env)
    after = callback.shapes[0]
    assert scipy.stats.beta(*before).cdf(SHARE) < 0.85
    assert scipy.stats.beta(*after).cdf(SHARE) > 0.9


def test_curriculum_grows_with_the_steps(train: Any) -> None:
    callback = Curriculum(stages=4, until=0.5)
    levels: list[float] = []
    callback._on_rollout_start = lambda: levels.append(callback.level)  # type: ignore[method-assign]
    train(callback, 4096)
    # rollouts of 256 steps; a stage is an eighth of 4,096
    assert levels == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75] + [1.0] * 8
    assert callback.simulation.context.min() < 0.7
    assert callback.simulation.context.max() > 1.3
    assert logged(callback)["level"] == 1.0
    assert logged(callback)["low/body_mass:left"] == 0.5


def test_curriculum_begins_where_it_is_told(train: Any) -> None:
    callback = Curriculum(stages=2, until=1.0, start=0.5)
    levels: list[float] = []
    callback._on_rollout_start = lambda: levels.append(callback.level)  # type: ignore[method-assign]
    train(callback, 1024)
    assert levels == [0.5, 0.5, 0.75, 0.75]
    assert logged(callback)["low/body_mass:left"] == pytest.approx(0.5)


def test_curriculum_grows_while_the_return_is_high(train: Any) -> None:
    # at the level l a part (0.5 l - 0.3) / l fails: none at 0.6, 0.125 at 0.8, 0.2 at 1
    callback, easy = (Curriculum(stages=5, threshold=t, episodes=150) for t in (0.95, 0.7))
    for one in (callback, easy):
        train(one, 8000)
    assert callback.level == 0.8
    assert logged(callback)["stage_return"] == pytest.approx(0.875, abs=0.075)
    assert easy.level == 1.0


CALLBACKS: list[tuple[type[AdaptiveRandomization], dict[str, Any]]] = [
    (ADR, {"low": 0.3, "high": 0.7, "buffer": 3}),
    (DORAEMON, {"episodes": 40}),
    (Curriculum, {"stages": 5}),
    (Curriculum, {"stages": 5, "threshold": 0.8, "episodes": 40}),
]


@pytest.mark.parametrize(("kind", "options"), CALLBACKS)
def test_equal_seeds_give_equal_distributions(kind: Any, options: Any, train: Any) -> None:
    one, other, third = kind(**options), kind(**options), kind(**options)
    for callback, seed in ((one, 3), (other, 3), (third, 4)):
        train(callback, 1500, seed=seed)
    assert one.state() == other.state()
    assert one.state()["episodes"] != third.state()["episodes"]
    np.testing.assert_array_equal(one.simulation.context, other.simulation.context)


@pytest.mark.parametrize(("kind", "options"), CALLBACKS)
def test_a_state_goes_through_json(kind: Any, options: Any, train: Any) -> None:
    callback, again = kind(**options), kind(**options)
    train(callback, 2000)
    state = json.loads(json.dumps(callback.state(), allow_nan=False))
    again.restore(state)
    again.model = callback.model
    again._on_training_start()
    assert again.state() == callback.state()
    again.simulation.redistribute({})
    again.restore(state)
    again._on_training_start()
    drawn = [again.simulation._draws.to_array().tobytes()]
    callback._apply()
    assert drawn == [callback.simulation._draws.to_array().tobytes()]


def test_a_state_that_does_not_fit_is_refused(train: Any) -> None:
    callback = ADR(low=0.3, high=0.7)
    train(callback, 300)
    other = ADR(low=0.3, high=0.7, parameters=["body_mass:left"])
    other.restore(callback.state())
    with pytest.raises(UserError, match="state of adr is of other parameters: body_mass:left, bo"):
        train(other, 300)


def test_some_parameters_are_adapted_and_the_rest_stays_as_it_is(train: Any) -> None:
    callback = ADR(low=-1.0, high=2.0, parameters=["body_mass:left"])
    train(callback, 600)
    context = callback.simulation.context
    np.testing.assert_allclose(context[:, 0], 1.0, rtol=1e-12)
    assert np.ptp(context[:, 1]) > 0.5


def test_worlds_behind_a_wrapper_are_found(bandit: str) -> None:
    env = ScaledReward(make_vec_env(bandit, "randomized", num_envs=4, threads=1), 0.1)
    callback = DORAEMON(episodes=8)
    PPO("MlpPolicy", env, n_steps=8, batch_size=32, n_epochs=1).learn(512, callback=callback)
    assert callback.simulation is env.venv.simulation  # type: ignore[attr-defined]
    assert not np.allclose(callback.shapes, 16.0)


def test_other_environments_are_refused() -> None:
    env = sb3_make_vec_env("Pendulum-v1", 1)
    with pytest.raises(
        UserError, match=r"needs an environment of make_vec_env, got <.*DummyVecEnv"
    ):
        PPO("MlpPolicy", env, n_steps=8, batch_size=8).learn(8, callback=Curriculum())
    with pytest.raises(UserError, match="curriculum has not begun"):
        _ = Curriculum().simulation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ADR(low=2.0, high=1.0), "adr options: low 2 must not be above high 1"),
        (lambda: ADR(low=2.0), "adr options: high: must be given"),
        (lambda: ADR(low=1, high=2, steps=0.1), "unknown key 'steps'; did you mean 'step'"),
        (lambda: ADR(low=1, high=2, step=0.0), "step: .*greater than 0, got 0.0"),
        (lambda: DORAEMON(success_rate=1.0), "doraemon options: success_rate: .*less than 1"),
        (lambda: DORAEMON(divergence=-1.0), "divergence: .*greater than 0"),
        (lambda: Curriculum(until=2.0), "curriculum options: until: .*at most 1"),
        (lambda: Curriculum(stages=0), "stages: .*at least 1"),
    ],
)
def test_bad_options_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


def test_a_domain_with_nothing_to_adapt_is_refused(train: Any) -> None:
    for callback in (ADR(low=0, high=1), DORAEMON(), Curriculum()):
        with pytest.raises(UserError, match="domain 'constant' has nothing to adapt"):
            train(callback, 300, domain="constant")
