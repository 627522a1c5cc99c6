"""Contestants that measure the cost of randomization: a task as it is and with 20 parameters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sim2real.benchmark.core import BenchmarkConfig, Contestants, Measure, timed
from sim2real.domains import Domain
from sim2real.registry import load_task
from sim2real.simulation.front_ends.vec_env import make_vec_env

TASKS = {"hopper": ("floor", "foot_geom"), "ant": ("floor", "*_geom")}
"""The tasks that are measured, and the geoms whose friction counts."""


def nominal_name(task: str) -> str:
    """What the contestant without randomization is called."""
    return f"{task} nominal"


def randomized_name(task: str) -> str:
    """What the contestant with twenty parameters is called."""
    return f"{task} with 20 parameters"


def randomization(config: BenchmarkConfig) -> Contestants:
    """Each task as it is, and in a domain of twenty parameters with delays and noise."""
    contestants: dict[str, contextlib.AbstractContextManager[Measure]] = {}
    for task in TASKS:
        contestants[nominal_name(task)] = _vec_env(config, task, Domain(name="nominal"))
        contestants[randomized_name(task)] = _vec_env(config, task, twenty_parameters(task))
    return contestants


@contextlib.contextmanager
def _vec_env(config: BenchmarkConfig, task: str, domain: Domain) -> Iterator[Measure]:
    env = make_vec_env(load_task(task), domain, num_envs=config.num_envs, seed=config.seed)
    env.reset()
    yield timed(env.step, config.num_envs, env.simulation.model.nu, config)
    env.close()


def twenty_parameters(task: str) -> Domain:
    """At least twenty numbers an episode: masses, friction, joints, motors, delays, noise."""
    factor = {"uniform": [0.8, 1.2]}
    return Domain.model_validate(
        {
            "name": "twenty",
            "dynamics": [
                {"field": "body_mass", "scale": factor},
                {
                    "field": "geom_friction",
                    "of": list(TASKS[task]),
                    "component": "sliding",
                    "scale": {"log_uniform": [0.5, 2.0]},
                    "shared": True,
                },
                {"field": "dof_damping", "scale": factor},
                {"field": "dof_armature", "scale": factor},
                {"field": "opt.gravity", "component": "z", "scale": {"uniform": [0.95, 1.05]}},
            ],
            "actuation": [{"delay": {"uniform": [0.0, 0.02]}}, {"strength": factor}],
            "sensing": [
                {"noise": {"normal": [0.0, 0.01]}, "of": "position"},
                {"noise": {"normal": [0.0, 0.05]}, "of": "velocity"},
            ],
        }
    )
