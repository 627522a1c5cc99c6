"""Memory of any task: the last control steps of what was sensed and commanded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

import sim2real  # noqa: F401 (registers the Gymnasium ids)
from sim2real.config import MOST_HISTORY
from sim2real.errors import UserError
from sim2real.identification.record import record
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import Array, labels

FOLLOWER = str(Path(__file__).parents[1] / "robots" / "follower.py")


def commands(simulation: Simulation, steps: int, seed: int = 0) -> NDArray[Any]:
    shape = (steps, simulation.num_envs, *simulation.action_space.shape)
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape).astype(np.float32)


class Stack:
    """The last `count` rows of each of the columns that `sizes` divides, oldest first."""

    def __init__(self, sizes: list[int], counts: list[int], first: Array) -> None:
        self.bounds, self.counts = np.cumsum([0, *sizes]), counts
        self.rows = [[row] * max(counts) for row in first]

    def push(self, seen: Array, begun: Any) -> None:
        for world, row in enumerate(seen):
            self.rows[world] = [*self.rows[world][1:], row]
            if world in begun:
                self.rows[world] = [row] * len(self.rows[world])

    def shown(self) -> Array:
        spans = list(zip(self.bounds, self.bounds[1:], self.counts, strict=False))
        return np.array(
            [
                np.concatenate([row[a:b] for a, b, n in spans for row in rows[len(rows) - n :]])
                for rows in self.rows
            ]
        )


@pytest.mark.parametrize(("task", "domain"), [("hopper", "hard"), ("furuta", "slow-link")])
@pytest.mark.parametrize("privileged", [False, True])
def test_it_equals_a_loop_that_stacks_a_plain_simulation(
    task: str, domain: str, privileged: bool
) -> None:
    """Noise, delays and resets among them; furuta observes its last action already."""
    plain = Simulation(task, domain, 3, 5, 1, privileged)
    ours = Simulation(task, domain, 3, 5, 1, privileged, history=4)
    size, nu = sum(term.size for term in plain.policy_terms), plain.model.nu
    extra = 0 if task == "furuta" else nu
    sizes = [term.size for term in plain.policy_terms] + [extra]

    def seen(observation: Array, action: Array) -> Array:
        return np.concatenate([observation[:, :size], action[:, :extra]], axis=1)

    stack = Stack(sizes, [4] * len(sizes), seen(plain.observation, np.zeros((3, nu))))
    ended = 0
    for action in commands(plain, 150):
        theirs, mine = plain.step(action), ours.step(action)
        last = action.astype(np.float64)
        last[theirs.ended] = 0.0
        stack.push(seen(theirs.observation, last), theirs.ended)
        np.testing.assert_array_equal(mine.observation[:, : 4 * (size + extra)], stack.shown())
        np.testing.assert_array_equal(
            mine.observation[:, 4 * (size + extra) :], theirs.observation[:, size:]
        )
        np.testing.assert_array_equal(mine.reward, theirs.reward)
        ended += len(theirs.ended)
    assert ended > 3 or task == "furuta"


def test_the_larger_count_holds() -> None:
    """The follower shows three places itself, and its last action."""
    few, many = (Simulation(FOLLOWER, history=count) for count in (2, 5))
    assert [term.size for term in few.policy_terms] == [3, 2, 2]
    assert [term.size for term in many.policy_terms] == [5, 5, 5]
    assert few.policy_terms[1].columns == ("0@-1", "0")
    assert Simulation(FOLLOWER, history=1).policy_terms == Simulation(FOLLOWER).policy_terms


def test_one_control_step_is_no_memory() -> None:
    plain, one = Simulation("hopper"), Simulation("hopper", history=1)
    assert one.observation_terms == plain.observation_terms
    term = Simulation("hopper", history=2).policy_terms[-1]
    assert (term.name, term.commanded, term.size) == ("last_action", True, 6)


def test_any_number_of_worlds_and_threads() -> None:
    many = Simulation("hopper", "hard", 5, 1, 2, history=3)
    one = Simulation("hopper", "hard", 1, 1, 1, history=3)
    one.reset(episodes=[3])
    for action in commands(many, 60):
        theirs, ours = many.advance(action), one.advance(action[3:4])
        np.testing.assert_array_equal(theirs.observation[3:4], ours.observation)
        if len(ours.ended):
            break


def test_it_is_restored() -> None:
    one, other = (Simulation("hopper", "hard", 2, seed, 1, history=3) for seed in (1, 2))
    actions = commands(one, 40)
    for action in actions[:20]:
        one.step(action)
    other.restore(one.snapshot())
    for action in actions[20:]:
        np.testing.assert_array_equal(one.step(action).observation, other.step(action).observation)
    with pytest.raises(UserError, match=r"snapshot: observation must be \(2, 11\), got \(2, 42\)"):
        Simulation("hopper", "hard", 2, threads=1).restore(one.snapshot())


def test_front_ends() -> None:
    size = 3 * (11 + 3)
    env = gymnasium.make("sim2real/Hopper-v0", domain="hard", history=3)
    assert env.observation_space.shape == (size,)
    first, _ = env.reset(seed=0)
    second = env.step(np.ones(3, np.float32))[0]
    np.testing.assert_array_equal(first[5:10], second[:5])
    np.testing.assert_array_equal(second[-6:], [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    several = gymnasium.make_vec("sim2real/Hopper-v0", num_envs=2, domain="hard", history=3)
    np.testing.assert_array_equal(several.reset(seed=0)[0][0], first)
    ours = make_vec_env("hopper", "hard", 2, history=3)
    np.testing.assert_array_equal(ours.reset()[0], first)
    for one in (env, several, ours):
        one.close()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "x", True, 10_000, None])
def test_wrong_values_are_one_line(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"^history is .*; allowed: (a whole number|1 to 100)$"):
        Simulation("cartpole", history=wrong)
    assert MOST_HISTORY == 100


def test_a_foreign_environment_has_none() -> None:
    with pytest.raises(UserError, match="it has no history; wrap what makes it in Gymnasium's"):
        make_vec_env("CartPole-v1", history=2)


def test_a_log_has_no_history() -> None:
    """Nor the last action that was added, which its commands tell."""
    plain, ours = (
        record(Simulation("hopper", "hard", 1, 3, 1, history=count), np.full((30, 3), 0.3), 30)
        for count in (1, 4)
    )
    assert list(ours.observations) == list(plain.observations) == ["position", "velocity"]
    for name, values in plain.observations.items():
        np.testing.assert_array_equal(ours.observations[name], values)


def test_a_privileged_term_may_not_have_the_name(tmp_path: Path) -> None:
    path = tmp_path / "named.py"
    path.write_text(
        "from sim2real.envs.hopper import Hopper\n\n"
        "class Named(Hopper):\n"
        "    def privileged(self, world):\n"
        "        return {'last_action': world.last_action}\n"
    )
    assert labels(Simulation(str(path), privileged=True).observation_terms)[11] == "last_action[0]"
    with pytest.raises(UserError, match="no term may have the name 'last_action'"):
        Simulation(str(path), privileged=True, history=2)
