"""Shapley values of games that are worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sim2real.evaluation.attribution.shapley import (
    Players,
    all_sets,
    exact,
    sampled,
    sampled_orders,
    sets_of,
)
from sim2real.task import Array

NAMES = ("a", "b", "c")


def game(players: tuple[str, ...], value: dict[str, float]) -> dict[Players, Array]:
    """Sets with the sum of the `value` of all keys whose players are all there."""
    return {
        one: np.array([sum(v for key, v in value.items() if set(key) <= one)])
        for one in all_sets(players)
    }


def test_an_additive_game_gives_each_player_its_own() -> None:
    found = exact(NAMES, game(NAMES, {"a": 1.0, "b": 2.0, "c": -3.0}))
    assert {name: float(value[0]) for name, value in found.items()} == pytest.approx(
        {"a": 1.0, "b": 2.0, "c": -3.0}
    )


def test_players_share_an_interaction() -> None:
    """What only a and b together cause is half of each; a third of each of three."""
    found = exact(NAMES, game(NAMES, {"ab": 6.0, "abc": 3.0, "c": 1.0}))
    assert [float(found[name][0]) for name in NAMES] == pytest.approx([4.0, 4.0, 2.0])


def test_the_glove_game() -> None:
    """One left glove, two right ones, a pair is worth 1: 2/3, 1/6, 1/6 (a textbook case)."""
    values = {
        one: np.array([1.0 if "a" in one and len(one) > 1 else 0.0]) for one in all_sets(NAMES)
    }
    found = exact(NAMES, values)
    assert [float(found[name][0]) for name in NAMES] == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_all_orders_give_the_exact_value() -> None:
    rng = np.random.default_rng(0)
    values = {one: rng.standard_normal(4) for one in all_sets("abcd")}
    orders = list(itertools.permutations("abcd"))
    assert set(sets_of(orders)) == set(all_sets("abcd"))
    found, true = sampled(orders, values), exact("abcd", values)
    for name in "abcd":
        assert found[name][0] == pytest.approx(true[name])


def test_sampled_orders_come_with_their_reverse_and_sum_up_to_the_whole() -> None:
    rng = np.random.default_rng(1)
    players = "abcdefgh"
    orders = sampled_orders(players, 5, rng)
    assert len(orders) == 10
    assert all(orders[k] == orders[k + 1][::-1] for k in range(0, 10, 2))
    values = {one: rng.standard_normal(3) for one in sets_of(orders)}
    found = sampled(orders, values)
    whole = values[frozenset(players)] - values[frozenset()]
    assert np.sum([share for share, _ in found.values()], axis=0) == pytest.approx(whole)


def test_the_sampling_error_is_that_of_many_samplings() -> None:
    """The mean of the reported variances, and the variance of the values, of 300 samplings."""
    rng = np.random.default_rng(2)
    players = "abcdef"
    values = {one: rng.standard_normal(1) for one in all_sets(players)}
    true = exact(players, values)["a"][0]
    runs = [sampled(sampled_orders(players, 12, rng), values)["a"] for _ in range(300)]
    shares, errors = np.array([share[0] for share, _ in runs]), np.array([e for _, e in runs])
    assert np.mean(errors**2) == pytest.approx(np.mean((shares - true) ** 2), rel=0.2)
    assert abs(np.mean(shares) - true) < 4 * np.std(shares) / np.sqrt(300)


def test_pairs_of_an_additive_game_have_no_error() -> None:
    players = "abcd"
    orders = sampled_orders(players, 4, np.random.default_rng(3))
    values = game(tuple(players), {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0})
    for name, share in zip(players, (1.0, 2.0, 3.0, 4.0), strict=True):
        assert sampled(orders, values)[name] == (pytest.approx([share]), pytest.approx(0.0))
