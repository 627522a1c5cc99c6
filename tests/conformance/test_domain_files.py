"""One suite for every YAML file of domains beside a task."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from conformance_cases import ALL, TRIED

from sim2real.domains import Domain, domain_names, load_domain, load_domains, task_domains
from sim2real.registry import load_task, task_names
from sim2real.simulation import Simulation

ALWAYS = {"nominal", "randomized", "mild", "medium", "hard"}
TOUCHED = {("arm_push", "puck_mass:puck")}
"""What acts in a touch only, which random actions hardly come to; the audit finds it acting."""

every_task = pytest.mark.parametrize("task", task_names())
every_domain = pytest.mark.parametrize(("task", "domain"), ALL)
not_audited = pytest.mark.parametrize(("task", "domain"), TRIED)  # test_audit.py has the others


def trajectory(task: str, domain: Domain | None) -> np.ndarray:
    """Observation and reward of 50 control steps from one push on every joint; (steps, n, k)."""
    simulation = Simulation(task, domain, num_envs=2, seed=1, threads=1)
    rng = np.random.default_rng(0)
    push = rng.uniform(-0.5, 0.5, simulation.qvel.shape)
    simulation.write_state(simulation.qpos.copy(), simulation.qvel + push)
    space = simulation.action_space
    actions = rng.uniform(space.low, space.high, (50, 2, *space.shape)).astype(np.float32)
    transitions = [simulation.advance(action) for action in actions]
    return np.stack([np.column_stack([one.observation, one.reward]) for one in transitions])


def single_parameters(task: str, domain: Domain) -> Iterator[tuple[str, Domain, Domain | None]]:
    """The domain taken apart: one domain for each number that it draws, and each noise.

    With the domain to compare it with: the nominal one, or the mass of a payload for its place.
    """
    loads = [one for one in domain.dynamics if one.field == "payload" and not one.component]
    for entry in domain.dynamics:
        base = loads if entry.field == "payload" and entry.component else []
        names = Simulation(task, Domain(dynamics=(*base, entry)), threads=1).context_names
        for name in names[len(base) :]:
            _, _, element = name.partition(":")
            part = entry.model_copy(update={"of": (element,)}) if element else entry
            yield name, Domain(dynamics=(*base, part)), Domain(dynamics=base) if base else None
    for entry in domain.actuation:
        yield entry.label, Domain(actuation=(entry,)), None
    for entry in domain.sensing:
        yield f"{entry.label} of {', '.join(entry.of)}", Domain(sensing=(entry,)), None
    for entry in domain.disturbances:
        if entry.kind.drawn == "episode":  # those come once in seconds
            yield entry.label, Domain(disturbances=(entry,)), None


@every_task
def test_the_usual_domains_are_there(task: str) -> None:
    file = load_task(task).file.with_suffix(".yaml")
    assert set(load_domains(file)) >= ALWAYS
    assert set(load_domains(file)) == set(domain_names(task))


@every_domain
def test_it_says_in_plain_words_what_it_is_about(task: str, domain: str) -> None:
    about = load_domain(task, domain).about
    assert about.endswith("."), about
    assert len(about.split()) >= 5, f"{about!r}: write a sentence of five words or more"


@every_domain
def test_it_fits_its_task(task: str, domain: str) -> None:
    simulation = Simulation(task, domain, num_envs=2, threads=1)
    assert np.isfinite(simulation.context).all()
    bound = load_domain(task, domain)
    signals = [
        entry for entry in (*bound.actuation, *bound.sensing) if entry.kind.drawn == "episode"
    ]
    lasting = [entry for entry in bound.disturbances if entry.kind.drawn == "episode"]
    assert bool(simulation.context_names) == bool(bound.dynamics or signals or lasting)


@every_task
def test_only_the_source_varies(task: str) -> None:
    domains = task_domains(load_task(task))
    assert not domains["nominal"].describe()
    assert not domains["randomized"].is_constant
    for name in ("mild", "medium", "hard"):
        assert domains[name].is_constant
        assert domains[name].describe()
    assert len({tuple(domain.describe()) for domain in domains.values()}) == len(domains)


@not_audited
def test_every_parameter_moves_the_trajectory(task: str, domain: str) -> None:
    nominal = trajectory(task, None)
    found = list(single_parameters(task, load_domain(task, domain)))
    assert found or domain == "nominal"
    for name, alone, base in found:
        compared = trajectory(task, base) if base else nominal
        moved = np.abs(trajectory(task, alone) - compared).max()
        moved = np.inf if (task, name) in TOUCHED else moved
        assert moved > 1e-3, f"{name} does nothing"


@not_audited
def test_random_actions_stay_stable(task: str, domain: str) -> None:
    simulation = Simulation(task, domain, num_envs=8, seed=2, threads=1)
    rng = np.random.default_rng(0)
    space = simulation.action_space
    for _ in range(150):
        actions = rng.uniform(space.low, space.high, (8, *space.shape)).astype(np.float32)
        assert not simulation.step(actions).unstable.any()
