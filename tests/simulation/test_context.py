"""Contexts drawn from narrower distributions than the domain's own."""

from pathlib import Path

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Beta, Constant, Uniform, Within
from sim2real.errors import UserError
from sim2real.simulation import Simulation

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
MASS, STRENGTH = "body_mass:mass", "strength:push"
ENDS = ((MASS, "low"), (MASS, "high"), (STRENGTH, "high"))


def make(num_envs=4, seed=3):
    return Simulation(SLIDER, "drawn", num_envs=num_envs, seed=seed)


def test_the_next_episodes_are_drawn_from_what_was_given_and_the_rest_from_the_domain():
    simulation, plain = make(), make()
    before = simulation.context.copy()
    simulation.redistribute({MASS: Beta(2.0, 5.0, 0.9, 1.1)})
    np.testing.assert_array_equal(simulation.context, before)  # episodes in progress stay
    for one in (simulation, plain):
        one.reset()
    column = simulation.context_names.index(MASS)
    u = (plain.context[:, column] - 0.5) / 1.5  # the uniform numbers behind uniform [0.5, 2]
    expected = Beta(2.0, 5.0, 0.9, 1.1).quantile(u)
    np.testing.assert_allclose(simulation.context[:, column], expected, rtol=1e-12)
    others = np.delete(np.arange(3), column)
    np.testing.assert_array_equal(simulation.context[:, others], plain.context[:, others])
    masses = [simulation.world_model(world).body("mass").mass[0] for world in range(4)]
    np.testing.assert_allclose(masses, 2.0 * expected, rtol=1e-12)
    simulation.redistribute({})
    for one in (simulation, plain):
        one.reset()
    np.testing.assert_array_equal(simulation.context, plain.context)


def test_what_is_drawn_ahead_is_what_the_episode_draws_by_itself():
    several = Simulation("hopper", "randomized", num_envs=3, seed=1)
    for episodes in ([0, 1, 2], [5, 5, 5], [3, 4, 5], [99, 6, 3], [0, 1, 2]):
        several.reset(episodes=episodes)
        for world, episode in enumerate(episodes):
            alone = Simulation("hopper", "randomized", seed=1)
            alone.reset(episodes=[episode])
            assert several.contexts()[world] == alone.contexts()[0]
    several.restart(seed=2)
    other = Simulation("hopper", "randomized", num_envs=3, seed=2)
    assert several.contexts() == other.contexts()


def test_some_episodes_stand_at_an_end_and_draw_all_else_as_before():
    simulation, plain = make(500), make(500)
    simulation.redistribute({MASS: Uniform(0.9, 1.1)}, ENDS, probability=0.6)
    plain.redistribute({MASS: Uniform(0.9, 1.1)})
    for one in (simulation, plain):
        one.reset()
    chosen = simulation.ends_of(simulation.episode_indices.tolist())
    assert np.all(plain.ends_of(plain.episode_indices.tolist()) == -1)
    # 100 of each expected, with a standard deviation of 9
    counts = np.bincount(chosen + 1, minlength=4)
    assert np.all(np.abs(counts - [200, 100, 100, 100]) < 40)
    expected = plain.context.copy()
    for end, (name, value) in enumerate(((MASS, 0.9), (MASS, 1.1), (STRENGTH, 1.2))):
        expected[chosen == end, simulation.context_names.index(name)] = value
    np.testing.assert_array_equal(simulation.context, expected)


def test_ends_depend_on_the_seed_and_the_episode_alone():
    few, many = make(2), make(5)
    for one in (few, many):
        one.redistribute({}, ENDS, probability=0.5)
    np.testing.assert_array_equal(few.ends_of(range(50)), many.ends_of(range(50)))
    for one in (few, many):
        one.reset(episodes=np.arange(one.num_envs) + 7)
    np.testing.assert_array_equal(few.context, many.context[:2])


def test_a_snapshot_has_the_contexts_of_before_and_the_distributions_of_now():
    simulation = make()
    action = np.full((4, 1), 0.7)
    simulation.redistribute({MASS: Within(Uniform(0.5, 2.0), Beta(3, 3, 0, 1))}, ENDS, 0.5)
    for _ in range(70):
        simulation.step(action)
    simulation.redistribute({MASS: Beta(2.5, 1.5, 0.7, 1.3)}, ENDS[:1], 0.25)
    snapshot = simulation.snapshot()
    again = make(seed=9)
    again.restore(snapshot)
    assert again.contexts() == simulation.contexts()
    for _ in range(120):
        ours, theirs = simulation.step(action), again.step(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation)
        assert ours.episodes == theirs.episodes
    for name, values in simulation.snapshot().items():
        np.testing.assert_array_equal(values, again.snapshot()[name])


def test_geometry_stands_at_the_variant_that_is_nearest_to_its_end():
    size = {"field": "geom_size", "component": "x", "scale": {"uniform": [0.5, 1.5]}}
    simulation = Simulation(SLIDER, Domain(dynamics=[size]), num_envs=8)
    (name,) = simulation.context_names
    simulation.redistribute({}, [(name, "high")], probability=1.0)
    simulation.reset()
    largest = simulation.plan.pool.values.max()
    np.testing.assert_array_equal(simulation.context, largest)
    for world in range(8):
        np.testing.assert_allclose(simulation.world_model(world).geom_size[0, 0], 0.1 * largest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"body_mas:mass": Constant(1.0)},), "unknown context entry.*did you mean 'body_mass"),
        (({MASS: Uniform(0.4, 1.0)},), "body_mass:mass: 0.4 to 1 leaves .* range, 0.5 to 2"),
        (({MASS: Constant(2.1)},), "2.1 leaves the domain's range"),
        (({}, [("strength", "low")], 0.5), "unknown context entry 'strength'"),
        (({}, [(MASS, "hihg")], 0.5), "unknown end 'hihg'; did you mean 'high'"),
        (({}, ENDS, 1.5), r"probability of an end must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_input(arguments, message):
    with pytest.raises(UserError, match=message):
        make().redistribute(*arguments)


def test_a_snapshot_of_another_domain_is_refused():
    simulation = make()
    simulation.redistribute({MASS: Uniform(0.9, 1.1)})
    snapshot = simulation.snapshot()
    for text in (
        b"[]",
        b"{}",
        b"\xff",
        b'{"distributions": {"x": 1}, "ends": [], "probability": 0}',
    ):
        snapshot["distributions"] = np.frombuffer(text, dtype=np.uint8)
        with pytest.raises(UserError, match="snapshot: distributions do not fit the domain"):
            simulation.restore(snapshot)
