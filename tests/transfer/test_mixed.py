"""Learning from two domains: what is stored and drawn, and toys whose optimum is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv

from sim2real.errors import UserError
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer
from sim2real.transfer.budget import Budget
from sim2real.transfer.find import load_method
from sim2real.transfer.methods.darc import CorrectedRewards
from sim2real.transfer.methods.mixed_replay import ImportanceSampler
from sim2real.transfer.methods.par import Representation
from sim2real.transfer.mixed import MixedMethod
from sim2real.transfer.mixing import MixedReplay, Mixing, SourceSampler, SourceWorlds
from sim2real.transfer.resume import resume
from tests.toy import PlainVecEnv

MIXED = ("mixed_replay", "darc", "par", "vgdf")


def filled(kind: type[ReplayBuffer], action: float, rows: int = 4) -> Any:
    """A buffer whose actions are all the same."""
    box = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    buffer = kind(rows, box, spaces.Box(-1.0, 1.0, (1,), np.float32), "cpu", n_envs=1)
    for row in range(rows):
        seen = np.full((1, 1), row, np.float32)
        buffer.add(seen, seen, np.full((1, 1), action), np.zeros(1), np.zeros(1), [{}])
    return buffer


@pytest.mark.parametrize(("share", "of_target"), [(0.0, 0), (0.25, 4), (0.5, 8), (1.0, 16)])
def test_a_minibatch_has_its_share_of_the_target(share: float, of_target: int) -> None:
    replay = filled(MixedReplay, -1.0)
    replay.source, replay.sampler = filled(ReplayBuffer, 1.0), SourceSampler()
    replay.target_share = share
    actions = replay.sample(16).actions[:, 0].tolist()
    assert actions == [-1.0] * of_target + [1.0] * (16 - of_target)
    assert set(replay.of_target(9).actions[:, 0].tolist()) == {-1.0}


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_transitions_of_the_source_end_in_the_last_observation(
    algorithm: str, build: Callable[..., Any], counting: Callable[[int], VecEnv]
) -> None:
    """Its observations are (world, step, 1) of seven steps, -|action|^2 is rewarded."""
    worlds = SourceWorlds(counting(2), build(algorithm, counting(2)))
    for _ in range(8):
        worlds.step()
    replay = worlds.replay
    assert replay.observations[:8, 0, 1].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    assert replay.next_observations[:8, 0, 1].tolist() == [1, 2, 3, 4, 5, 6, 7, 1]
    assert replay.dones[:8, 1].tolist() == [0, 0, 0, 0, 0, 0, 1, 0]
    assert replay.timeouts[6].tolist() == [0.0, 1.0]
    actions = replay.actions[:8].astype(float)
    assert np.allclose(replay.rewards[:8], -np.square(actions).sum(axis=2), atol=1e-6)
    assert np.abs(actions).max() <= 1.0
    assert len(np.unique(actions)) > 16  # it explores


def test_a_captured_state_continues_equally(
    build: Callable[..., Any], counting: Callable[[int], VecEnv], toy: Any
) -> None:
    def mixing() -> Mixing:
        method = load_method("darc", {"prefill": 32})
        assert isinstance(method, MixedMethod)
        recipe = load_recipe("sac")
        algorithm = build("sac", toy.ToyVecEnv(2))
        return method.mix(algorithm, toy.ToyVecEnv(4), recipe, Budget(100))

    def goes_on(one: Mixing) -> torch.Tensor:
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        for _ in range(3):
            one.source.step()
        sampler = one.replay.sampler
        for _ in range(2):
            sampler.learn(one.source.replay.sample(8), one.source.replay.sample(8))
        samples = one.source.replay.sample(16)
        return torch.cat([samples.rewards[:, 0], sampler.classifiers.log_ratio(samples)])  # type: ignore[attr-defined]

    first = mixing()
    goes_on(first)
    tensors, state = first.capture()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    after, other = goes_on(first), mixing()
    other.restore(tensors, state)
    assert torch.equal(goes_on(other), after)


def test_importance_sampling_gives_the_means_of_the_target() -> None:
    """Of a source N(0, 1), weighted for a target N(0.5, 1): log ratio = 0.5 s' - 0.125."""

    class Exact(torch.nn.Linear):
        def log_ratio(self, samples: Any) -> torch.Tensor:
            return 0.5 * samples.next_observations[:, 0] - 0.125

    sampler = ImportanceSampler(Exact(1, 1), 1e-3, candidates=8, most=100.0)  # type: ignore[arg-type]
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    source = filled(ReplayBuffer, 0.0, rows=20_000)
    source.next_observations[:] = np.random.default_rng(0).normal(size=(20_000, 1, 1))
    found = sampler.sample(source, 20_000).next_observations
    assert float(found.mean()) == pytest.approx(0.5, abs=0.04)
    assert float(found.std()) == pytest.approx(1.0, abs=0.04)
    clipped = ImportanceSampler(Exact(1, 1), 1e-3, candidates=8, most=1.0)  # type: ignore[arg-type]
    found = clipped.sample(source, 20_000).next_observations
    # min(N(s'; 0, 1), N(s'; 0.5, 1)) is symmetric around 0.25
    assert float(found.mean()) == pytest.approx(0.25, abs=0.04)


def test_the_representation_predicts_the_target_and_not_the_source() -> None:
    """s' = a in the target, -a in the source."""
    torch.manual_seed(0)
    learned = Representation(1, 1, 8, (16, 16))
    optimizer = torch.optim.Adam(learned.parameters(), lr=3e-3)

    def samples(sign: float) -> Any:
        actions = torch.rand(128, 1) * 2.0 - 1.0
        states = torch.randn(128, 1)
        learned.normalizer.update(sign * actions)
        return SimpleNamespace(
            observations=states, actions=actions, next_observations=sign * actions
        )

    for _ in range(400):
        optimizer.zero_grad()
        learned.deviation(samples(1.0)).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    here, there = (float(learned.deviation(samples(sign)).detach().mean()) for sign in (1.0, -1.0))
    assert 10.0 * here < there


@pytest.mark.parametrize(("weight", "factor"), [(None, 0.25), (2.0, 2.0)])
def test_darc_adds_the_clipped_ratio_to_the_rewards_after_a_time(
    weight: float | None, factor: float, build: Callable[..., Any], toy: Any
) -> None:
    """Times SAC's entropy coefficient, here 1/4, unless a weight is given."""

    class Exact(torch.nn.Linear):
        def log_ratio(self, samples: Any) -> torch.Tensor:
            return 0.5 * samples.observations[:, 0]

    algorithm = build("sac", toy.ToyVecEnv(2))
    algorithm.set_logger(Logger(None, []))
    algorithm.log_ent_coef.data.fill_(np.log(0.25))
    given: Any = {"algorithm": algorithm, "weight": weight, "most": 1.0, "after": 10}
    sampler = CorrectedRewards(Exact(1, 1), 1e-3, **given)  # type: ignore[arg-type]
    source = filled(ReplayBuffer, 0.0)  # observations from 0 to 3, rewards of 0
    assert float(sampler.sample(source, 64).rewards.abs().max()) == 0.0
    algorithm.num_timesteps = 10
    samples = sampler.sample(source, 64)
    seen = samples.observations[:, 0]
    assert set(seen.tolist()) == {0.0, 1.0, 2.0, 3.0}
    expected = factor * (0.5 * seen).clamp(max=1.0)
    assert torch.allclose(samples.rewards[:, 0], expected)


class OneStep(PlainVecEnv):
    """An episode is a step: from 0 to sign * action + spread * N(0, 1), for a reward `action`."""

    def __init__(self, num_envs: int, sign: float, spread: float, seed: int) -> None:
        self._sign, self._spread = sign, spread
        self._rng = np.random.default_rng(seed)
        box = spaces.Box(-np.inf, np.inf, (1,), np.float32)
        super().__init__(num_envs, box, spaces.Box(-1.0, 1.0, (1,), np.float32))

    def reset(self) -> np.ndarray:
        return np.zeros((self.num_envs, 1), np.float32)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        noise = self._spread * self._rng.normal(size=(self.num_envs, 1))
        after = (self._sign * self._actions + noise).astype(np.float32)
        infos: list[dict[str, Any]] = [{"terminal_observation": one} for one in after]
        rewards, dones = self._actions[:, 0].astype(float), np.ones(self.num_envs, bool)
        return self.reset(), rewards, dones, infos


LEARNING: dict[str, Any] = {
    "gamma": 0.0,
    "learning_rate": 5e-3,
    "net_arch": [16, 16],
    "batch_size": 64,
    "learning_starts": 0,
}
QUICK: dict[str, Any] = {"num_envs": 8, "gradient_steps": 8, "batch_size": 64}


def learned(
    name: str, options: dict[str, Any], source: VecEnv, target: VecEnv, steps: int = 2_400
) -> Any:
    """The policy that a method learns, starting from a fresh one."""
    method = load_method(name, {"recipe": QUICK, "source_ratio": 2, "prefill": 512, **options})
    assert isinstance(method, MixedMethod)
    recipe = load_recipe("sac", None, LEARNING)
    policy = build_algorithm(recipe, source, 0).policy
    run: Any = SimpleNamespace(policy=policy, checkpoint=SimpleNamespace(training={}, state={}))
    budget = Budget(steps)
    resized = method.target_recipe(recipe, budget)
    prepared = method.prepare(run, resized, target, budget, 0)
    mixing = method.mix(prepared.algorithm, source, resized, budget)
    prepared.algorithm.learn(steps, callback=[*prepared.callbacks, mixing])
    return prepared.algorithm.policy


def action_at_0(policy: Any) -> float:
    return float(policy.predict(np.zeros((1, 1), np.float32), deterministic=True)[0][0, 0])


@pytest.mark.parametrize("name", ["mixed_replay", pytest.param("vgdf", marks=pytest.mark.slow)])
def test_the_best_of_the_mixture_is_learned(name: str, toy: Any) -> None:
    """The next state tells nothing of the action: selecting by its value does not change that.

    p (1 - (a + x)^2) + (1 - p) (1 - (a - x)^2) is largest at a = (1 - 2 p) x.
    """

    class Reversed(toy.ToyVecEnv):  # type: ignore[misc, name-defined]
        def step_async(self, actions: np.ndarray) -> None:
            super().step_async(-actions)

    policy = learned(name, {"target_share": 0.75}, toy.ToyVecEnv(16), Reversed(8))
    x = np.linspace(-0.8, 0.8, 17)
    seen = np.stack([x, 3.0 * x + 5.0], axis=1)
    actions = policy.predict(seen, deterministic=True)[0][:, 0]
    assert np.abs(actions + 0.5 * x).mean() < 0.12


@pytest.mark.slow
def test_darc_learns_the_best_of_reward_and_divergence() -> None:
    """In the source alone, from a + E d = a - KL(N(a, 1), N(-a, 1)) = a - 2 a^2: best at 0.25."""
    options = {"target_share": 0.0, "correct_after": 0.25, "noise": 0.0, "weight": 1.0}
    source, target = OneStep(16, 1.0, 1.0, 0), OneStep(8, -1.0, 1.0, 1)
    policy = learned("darc", options, source, target, 6_000)
    assert action_at_0(policy) == pytest.approx(0.25, abs=0.15)
    uncorrected = learned("darc", {**options, "weight": 0.0}, source, target)
    assert action_at_0(uncorrected) > 0.8


@pytest.mark.slow
def test_par_avoids_what_the_target_cannot_do() -> None:
    """The mismatch grows with |a|, the reward is a: a large weight leaves actions near 0."""
    options = {"target_share": 0.0, "encoder_learning_rate": 3e-3}
    source, target = OneStep(16, 1.0, 0.0, 0), OneStep(8, -1.0, 0.0, 1)
    policy = learned("par", {**options, "weight": 30.0}, source, target)
    assert abs(action_at_0(policy)) < 0.5
    unpenalized = learned("par", {**options, "weight": 0.0}, source, target)
    assert action_at_0(unpenalized) > 0.8


@pytest.fixture(scope="module")
def source(short_cartpole: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    def make(algorithm: str) -> Run:
        options = {"net_arch": [4], **({} if algorithm == "ppo" else {"learning_starts": 8})}
        return pretrain(
            "cartpole",
            "randomized",
            algorithm=algorithm,
            steps=256 if algorithm == "ppo" else 16,
            num_envs=4,
            out=tmp_path_factory.mktemp("source") / algorithm,
            options=options,
            progress=False,
        )

    return make


@pytest.mark.parametrize("name", MIXED)
def test_a_source_of_ppo_is_refused(
    name: str, source: Callable[[str], Run], tmp_path: Path
) -> None:
    message = f"method '{name}': the source's algorithm is ppo; allowed: sac"
    with pytest.raises(UserError, match=message):
        transfer(source("ppo"), "hard", method=name, budget=100, out=tmp_path / "a", progress=False)
    assert not (tmp_path / "a").exists()


def test_what_has_no_two_domains_is_refused(source: Callable[[str], Run], tmp_path: Path) -> None:
    run = source("sac")
    given: Any = {"method": "darc", "budget": 100, "progress": False, "out": tmp_path / "a"}
    with pytest.raises(UserError, match="learns from two domains, and the source's is the target"):
        transfer(run, "randomized", **given)
    with pytest.raises(UserError, match="privileged columns tell the source from the target"):
        transfer(run, "hard", options={"recipe": {"privileged": True}}, **given)
    with pytest.raises(UserError, match="learns from single steps, and n_step is 3"):
        transfer(run, "hard", options={"recipe": {"n_step": 3}}, **given)
    assert not (tmp_path / "a").exists()


def test_steps_of_the_source_are_free_and_counted(
    source: Callable[[str], Run], tmp_path: Path
) -> None:
    critics = {"critics": 4, "critic_subset": 2, "critic_norm": "layer"}  # those of RLPD
    options = {
        "source_ratio": 2,
        "prefill": 50,
        "penalty": 0.1,
        "critic": "fresh",
        "recipe": {"batch_size": 8, **critics},
    }
    run = transfer(
        source("sac"),
        "hard",
        method="mixed_replay",
        budget=40,
        num_envs=4,
        options=options,
        out=tmp_path / "moved",
        progress=False,
    )
    assert run.step == 40
    report = read_json(run.path / "report" / "budget.json")
    assert report["used"]["steps"] == 40
    assert report["source_steps"] == 56 + 80  # 7 steps of 8 worlds, then 10
    assert run.checkpoint.training["companion/replay/rewards"].shape == (17, 8)
    assert len(run.algorithm.critic.q_networks) == 4  # type: ignore[attr-defined]


def test_an_extended_run_equals_one_of_the_whole_budget(
    source: Callable[[str], Run], tmp_path: Path
) -> None:
    """The source's worlds, replay buffer and classifiers go on where they were."""
    small = {"source_ratio": 2, "prefill": 24, "recipe": {"batch_size": 8}}
    options = {"warm_up": 0.0, "correct_after": 0.0, **small}
    given: Any = {"method": "darc", "num_envs": 4, "options": options, "progress": False}
    run = source("sac")
    transfer(run, "hard", budget=48, out=tmp_path / "short", **given)
    extended = resume(tmp_path / "short", progress=False, steps=96)
    whole = transfer(run, "hard", budget=96, out=tmp_path / "long", **given)
    left, right = extended.checkpoint, whole.checkpoint
    assert left.step == right.step == 96
    assert left.state["companion"] == right.state["companion"]
    for one, other in ((left.policy, right.policy), (left.training, right.training)):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
