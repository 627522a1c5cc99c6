"""What a method sees of the target: what a robot would show, and nothing besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.registry import load_task
from sim2real.runs.state import capture_worlds, layers, restore_worlds
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.transfer.budget import Budget, Meter
from sim2real.transfer.target import Environments, Target, open_target
from sim2real.transfer.target_env import INFOS, TargetVecEnv

BUDGET = 1_000


@pytest.fixture
def opened() -> Any:
    environments = Environments(0)
    yield open_target(*asked("hard"), Budget(BUDGET), environments)
    environments.close()


@pytest.fixture
def target(opened: tuple[Target, Meter]) -> Target:
    return opened[0]


def asked(name: str) -> tuple[Any, Domain]:
    task = load_task("cartpole")
    return task, load_domain(task, name)


def stepped(env: TargetVecEnv, steps: int) -> list[list[dict[str, Any]]]:
    env.reset()
    return [env.step(np.ones((env.num_envs, 1)))[3] for _ in range(steps)]


@pytest.mark.parametrize("name", ["venv", "simulation", "meter", "unwrapped.simulation"])
def test_what_is_inside_has_no_name(name: str, target: Target) -> None:
    found: Any = target.env(2)
    *path, last = name.split(".")
    for part in path:
        found = getattr(found, part)
    assert not hasattr(found, last)
    assert [type(layer) for layer in layers(found)] == [TargetVecEnv]


@pytest.mark.parametrize("name", ["meter", "domain", "_meter", "_domain", "_simulation"])
def test_a_target_has_neither_domain_nor_meter(name: str, target: Target) -> None:
    assert not hasattr(target, name)


@pytest.mark.parametrize("name", ["domain", "context", "contexts", "model", "snapshot"])
def test_attributes_of_the_simulation_are_hidden(name: str, target: Target) -> None:
    env = target.env(2)
    inside = SimVecEnv(Simulation("cartpole", "hard"))
    assert inside.get_attr(name)  # so that the case can fail
    with pytest.raises(UserError, match=f"the target: unknown attribute '{name}'") as caught:
        env.get_attr(name)
    assert "\n" not in str(caught.value)
    assert not env.has_attr(name)


def test_the_contract_of_a_policy_is_visible(target: Target) -> None:
    env = target.env(2)
    assert env.get_attr("observation_terms") == [target.contract.observations] * 2
    assert env.get_attr("action_map") == [None, None]
    assert env.get_attr("dt") == [target.contract.control_dt] * 2
    assert (env.render_mode, env.has_attr("dt")) == (None, True)


@pytest.mark.parametrize("name", ["difficulty", "anything"])
def test_nothing_can_be_set(name: str, target: Target) -> None:
    with pytest.raises(UserError, match=f"attribute '{name}' of the target cannot be set"):
        target.env().set_attr(name, 0.0)


@pytest.mark.parametrize("name", ["snapshot", "restore", "contexts", "step", "reset"])
def test_no_method_can_be_called(name: str, target: Target) -> None:
    with pytest.raises(UserError, match=f"method '{name}' of the target cannot be called"):
        target.env().env_method(name)
    assert target.usage.steps == 0


def test_infos_have_no_context(target: Target) -> None:
    env = target.env(3)
    rows = stepped(env, 150)
    found = {key for infos in rows for info in infos for key in info}
    assert {"episode", "failed", "terminal_observation"} <= found <= set(INFOS)
    assert env.reset_infos == [{}] * 3


def test_episodes_cannot_be_chosen(target: Target) -> None:
    env, other = target.env(2), SimVecEnv(Simulation("cartpole", "hard", 2, seed=0))
    first = env.reset()
    assert np.array_equal(first, other.reset())
    env.seed(0)
    assert not np.array_equal(env.reset(), first)
    with pytest.raises(UserError, match="episodes of the target cannot be chosen"):
        env.set_options({"episode": 0})


def test_steps_through_any_environment_are_counted(opened: tuple[Target, Meter]) -> None:
    target, meter = opened
    stepped(target.env(3), 4)
    stepped(target.env(), 2)
    assert target.usage == meter.usage
    assert target.usage.steps == 3 * 4 + 2
    with pytest.raises(AttributeError):
        target.usage = meter.usage  # type: ignore[misc]
    with pytest.raises(AttributeError):
        target.usage.steps = 0  # type: ignore[misc]


def test_a_learner_has_the_policy_columns(target: Target) -> None:
    recipe = load_recipe("ppo", None, {"n_steps": 8, "batch_size": 8, "privileged": True})
    env = target.env(2)
    assert env.observation_space.shape == (5,)
    terms = build_algorithm(recipe, env, 0).policy.observation_terms
    assert {term.group for term in terms} == {"policy"}


@pytest.mark.parametrize(
    ("name", "is_target"), [("hard", False), ("nominal", False), ("other", True)]
)
def test_a_target_is_known_by_its_content(name: str, is_target: bool, target: Target) -> None:
    _, hard = asked("hard")
    content = hard if is_target else asked("nominal")[1]
    domain = content.model_copy(update={"name": name, "about": "other words"})
    assert target.is_target(domain) == is_target


def test_the_state_of_a_closed_environment_is_restored(target: Target) -> None:
    env = target.env(2)
    stepped(env, 3)
    tensors, state = capture_worlds(env)
    following = env.step(np.ones((2, 1)))[0], env.reset()
    assert target.usage.resets == 4
    again = Environments(0)
    other, meter = open_target(*asked("hard"), Budget(BUDGET), again)
    fresh = other.env(2)
    restore_worlds(fresh, tensors, state)
    assert (meter.usage.steps, meter.usage.resets) == (6, 2)
    assert np.array_equal(fresh.step(np.ones((2, 1)))[0], following[0])
    assert np.array_equal(fresh.reset(), following[1])  # the next episodes, not the first ones
    again.close()


def test_a_target_without_reward_shows_none(target: Target) -> None:
    environments = Environments(0)
    hidden, _ = open_target(*asked("hard"), Budget(BUDGET), environments, rewarded=False)
    found = []
    for one in (target, hidden):
        env = one.env(2)
        env.reset()
        steps = [env.step(np.ones((2, 1))) for _ in range(300)]
        rewards = np.array([step[1] for step in steps])
        infos = {key for step in steps for info in step[3] for key in info}
        found.append((rewards, infos, steps[-1][0]))
    environments.close()
    (shown, known, last), (zero, rest, same) = found
    assert shown.all()
    assert not zero.any()
    assert known - rest == {"episode", "reward_terms"}
    np.testing.assert_array_equal(last, same)
