from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sim2real.errors import UserError
from sim2real.policies import ALGORITHMS
from sim2real.policies.recipe import load_recipe
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import describe_method, load_method
from sim2real.transfer.methods import METHODS
from sim2real.transfer.methods.distill import Distill
from sim2real.transfer.methods.fine_tune import FineTune
from sim2real.transfer.methods.freeze import Freeze
from sim2real.transfer.methods.scratch import Scratch


class Mine(Scratch):
    """A method of a user."""

    name: ClassVar[str] = "mine"


@pytest.mark.parametrize("name", METHODS)
def test_a_described_method_is_made_again(name: str) -> None:
    method = load_method(name, {"num_envs": 3})
    assert method.name == name
    described = describe_method(method)
    assert described["name"] == name
    assert load_method(described) == method


def test_a_method_of_ones_own() -> None:
    assert describe_method(Mine())["name"] == f"{__file__}:Mine"
    assert load_method(Mine()) == Mine()


def test_a_copy_of_a_shipped_method_is_described_by_its_own_file(tmp_path: Path) -> None:
    """Its class and its name are those of the shipped one, its code need not be."""
    shipped = inspect.getsourcefile(Scratch)
    assert shipped is not None
    copied = tmp_path / "my_scratch.py"
    shutil.copy(shipped, copied)
    described = describe_method(load_method(str(copied)))
    assert described["name"] == f"{copied}:Scratch"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("fine_tun", {}, "unknown method 'fine_tun'; did you mean 'fine_tune'"),
        ("nowhere:Method", {}, "method 'nowhere:Method': No module named 'nowhere'"),
        ("sim2real.transfer.budget:Meter", {}, "must be a class derived from Method"),
        ("sim2real.transfer.method:LearnerMethod", {}, "has no name and prepare: it is no method"),
        ("fine_tune", {"warmup": 0.1}, "unknown key 'warmup'; did you mean 'warm_up'"),
        ("fine_tune", {"learning_rate_factor": 0}, "learning_rate_factor: .*greater than 0"),
        ("fine_tune", {"log_std": float("nan")}, "log_std: .*finite"),
        ("distill", {"student": "tiny"}, "student"),
        ("distill", {"loss": "sampled"}, "loss"),
        ({"name": "scratch", "num_envs": "many"}, {}, "num_envs"),
        ({}, {}, "unknown method ''"),
        (Scratch(), {"num_envs": 2}, "made already"),
    ],
)
def test_bad_methods_are_refused(method: Any, options: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_method(method, options)
    assert "\n" not in str(caught.value)


def test_the_users_recipe_wins() -> None:
    source = load_recipe("ppo")
    budget = Budget(1000)
    recipe = FineTune(num_envs=3, recipe={"n_steps": 7}).target_recipe(source, budget)
    assert (recipe.num_envs, recipe.n_steps) == (3, 7)  # type: ignore[union-attr]
    with pytest.raises(UserError, match="unknown ppo option 'n_step'; did you mean 'n_steps'"):
        Scratch(recipe={"n_step": 7}).resized(source)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_recipes_in_the_target(algorithm: str) -> None:
    source, budget = load_recipe(algorithm), Budget(10_000)
    scratch = Scratch().target_recipe(source, budget)
    tuned = FineTune(learning_rate_factor=0.25).target_recipe(source, budget)
    assert scratch.learning_rate == source.learning_rate
    assert tuned.learning_rate == pytest.approx(0.25 * source.learning_rate)
    assert scratch.num_envs == tuned.num_envs == Freeze().target_recipe(source, budget).num_envs
    if algorithm != "ppo":
        assert tuned.learning_starts == 0  # type: ignore[union-attr]
        assert scratch.learning_starts == 500  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("student", "layers"), [("small", (32, 32)), ("same", (64, 64)), ((8,), (8,)), ("9x7", (9, 7))]
)
def test_sizes_of_students(student: Any, layers: tuple[int, ...]) -> None:
    method = load_method("distill", {"student": student})
    assert isinstance(method, Distill)
    assert method.target_recipe(load_recipe("ppo"), Budget(1000)).net_arch == layers


@pytest.mark.parametrize("name", ["fine_tune", "retrain", "identify", "statistics", "mixed_replay"])
@pytest.mark.parametrize("recipe", [{"net_arch": [8]}, {"critic_norm": "batch"}])
def test_networks_whose_weights_are_copied_are_the_sources(
    name: str, recipe: dict[str, Any]
) -> None:
    method = load_method(name, {"recipe": recipe})
    with pytest.raises(UserError, match="copies the weights of the source, allowed: "):
        method.target_recipe(load_recipe("sac"), Budget(1000))


def test_a_fresh_critic_may_have_other_layers() -> None:
    method = load_method("fine_tune", {"critic": "fresh", "recipe": {"critic_net_arch": [8]}})
    assert method.target_recipe(load_recipe("sac"), Budget(1000)).critic_net_arch == (8,)
