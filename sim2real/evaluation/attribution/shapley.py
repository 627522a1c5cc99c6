"""Shapley values of a game, exact or from sampled permutations: pure functions.

A game gives every set of its players a value; here the players are differences between two domains
and the value of a set is the loss of return that it causes. The Shapley value of a player (Shapley
1953, "A value for n-person games") is the mean, over all orders in which the players may join, of
what it adds when it joins. The values of all players sum up to the value of the whole set. They are
estimated over sampled orders after Castro, Gómez & Tejada (2009), "Polynomial calculation of the
Shapley value based on sampling", Computers & Operations Research 36, each with its reverse
(antithetic pairs: Mitchell et al. 2022, "Sampling permutations for Shapley value estimation",
JMLR 23).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from sim2real.task import Array

Players = frozenset[str]


def all_sets(players: Sequence[str]) -> list[Players]:
    """Every set of the players, (2^n,), the empty one first and the whole one last."""
    sizes = range(len(players) + 1)
    return [frozenset(one) for k in sizes for one in itertools.combinations(players, k)]


def sets_of(orders: Sequence[Sequence[str]]) -> list[Players]:
    """Every set of players that have joined at some place of the `orders`, each once."""
    found = {frozenset(order[:k]): None for order in orders for k in range(len(order) + 1)}
    return list(found)


def sampled_orders(
    players: Sequence[str], count: int, rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """`count` pairs of a random order of the players and its reverse, one after the other."""
    orders: list[tuple[str, ...]] = []
    for _ in range(count):
        order = tuple(players[k] for k in rng.permutation(len(players)))
        orders += [order, order[::-1]]
    return orders


def exact(players: Sequence[str], values: Mapping[Players, Array]) -> dict[str, Array]:
    """The Shapley value of each player; `values` has those of all sets, of any one shape."""
    n = len(players)
    weights = [math.factorial(k) * math.factorial(n - k - 1) / math.factorial(n) for k in range(n)]
    found = {}
    for player in players:
        others = all_sets([one for one in players if one != player])
        parts = [weights[len(one)] * (values[one | {player}] - values[one]) for one in others]
        found[player] = np.asarray(sum(parts))
    return found


def added(
    orders: Sequence[Sequence[str]], values: Mapping[Players, Array]
) -> dict[str, list[Array]]:
    """What each player adds in each of the `orders` when it joins."""
    found: dict[str, list[Array]] = {player: [] for player in orders[0]}
    for order in orders:
        for k, player in enumerate(order):
            found[player].append(values[frozenset(order[: k + 1])] - values[frozenset(order[:k])])
    return found


def sampled(
    orders: Sequence[Sequence[str]], values: Mapping[Players, Array]
) -> dict[str, tuple[Array, float]]:
    """The Shapley value of each player over pairs of orders, and its standard error.

    The error is that of sampling the orders: of the means over the pairs, each averaged over the
    episodes, which are the last axis of the values. NaN for a single pair.
    """
    found = {}
    for player, parts in added(orders, values).items():
        stacked = np.stack(parts)
        pairs = stacked.reshape(-1, 2, *stacked.shape[1:]).mean(axis=1)
        means = pairs.reshape(len(pairs), -1).mean(axis=1)
        error = means.std(ddof=1) / math.sqrt(len(means)) if len(means) > 1 else math.nan
        found[player] = (pairs.mean(axis=0), float(error))
    return found
