"""Draws depend on the seed, the episode and their own name: never on what else a domain has."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim2real.domains import Domain
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.simulation.context import BLOCK
from sim2real.simulation.randomness import CONTEXT, EpisodeGenerators

Entry = tuple[str, dict[str, Any]]
"""A section, and an entry of it."""
ENTRIES: list[Entry] = [
    ("dynamics", {"field": "body_mass", "scale": {"uniform": [0.8, 1.2]}}),
    ("dynamics", {"field": "dof_damping", "scale": {"log_uniform": [0.5, 2]}, "shared": True}),
    ("dynamics", {"field": "opt.gravity", "component": "z", "scale": {"normal": [1, 0.01]}}),
    ("actuation", {"noise": {"normal": [0, 0.01]}}),
    ("actuation", {"strength": {"uniform": [0.8, 1.2]}}),
    ("sensing", {"noise": {"normal": [0, 0.01]}, "of": "position"}),
    ("sensing", {"noise": {"uniform": [-1, 1]}, "of": "velocity", "shared": True}),
    ("disturbances", {"push": {"uniform": [0, 1]}, "of": "torso", "every": 0.024}),
    ("disturbances", {"push": 0.5, "of": ["foot", "leg"], "every": {"uniform": [0.02, 0.06]}}),
    ("disturbances", {"slope": {"uniform": [-0.1, 0.1]}}),
]
ADDED: list[Entry] = [
    ("dynamics", {"field": "dof_armature", "scale": {"uniform": [0.8, 1.2]}}),
    ("actuation", {"dropped": 0.0, "of": "foot_joint", "name": "lost"}),
    ("sensing", {"stuck": {"uniform": [0.0, 0.001]}, "of": "position[0]"}),
    ("disturbances", {"force": {"uniform": [0, 1]}, "of": "thigh", "direction": "x"}),
]


def domain_of(entries: list[Entry], **options: Any) -> Domain:
    sections: dict[str, list[Any]] = {}
    for section, entry in entries:
        sections.setdefault(section, []).append(entry)
    return Domain(**sections, **options)  # type: ignore[arg-type]


def drawn(entries: list[Entry]) -> dict[str, np.ndarray[Any, Any]]:
    """Everything random in 20 steps of three episodes: contexts, starts, noises and pushes."""
    simulation = Simulation("hopper", domain_of(entries), num_envs=3, seed=4, threads=1)
    found = {name: simulation.context[:, k] for k, name in enumerate(simulation.context_names)}
    found["start"] = simulation.qpos.copy()
    commands, seen, pushes = [], [], []
    for _ in range(20):
        transition = simulation.advance(np.zeros((3, 3)))
        truth = np.concatenate(list(simulation.task.observe(simulation).values()), axis=1)
        seen.append(transition.observation - truth)
        commands.append(simulation.ctrl.copy())
        pushes.append(simulation.xfrc_applied[:, :, :3].copy())
    found["commands"], noise = np.stack(commands), np.stack(seen)
    found["position"], found["velocity"] = noise[:, :, 1:5], noise[:, :, 5:]
    found["torso"], found["legs"] = np.stack(pushes)[:, :, 1], np.stack(pushes)[:, :, 3:]
    return found


ALL = drawn(ENTRIES)


def check_the_same(entries: list[Entry], gone: tuple[str, ...] = ()) -> None:
    found = drawn(entries)
    names = [name for name in ALL if not name.startswith(gone or ("-",))]
    assert len(names) >= len(ALL) - 4
    for name in names:
        np.testing.assert_allclose(found[name], ALL[name], rtol=0, atol=1e-9, err_msg=name)
    for name in set(names) & {*ALL} - {"position", "velocity"}:
        np.testing.assert_array_equal(found[name], ALL[name], err_msg=name)


def test_everything_is_random() -> None:
    assert all(np.ptp(values) > 0 for values in ALL.values())
    assert not np.array_equal(ALL["body_mass:torso"], ALL["body_mass:foot"])


@pytest.mark.parametrize(
    ("index", "gone"),
    [
        (0, ("body_mass",)),
        (1, ("dof_damping",)),
        (2, ("opt.gravity",)),
        (3, ("commands",)),
        (4, ("strength",)),
        (5, ("position",)),
        (6, ("velocity",)),
        (7, ("torso",)),
        (8, ("legs",)),
        (9, ("slope",)),
    ],
)
def test_an_entry_that_is_removed_changes_no_other_draw(index: int, gone: tuple[str, ...]) -> None:
    check_the_same(ENTRIES[:index] + ENTRIES[index + 1 :], gone)


def test_entries_that_are_added_or_reordered_change_no_draw() -> None:
    check_the_same(ENTRIES[::-1])
    check_the_same(ADDED + ENTRIES)


def test_fewer_elements_leave_the_draws_of_the_others() -> None:
    section, entry = ENTRIES[0]
    check_the_same(
        [(section, {**entry, "of": ["foot", "torso"]}), *ENTRIES[1:]],
        ("body_mass:leg", "body_mass:thigh"),
    )


def test_a_context_is_the_number_of_its_name() -> None:
    simulation = Simulation("hopper", domain_of(ENTRIES[:1]), num_envs=2, seed=9)
    simulation.reset(episodes=[5, 7 * BLOCK + 3])
    generators = EpisodeGenerators(9)
    for world, (block, place) in enumerate([(0, 5), (7, 3)]):
        for name, value in simulation.contexts()[world].items():
            number = generators.at(block, CONTEXT, 0, key_of(name)).random(BLOCK)[place]
            assert value == pytest.approx(0.8 + 0.4 * number, rel=1e-15)
    # printf body_mass:torso | sha256sum: 64f56e4a97d8b9b4..., the first byte is the lowest
    assert key_of("body_mass:torso") == 0xB4B9D8974A6EF564


def test_groups_and_correlations_do_not_depend_on_the_order() -> None:
    entries: list[Entry] = [
        (
            "dynamics",
            {"field": "body_mass", "of": "torso", "scale": {"uniform": [0.8, 1.2]}, "group": "a"},
        ),
        (
            "dynamics",
            {"field": "body_mass", "of": "foot", "scale": {"uniform": [0.5, 2]}, "group": "a"},
        ),
        ("dynamics", {"field": "dof_damping", "shared": True, "scale": {"uniform": [0.5, 2]}}),
    ]
    tied = [{"parameters": ["body_mass:*", "dof_damping"], "correlation": 0.8}]
    first, second, third = (
        Simulation("hopper", domain_of(given, correlated=tied), num_envs=4).contexts()
        for given in (entries, entries[::-1], [ADDED[0], *entries])
    )
    assert first == second
    assert [{name: one[name] for name in first[0]} for one in third] == first


def test_geometry_does_not_depend_on_the_order() -> None:
    entries: list[Entry] = [
        ("dynamics", {"field": "link_length", "of": one, "scale": {"uniform": [0.8, 1.2]}})
        for one in ("thigh", "leg")
    ]
    size = {
        "field": "geom_size",
        "of": "torso_geom",
        "component": "x",
        "scale": {"uniform": [0.9, 1.1]},
    }
    both, reordered, more, fewer = (
        Simulation("hopper", domain_of(given), num_envs=4).contexts()
        for given in (entries, entries[::-1], [("dynamics", size), *entries], entries[:1])
    )
    assert both == reordered
    assert [{name: one[name] for name in both[0]} for one in more] == both
    assert [{name: one[name] for name in fewer[0]} for one in both] == fewer


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("disturbances", {"push": 0.5, "of": "torso", "every": 1.0}),
        (
            "sensing",
            {"noise": {"uniform": [-1, 1]}, "of": "velocity[0]", "shared": True, "name": "x"},
        ),
    ],
)
def test_two_draws_of_one_name_are_refused(section: str, entry: dict[str, Any]) -> None:
    other = {**entry, "of": "velocity[1]"} if section == "sensing" else {**entry, "every": 2.0}
    with pytest.raises(UserError, match="is drawn twice; give one of them a 'name'"):
        Simulation("hopper", domain_of([(section, entry), (section, other)]))
    Simulation("hopper", domain_of([(section, entry), (section, {**other, "name": "other"})]))
