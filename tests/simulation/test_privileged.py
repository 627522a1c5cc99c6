from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import sim2real  # noqa: F401 (registers the Gymnasium ids)
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import ObservationTerm

NOISY = Domain(
    name="noisy",
    dynamics=[{"field": "body_mass", "of": "pole", "scale": {"uniform": [0.5, 2.0]}}],  # type: ignore[list-item]
    sensing=[{"noise": {"normal": [0.0, 0.1]}, "of": "cart"}],  # type: ignore[list-item]
)
TASK = """
import numpy as np
from sim2real.envs.cartpole import Cartpole

class Watched(Cartpole):
    model = {model!r}
    units = {{"tip": "m"}}

    def privileged(self, world):
        return {{{name!r}: {value}}}
"""


def watched(folder: Path, name: str = "tip", value: str = 'world.body("pole").xipos') -> str:
    import sim2real.envs

    model = Path(sim2real.envs.__file__).parent / "cartpole.xml"
    path = folder / "watched.py"
    path.write_text(TASK.format(model=str(model), name=name, value=value))
    return str(path)


def both(task: str, domain: Any, **options: Any) -> tuple[Simulation, Simulation]:
    return (
        Simulation(task, domain, 5, 3, **options),
        Simulation(task, domain, 5, 3, privileged=True, **options),
    )


def test_terms_are_data() -> None:
    plain, full = both("cartpole", NOISY)
    size = sum(term.size for term in plain.observation_terms)
    assert full.policy_terms == plain.observation_terms == full.observation_terms[:-2]
    truth, context = full.observation_terms[-2:]
    assert (truth.name, truth.size, truth.group) == ("truth", size, "privileged")
    assert truth.columns[0] == f"{plain.observation_terms[0].name}[0]"
    assert (context.name, context.columns) == ("context", full.context_names)
    assert full.observation_space.shape == (2 * size + context.size,)
    assert {term.group for term in full.policy_terms} == {"policy"}


def test_terms_survive_json() -> None:
    import dataclasses
    import json

    _, full = both("cartpole", NOISY)
    data = json.loads(json.dumps([dataclasses.asdict(term) for term in full.observation_terms]))
    assert tuple(ObservationTerm.of(term) for term in data) == full.observation_terms
    assert ObservationTerm.of({"name": "x", "size": 2, "unit": "m"}) == ObservationTerm("x", 2, "m")
    furuta = [term for term in Simulation("furuta").policy_terms if term.commanded]
    assert [term.name for term in furuta] == ["last_action"]
    assert ObservationTerm.of(dataclasses.asdict(furuta[0])).commanded
    # a run from before the flag has the same terms
    assert ObservationTerm.of({"name": "last_action", "size": 1}) == furuta[0]


def test_a_domain_that_draws_nothing_has_no_context() -> None:
    plain, full = both("hopper", "nominal")
    assert [term.name for term in full.observation_terms[2:]] == ["truth"]
    size = plain.observation_space.shape[0]
    np.testing.assert_array_equal(full.observation[:, :size], full.observation[:, size:])


def test_the_policys_columns_are_unchanged_and_the_rest_is_true() -> None:
    plain, full = both("cartpole", NOISY)
    size = plain.observation_space.shape[0]
    rng = np.random.default_rng(0)
    for _ in range(700):
        action = rng.uniform(-1, 1, (5, 1))
        one, other = plain.step(action), full.step(action)
        np.testing.assert_array_equal(one.observation, other.observation[:, :size])
        np.testing.assert_array_equal(one.final_observation, other.final_observation[:, :size])
        truth = np.concatenate(list(full.task.observe(full).values()), axis=1)
        np.testing.assert_array_equal(other.observation[:, size : 2 * size], truth)
        np.testing.assert_array_equal(other.observation[:, 2 * size :], full.context)
        assert (other.observation[:, :size] != truth).any()
    assert full.episode_indices.min() > 0


def test_a_tasks_own_terms(tmp_path: Path) -> None:
    plain, full = both(watched(tmp_path), NOISY)
    size = plain.observation_space.shape[0]
    names = [term.name for term in full.observation_terms]
    assert names == [*[term.name for term in plain.observation_terms], "tip", "truth", "context"]
    tip = full.observation_terms[-3]
    assert (tip.size, tip.unit, tip.group) == (3, "m", "privileged")
    for _ in range(20):
        action = np.ones((5, 1))
        one, other = plain.step(action), full.step(action)
        np.testing.assert_array_equal(one.observation, other.observation[:, :size])
    own = full.observation[:, size : size + 3]
    np.testing.assert_array_equal(own, full.body("pole").xipos)
    assert np.ptp(own[:, 0]) > 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("truth", "world.qpos", "no term may have the name 'truth'"),
        ("cart", "world.qpos", "no term may have the name 'cart'"),
        ("tip", "world.qpos[:, 0]", r"tip must be \(n, k\)"),
        ("top", "world.qpos", "unknown unit of task .watched. .tip."),
    ],
)
def test_broken_promises(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Simulation(watched(tmp_path, name, value), NOISY, privileged=True)


def test_snapshot_and_restore() -> None:
    _, full = both("cartpole", NOISY)
    rng = np.random.default_rng(1)
    actions = rng.uniform(-1, 1, (60, 5, 1))
    for action in actions[:20]:
        full.step(action)
    saved = full.snapshot()
    ahead = [full.step(action).observation for action in actions[20:]]
    _, other = both("cartpole", NOISY)
    other.restore(saved)
    np.testing.assert_array_equal(
        ahead, [other.step(action).observation for action in actions[20:]]
    )
    with pytest.raises(UserError, match="observation must be"):
        Simulation("cartpole", NOISY, 5, 3).restore(saved)


def test_every_front_end_has_them() -> None:
    _, full = both("hopper", "heavy-slippery")
    size = full.observation_space.shape
    assert make_vec_env("hopper", "heavy-slippery", 2, privileged=True).reset().shape == (2, *size)
    options: dict[str, Any] = {"domain": "heavy-slippery", "privileged": True}
    env = gymnasium.make("sim2real/Hopper-v0", **options)
    observation, _ = env.reset(seed=0)
    assert observation.shape == env.observation_space.shape == size
    vector = gymnasium.make_vec("sim2real/Hopper-v0", num_envs=2, **options)
    assert vector.reset(seed=0)[0].shape == (2, *size)
    env.close()
    vector.close()
