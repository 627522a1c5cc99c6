"""Synthetic results of a study, around means that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim2real.studies.measures import Measured, TargetResults
from sim2real.studies.oracle import Curve, DomainReferences, Trained
from sim2real.studies.summary import Results, summarize

SEEDS, EPISODES = 5, 8


def around(*means: float, spread: float = 1.0, seeds: int = SEEDS) -> NDArray[np.float64]:
    """(seeds, points, episodes) returns around the mean of each point; one point: no axis."""
    rng, shape = np.random.default_rng([int(abs(mean)) for mean in means]), (seeds, EPISODES)
    points = [mean + spread * rng.uniform(-1, 1, shape) for mean in means]
    return points[0] if len(means) == 1 else np.stack(points, axis=1)


def flat(level: float, seeds: int = 3) -> Curve:
    """A learning curve that rises to a level and stays there."""
    rising = np.minimum(np.arange(11) / 5, 1.0) * level
    return Curve(tuple(range(0, 1100, 100)), np.tile(rising, (seeds, 1)))


def trained(level: float, seeds: int = 3, spread: float = 1.0) -> Trained:
    """An oracle that reaches a level and had converged."""
    return Trained(around(level, seeds=seeds, spread=spread), flat(level, seeds))


def references(zero_shot: float, oracle: float, content: str, **changes: Any) -> DomainReferences:
    """A domain whose random return is about 0 and whose oracle from scratch is half as good."""
    given: dict[str, Any] = {
        "random": around(0.0)[0] * 0.1,
        "oracles": {"scratch": trained(oracle / 2), "source": trained(oracle)},
        "zero_shot": around(zero_shot),
        "content": content,
        "quality": acting(0.2),
    }
    return DomainReferences(**{**given, **changes})


def acting(jitter: float, seeds: int = SEEDS) -> tuple[dict[str, float], ...]:
    """Policies whose mean jitter is this, and who use 1,234.5 J."""
    spread = np.linspace(-0.1, 0.1, seeds)
    return tuple({"jitter": jitter + float(one), "energy": 1234.5} for one in spread)


def method(*returns: float, home: float = 100.0) -> Measured:
    """A method whose curve has these returns at 0, 500 and 1000 steps."""
    used = {"steps": 1000.0, "episodes": 4.0, "resets": 6.0, "falls": 2.0, "seconds": 50.0}
    return Measured((0, 500, 1000), around(*returns), around(home), (used,) * SEEDS, acting(0.3))


def results() -> Results:
    """In the source zero-shot 100 of 100; in the target zero-shot 20, random 0, oracle 200.

    Scores by hand: source 1, zero-shot 0.1, so a gap of 0.9. `fine_tune`: 20, 80, 120 are scores
    of 0.1, 0.4, 0.6, so it closes 0.5 / 0.9 of the gap and has the area (50 + 100) / 2 = 75.
    Scratch: 0, 20, 60; fine-tuning is 60 ahead and jumps 20; it reaches 60 at two thirds of the
    first half. Of the 100 at home fine-tuning keeps 70.
    """
    methods = {
        "fine_tune": method(20, 80, 120, home=70),
        "plain": method(20, 40, 90, home=30),
        "scratch": method(0, 20, 60, home=0),
    }
    target = TargetResults(references(20, 200, "far"), methods)
    return Results(references(100, 100, "source"), {"far": target}, flat(100, SEEDS))


def report(measured: Results, **changes: Any) -> dict[str, Any]:
    """The report of a study that measured this."""
    names = ["randomized", *measured.targets]
    return {
        "format": 1,
        "name": "try <b>",
        "about": "A study & its report.",
        "task": "half_cheetah",
        "budget": 1000,
        "seeds": list(range(SEEDS)),
        "episodes": EPISODES,
        "source_name": "randomized",
        "domains": {
            name: {"about": f"About {name}.", "parameters": ["body_mass × 1.4"]} for name in names
        },
        **summarize(measured),
        "made": {
            "date": "2026-01-31",
            "config": "task: half_cheetah\n",
            "versions": {"python": "3.11.7"},
            "oracle_steps": 500_000,
            "oracle_seeds": [0, 1, 2],
            "source_steps": 300_000,
            "given": [],
            "algorithm": "ppo",
        },
        **changes,
    }
