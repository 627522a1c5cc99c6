"""Draws that each world makes once, at startup."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim2real.config import parse
from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Uniform
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.learning.adaptive.space import adaptable
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.env import Sim2RealEnv
from sim2real.simulation.front_ends.foreign import check_foreign

SLIDER = str(Path(__file__).parent.parent / "robots" / "slider.py")
MASS = {"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}}
SECTIONS: dict[str, Any] = {
    "dynamics": [MASS, {"field": "dof_damping", "set": {"uniform": [0.0, 1.0]}}],
    "actuation": [{"strength": {"uniform": [0.5, 1.5]}, "course": {"step": {"uniform": [0, 1]}}}],
    "sensing": [{"bias": {"normal": [0, 0.1]}}],
}
FIXED = {"body_mass:mass", "strength:push", "strength.step"}


def at_startup(*labels: str) -> Domain:
    """The sections, of which some entries are drawn at startup."""
    data = {
        name: [
            {**one, "when": "startup"} if labels and {*labels} & {*one, one.get("field")} else one
            for one in section
        ]
        for name, section in SECTIONS.items()
    }
    return parse(Domain, data, "the domain")


FEW = at_startup("body_mass", "strength")


def episodes(simulation: Simulation, count: int = 3) -> list[list[dict[str, float]]]:
    """The contexts of the first episodes of each world."""
    found = [simulation.contexts()]
    for _ in range(count - 1):
        simulation.reset()
        found.append(simulation.contexts())
    return found


def test_a_world_keeps_what_it_drew_and_draws_the_rest_at_each_reset() -> None:
    simulation, plain = (Simulation(SLIDER, one, 5, seed=3) for one in (FEW, at_startup()))
    for episode, (ours, theirs) in enumerate(
        zip(episodes(simulation), episodes(plain), strict=True)
    ):
        for world, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            first = Simulation(SLIDER, FEW, 1, seed=3)
            first.reset(episodes=[world])
            kept = first.contexts()[0]
            assert {name: own[name] for name in FIXED} == {name: kept[name] for name in FIXED}
            rest = own.keys() - FIXED
            assert {name: own[name] for name in rest} == {name: other[name] for name in rest}
            assert (own == other) is (episode == 0)


def test_worlds_do_not_depend_on_how_many_they_are() -> None:
    few, many = (episodes(Simulation(SLIDER, FEW, count, seed=3)) for count in (1, 8))
    for one, other in zip(few, many, strict=True):
        assert {name: one[0][name] for name in FIXED} == {name: other[0][name] for name in FIXED}


def test_the_model_of_a_world_has_its_mass_in_every_episode() -> None:
    simulation = Simulation(SLIDER, FEW, 3, seed=3)
    masses = []
    for _ in range(3):
        masses.append([simulation.world_model(k).body("mass").mass[0] for k in range(3)])
        simulation.reset([0, 2])
        simulation.reset([1])
    expected = [2.0 * context["body_mass:mass"] for context in simulation.contexts()]
    np.testing.assert_allclose(masses, [expected] * 3, rtol=1e-12)


def test_many_worlds_together_cover_the_range() -> None:
    simulation = Simulation(SLIDER, FEW, 500, seed=3)
    simulation.reset()
    drawn = np.sort([context["body_mass:mass"] for context in simulation.contexts()])
    quantiles = 0.5 + 1.5 * (np.arange(500) + 0.5) / 500
    assert np.abs(drawn - quantiles).max() < 1.5 * 1.63 / np.sqrt(500)  # Kolmogorov, 1 %


def test_a_new_seed_makes_new_worlds_and_an_episode_that_is_asked_for_is_one() -> None:
    simulation = Simulation(SLIDER, FEW, 2, seed=3)
    before = simulation.contexts()
    simulation.restart(seed=4)
    assert [one["body_mass:mass"] for one in simulation.contexts()] != [
        one["body_mass:mass"] for one in before
    ]
    simulation.restart(seed=3)
    assert simulation.contexts() == before
    simulation.reset(episodes=[7, 1])
    asked = simulation.contexts()
    simulation.reset()
    for own, kept in zip(simulation.contexts(), asked, strict=True):
        assert {name: own[name] for name in FIXED} == {name: kept[name] for name in FIXED}
    assert asked[1] == before[1]


def test_a_snapshot_goes_on_with_the_same_worlds() -> None:
    simulation, again = (Simulation(SLIDER, FEW, 3, seed=3) for _ in range(2))
    actions = np.random.default_rng(0).uniform(-1, 1, (120, 3, 1))
    for action in actions[:70]:  # 50 steps an episode
        simulation.step(action)
    again.restore(simulation.snapshot())
    for action in actions[70:]:
        ours, theirs = simulation.step(action), again.step(action)
        np.testing.assert_array_equal(ours.observation, theirs.observation)
    assert simulation.contexts() == again.contexts()


class Zero:
    """A policy that does nothing."""

    def predict(self, observation: Any, *args: Any, **options: Any) -> Any:
        return np.zeros((len(observation), 1)), None


def test_an_evaluation_has_a_world_for_each_episode() -> None:
    rows = [
        evaluate(Zero(), SLIDER, domain, episodes=6, seed=1, num_envs=count)
        for domain, count in ((FEW, 1), (FEW, 4), (at_startup(), 4))
    ]
    contexts = [[row.context for row in some] for some in rows]
    totals = [[row.total for row in some] for some in rows]
    assert contexts[0] == contexts[1] == contexts[2]
    assert totals[0] == totals[1] == totals[2]
    assert len({context["body_mass:mass"] for context in contexts[0]}) == 6


def test_the_environment_of_gymnasium_is_one_world() -> None:
    env = Sim2RealEnv(SLIDER, FEW)
    masses = [env.reset(seed=0)[1]["context"]["body_mass:mass"]]
    masses += [env.reset()[1]["context"]["body_mass:mass"] for _ in range(2)]
    assert masses == [masses[0]] * 3
    assert env.reset(seed=1)[1]["context"]["body_mass:mass"] != masses[0]
    env.close()


def test_geometry_is_drawn_at_one_time() -> None:
    size = {"field": "geom_size", "of": "torso_geom", "scale": {"uniform": [0.8, 1.2]}}
    length = {"field": "link_length", "of": "leg", "scale": {"uniform": [0.9, 1.1]}}
    startup = {"when": "startup"}
    simulation = Simulation("hopper", Domain(dynamics=[size | startup, length | startup]), 4)
    first = simulation.contexts()
    simulation.reset()
    assert simulation.contexts() == first
    assert len({context["link_length:leg"] for context in first}) == 4
    with pytest.raises(UserError, match="link_length:leg: it is drawn at startup, and geom_size"):
        Simulation("hopper", Domain(dynamics=[size, length | startup]))


def test_what_is_drawn_together_is_drawn_at_one_time() -> None:
    damping = {"field": "dof_damping", "set": {"uniform": [0, 1]}}
    fixed = {**MASS, "when": "startup"}
    together = {"parameters": ["body_mass", "dof_damping"], "correlation": 0.9}
    with pytest.raises(UserError, match="body_mass:mass: it is drawn at startup, and dof_damping"):
        Simulation(SLIDER, Domain(dynamics=[fixed, damping], correlated=[together]))
    both = Domain(dynamics=[fixed, damping | {"when": "startup"}], correlated=[together])
    simulation = Simulation(SLIDER, both, 200)
    simulation.reset()
    values = np.array([[*context.values()] for context in simulation.contexts()])
    assert np.corrcoef(values.T)[0, 1] > 0.8


def test_adaptive_randomization_leaves_it_out() -> None:
    simulation = Simulation(SLIDER, FEW)
    assert adaptable(simulation).names == (
        "dof_damping:rail",
        "sensor_bias:place",
        "sensor_bias:speed",
    )
    with pytest.raises(UserError, match=r"body_mass:mass .*not drawn from a range at each reset"):
        adaptable(simulation, ["body_mass"])
    with pytest.raises(UserError, match="body_mass:mass: it is drawn at startup or anew"):
        simulation.redistribute({"body_mass:mass": Uniform(0.9, 1.1)})


def test_it_is_said_in_words() -> None:
    assert FEW.describe() == [
        "body_mass × 0.5 to 2, fixed for each world",
        "dof_damping = 0 to 1",
        "actuator strength × 0.5 to 1.5 from 0 to 1 s on, fixed for each world",
        "sensor bias + 0 ± 0.1",
    ]
    assert parse(Domain, FEW.plain() | {"name": FEW.name}, "again") == FEW
    assert "when" not in str(at_startup().plain())


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("dynamics", {**MASS, "when": "interval"}, "when: must be 'startup' or 'reset', got 'int"),
        ("dynamics", {**MASS, "wen": "startup"}, "did you mean 'when'"),
        ("sensing", {"noise": 0.1, "when": "startup"}, "noise is always drawn anew"),
        (
            "disturbances",
            {"push": 1, "of": "mass", "every": 0.5, "when": "startup"},
            "push is always drawn anew",
        ),
    ],
)
def test_misuse_is_refused(section: str, entry: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(Domain, {section: [entry]}, "the domain")


def test_a_foreign_environment_draws_at_each_reset() -> None:
    with pytest.raises(UserError, match="body_mass: a foreign environment draws at each reset"):
        check_foreign(FEW)
    check_foreign(Domain(dynamics=[MASS]))


def test_a_family_has_it_as_an_unknown_of_an_episode() -> None:
    from sim2real.identification.family import replayable

    assert replayable(FEW).describe()[:3] == [
        "body_mass × 0.5 to 2",
        "dof_damping = 0 to 1",
        "actuator strength × 0.5 to 1.5",
    ]


def test_the_page_shows_a_domain_that_does_what_it_says() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "domains.md").read_text()
    (shown,) = re.findall(r"```yaml\n(delivered:.*?)```", page, re.DOTALL)
    domain = parse(Domain, yaml.safe_load(shown)["delivered"], "the page")
    simulation = Simulation("hopper", domain, 4, seed=0, threads=1, privileged=True)
    friction = simulation.context_names.index("geom_friction.sliding") - len(
        simulation.context_names
    )
    first, seen = simulation.contexts(), [simulation.observation[:, friction]]
    held = simulation.task.compile().actuator_ctrlrange.mean(axis=1)
    for _ in range(round(3.0 / simulation.dt) + 1):
        simulation.write_state(simulation.qpos * 0 + [0, 1.25, 0, 0, 0, 0], simulation.qvel * 0)
        seen.append(simulation.advance(np.tile(held, (4, 1))).observation[:, friction])
    assert (np.count_nonzero(np.diff(seen, axis=0), axis=0) >= 1).all()  # a floor lasts 1 to 3 s
    assert (np.count_nonzero(np.diff(seen, axis=0), axis=0) <= 3).all()
    simulation.reset()
    for before, after in zip(first, simulation.contexts(), strict=True):
        kept = {name for name in before if name.startswith(("body_mass", "sensor_bias"))}
        assert {name for name in before if before[name] == after[name]} == kept
