from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import act, by_domain, evaluate, returns
from sim2real.evaluation.row_files import load_rows, save_rows
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env


class Linear:
    """A fixed linear policy; each action depends on its own row alone."""

    def __init__(self, size: int, actions: int) -> None:
        self.weights = np.random.default_rng(0).standard_normal((size, actions)) / size

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: Any = 0
    ) -> tuple[NDArray[Any], Any]:
        return np.tanh((observation[:, :, None] * self.weights).sum(axis=1)), None


class Recurrent(Linear):
    """Counts the steps of each world's episode in its state and acts on the count."""

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: Any = 0
    ) -> tuple[NDArray[Any], Any]:
        count = np.zeros(len(observation)) if state is None else state
        count = np.where(episode_start, 0, count + 1)
        return np.sin(count)[:, None] * super().predict(observation)[0], count


@pytest.mark.parametrize("kind", [Linear, Recurrent])
def test_rows_do_not_depend_on_the_number_of_worlds(kind: type[Linear]) -> None:
    policy = kind(11, 3)
    several = [
        evaluate(policy, "hopper", ["nominal", "randomized"], episodes=5, num_envs=n, threads=t)
        for n, t in [(1, 1), (3, 2), (64, 2)]
    ]
    assert all(rows == several[0] for rows in several)
    assert [row.episode for row in several[0]] == [*range(5), *range(5)]
    assert len({row.length for row in several[0]}) > 3  # they end at different times


class Net:
    """A torch network of two hidden layers, as SB3 asks it: float32 rows in one batch."""

    def __init__(self, size: int, hidden: int, actions: int, activation: str) -> None:
        torch = pytest.importorskip("torch")
        torch.manual_seed(0)
        self.torch, act = torch, getattr(torch.nn, activation)
        widths = (size, hidden, hidden, actions)
        pairs = itertools.pairwise(widths)
        layers = [layer for pair in pairs for layer in (torch.nn.Linear(*pair), act())]
        self.net = torch.nn.Sequential(*layers[:-1], torch.nn.Tanh())

    def predict(self, observation: Any, **_: Any) -> tuple[NDArray[Any], Any]:
        with self.torch.no_grad():
            seen = self.torch.as_tensor(observation, dtype=self.torch.float32)
            return self.net(seen).numpy(), None


@pytest.mark.parametrize(
    "net",
    [
        (6, 64, 1, "Tanh"),
        (4, 64, 1, "Tanh"),
        (6, 32, 1, "ReLU"),
        (5, 16, 2, "ELU"),
        (11, 64, 3, "Tanh"),
        (45, 128, 12, "ELU"),
        (27, 256, 8, "ReLU"),
        (17, 300, 6, "ReLU"),
    ],
)
def test_an_action_does_not_depend_on_the_number_of_worlds(net: Any) -> None:
    policy = Net(*net)
    seen = np.random.default_rng(1).standard_normal((40, net[0]))

    def actions(rows: NDArray[Any]) -> NDArray[Any]:
        all_ = np.ones(len(rows), dtype=bool)
        return act(policy, rows, None, all_, all_, True)[0]

    alone = np.concatenate([actions(row[None]) for row in seen])
    for count in range(1, 41):
        np.testing.assert_array_equal(actions(seen[:count]), alone[:count])
        np.testing.assert_array_equal(actions(seen[-count:]), alone[-count:])
    many = np.tile(seen, (5, 1))  # more than one batch
    np.testing.assert_array_equal(actions(many), np.tile(alone, (5, 1)))


@pytest.mark.parametrize(("task", "net"), [("furuta", (6, 64, 1, "Tanh")), ("cartpole", None)])
def test_rows_of_a_network_do_not_depend_on_the_number_of_worlds(task: str, net: Any) -> None:
    size = Simulation(task).observation_space.shape[0]
    policy = Net(*(net or (size, 64, 1, "ReLU")))
    one, *others = (
        evaluate(policy, task, "randomized", episodes=4, num_envs=n, threads=1) for n in (1, 3, 9)
    )
    assert all(rows == one for rows in others)


def test_rows_are_those_of_a_plain_loop() -> None:
    """Episode 3 alone, stepped by hand, is row 3."""
    policy, simulation = Linear(11, 3), Simulation("hopper", "randomized", 1, seed=7)
    observation = simulation.reset(episodes=[3])
    transition = simulation.advance(policy.predict(observation)[0])
    while not transition.episodes:
        transition = simulation.advance(policy.predict(transition.observation)[0])
    (episode,) = transition.episodes
    row = evaluate(policy, "hopper", "randomized", episodes=5, seed=7)[3]
    assert (row.domain, row.seed, row.episode) == ("randomized", 7, 3)
    assert (row.total, row.length, row.terms) == (episode.total, episode.length, episode.terms)
    assert row.context == episode.context
    assert row.context


def test_terms_add_up_and_contexts_differ() -> None:
    rows = evaluate(Linear(11, 3), "hopper", "randomized", episodes=6)
    for row in rows:
        assert sum(row.terms.values()) == pytest.approx(row.total)
    assert len({tuple(row.context.values()) for row in rows}) == 6


def test_time_limit_is_reported_as_truncated() -> None:
    rows = evaluate(Linear(17, 6), "half_cheetah", "nominal", episodes=2)
    assert [(row.length, row.truncated, row.failed) for row in rows] == [(1000, True, False)] * 2


def test_another_seed_gives_other_episodes() -> None:
    first, second = (
        evaluate(Linear(11, 3), "hopper", "nominal", episodes=3, seed=s) for s in (0, 1)
    )
    assert not set(returns(first)) & set(returns(second))


def test_sampled_actions_are_reproducible_and_leave_the_global_generator_alone() -> None:
    import torch

    class Noisy(Linear):
        def predict(self, observation: Any, **_: Any) -> tuple[NDArray[Any], Any]:  # type: ignore[override]
            return torch.rand(len(observation), 3).numpy() * 2 - 1, None

    before = torch.random.get_rng_state()
    first, second = (
        evaluate(Noisy(11, 3), "hopper", "nominal", episodes=3, deterministic=False) for _ in "ab"
    )
    assert first == second
    assert torch.equal(before, torch.random.get_rng_state())


def test_rows_survive_a_file(tmp_path: Path) -> None:
    rows = evaluate(Linear(11, 3), "hopper", ["nominal", "randomized"], episodes=2)
    save_rows(tmp_path / "rows.jsonl", rows)
    assert load_rows(tmp_path / "rows.jsonl") == rows
    assert {name: len(group) for name, group in by_domain(rows).items()} == {
        "nominal": 2,
        "randomized": 2,
    }
    np.testing.assert_array_equal(returns(reversed(rows[:2])), [rows[0].total, rows[1].total])


def test_broken_row_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with pytest.raises(UserError, match="does not exist"):
        load_rows(file)
    row = evaluate(Linear(11, 3), "hopper", "nominal", episodes=1)[0]
    save_rows(file, [row, dataclasses.replace(row, episode=1)])
    file.write_text(file.read_text()[:-30])
    with pytest.raises(UserError, match="line 2 is no row"):
        load_rows(file)
    for bad in (dataclasses.replace(row, total="12"), dataclasses.replace(row, episode=None)):
        save_rows(file, [bad])
        with pytest.raises(UserError, match=r"line 1 is no row of an evaluation: (total|episode)"):
            load_rows(file)
    with pytest.raises(UserError, match="is no file of rows"):
        load_rows(tmp_path)


def test_bad_input() -> None:
    with pytest.raises(UserError, match="episodes is 0; allowed: 1 to 1,000,000"):
        evaluate(Linear(11, 3), "hopper", "nominal", episodes=0)
    with pytest.raises(UserError, match="unknown domain"):
        evaluate(Linear(11, 3), "hopper", "nominall")
    with pytest.raises(UserError, match=r"shape \(1, 3\), got \(1, 2\)"):
        evaluate(Linear(11, 2), "hopper", "nominal", episodes=1)


def test_a_policy_of_other_spaces_is_refused() -> None:
    policy = Linear(11, 3)
    policy.observation_space = Simulation("half_cheetah").observation_space  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"observation_space has the shape \(17,\), but task 'hop"):
        evaluate(policy, "hopper", "nominal", episodes=1)


def test_domains_of_one_name_from_two_files_are_distinguished(tmp_path: Path) -> None:
    for name, scale in (("a", 1.0), ("b", 3.0)):
        (tmp_path / name).mkdir()
        text = f"windy: {{dynamics: [{{field: body_mass, scale: {scale}}}]}}"
        for file in (f"{name}.yaml", f"{name}/same.yaml"):
            (tmp_path / file).write_text(text)

    def named(*given: str) -> dict[str, list[float]]:
        rows = evaluate(Linear(11, 3), "hopper", [f"{tmp_path}/{one}" for one in given], episodes=2)
        return {name: returns(own).tolist() for name, own in by_domain(rows).items()}

    found = named("a.yaml:windy", "b.yaml:windy", "a.yaml:windy")
    alone = [named(f"{name}.yaml:windy")["windy"] for name in "ab"]
    assert found == {"a.yaml:windy": alone[0], "b.yaml:windy": alone[1]}
    assert list(named("a/same.yaml:windy", "b/same.yaml:windy")) == [
        f"{tmp_path}/a/same.yaml:windy",
        f"{tmp_path}/b/same.yaml:windy",
    ]
    assert list(named("a.yaml:windy", "a/same.yaml:windy")) == ["windy"]  # of the same content


def test_a_domain_given_twice_runs_once() -> None:
    twice = evaluate(Linear(11, 3), "hopper", ["nominal", "nominal"], episodes=2)
    assert twice == evaluate(Linear(11, 3), "hopper", "nominal", episodes=2)
    heavy = [Domain(dynamics=[{"field": "body_mass", "scale": scale}]) for scale in (2.0, 3.0)]  # type: ignore[arg-type]
    rows = evaluate(Linear(11, 3), "hopper", heavy, episodes=1)
    assert [row.domain for row in rows] == ["custom (1)", "custom (2)"]


@pytest.mark.parametrize("algorithm", ["PPO", "SAC", "TD3"])
@pytest.mark.parametrize("kind", ["model", "policy"])
def test_weights_that_are_not_finite_are_named(algorithm: str, kind: str) -> None:
    torch, sb3 = pytest.importorskip("torch"), pytest.importorskip("stable_baselines3")
    env = make_vec_env("cartpole", num_envs=2)
    model = getattr(sb3, algorithm)("MlpPolicy", env, device="cpu")
    name, tensor = list(model.policy.named_parameters())[1]
    with torch.no_grad():
        tensor.fill_(float("nan"))
    with pytest.raises(UserError, match=rf"^the policy's {name} has numbers that are not finite$"):
        evaluate(model if kind == "model" else model.policy, "cartpole", "nominal")
