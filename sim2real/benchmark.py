"""How quick the simulation, the training and the evaluation are, against what one would use else.

Every contestant is measured in the same run, in interleaved rounds, because absolute times drift
on a shared machine and ratios within a round do not. All act on Hopper (four substeps of RK4) at
uniformly random actions, on every core, and all start a fallen hopper anew.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import gymnasium
import mujoco
import mujoco.batch
import numpy as np

from sim2real.doctor import versions
from sim2real.registry import load_task
from sim2real.simulation.vec_env import make_vec_env

Part = Literal["stepping", "ppo", "evaluation"]
Measure = Callable[[], tuple[int, float]]  # one slice of a contestant: control steps, seconds
Contestants = Mapping[str, contextlib.AbstractContextManager[Measure]]
TASK, GYMNASIUM_ID = "hopper", "Hopper-v5"
BARE, OURS, SB3_PPO, SB3_EVALUATION = "bare batch loop", "our VecEnv", "SB3 PPO", "SB3 evaluation"
OUR_PPO, OUR_EVALUATION = "our PPO", "our evaluation"
DOMAINS = ("nominal", "randomized", "mild", "medium", "hard")


@dataclass(frozen=True)
class BenchmarkConfig:
    """What is measured: sizes, and how many rounds of it."""

    parts: tuple[Part, ...] = ("stepping", "ppo", "evaluation")
    """Which parts to run."""
    rounds: int = 5
    """Interleaved rounds; the ratios are told as median and range over them."""
    seconds: float = 2.0
    """Time that a stepping contestant has in one round, in s."""
    slices: int = 8
    """Into how many turns that time is cut; a neighbour's load then falls on every contestant."""
    num_envs: int = 64
    """Worlds of the batched contestants."""
    processes: int = 8
    """Environments of DummyVecEnv, SubprocVecEnv and AsyncVectorEnv."""
    ppo_steps: int = 12_288
    """Control steps of one round of PPO; a multiple of n_steps * num_envs."""
    episodes: int = 100
    """Episodes per domain of one round of our evaluation."""
    policy: Path | None = None
    """A hopper run whose policy is evaluated; by default an untrained one, which falls early."""
    seed: int = 0
    """Seed of actions, simulations and policies."""


@dataclass(frozen=True)
class Ratio:
    """Steps per second of one contestant over another's: median and range over the rounds."""

    of: str
    over: str
    median: float
    low: float
    high: float
    wanted: float


def benchmark(config: BenchmarkConfig | None = None, tell: Callable[[str], None] = print) -> Any:
    """Run the benchmark; return settings, machine, steps per second by round, and ratios."""
    config = config or BenchmarkConfig()
    parts = {"stepping": stepping, "ppo": ppo, "evaluation": evaluation}
    rates: dict[str, list[float]] = {}
    for part in config.parts:
        with contextlib.ExitStack() as stack:
            contestants = {
                name: stack.enter_context(manager) for name, manager in parts[part](config).items()
            }
            slices = config.slices if part == "stepping" else 1
            _interleave(contestants, config.rounds, slices, rates, tell)
    return {
        "config": asdict(config) | {"policy": str(config.policy) if config.policy else None},
        "machine": {"cores": cores(), "load": os.getloadavg()[0], "versions": versions()},
        "steps_per_second": rates,
        "ratios": [asdict(ratio) for ratio in ratios(rates)],
    }


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def _interleave(
    contestants: dict[str, Measure],
    rounds: int,
    slices: int,
    rates: dict[str, list[float]],
    tell: Callable[[str], None],
) -> None:
    """Give each contestant `slices` turns a round, starting with another one each time."""
    names = list(contestants)
    for index in range(rounds):
        steps, seconds = dict.fromkeys(names, 0), dict.fromkeys(names, 0.0)
        for turn in range(slices):
            start = (index + turn) % len(names)
            for name in names[start:] + names[:start]:
                more, taken = contestants[name]()
                steps[name] += more
                seconds[name] += taken
        for name in names:
            rates.setdefault(name, []).append(steps[name] / seconds[name])
        told = ", ".join(f"{name} {rates[name][-1]:,.0f}" for name in names)
        tell(f"round {index + 1} of {rounds}, steps/s: {told}")


def ratios(rates: dict[str, list[float]]) -> list[Ratio]:
    """The ratios that are promised, of those contestants that were measured.

    >>> ratios({"our PPO": [30.0, 20.0, 40.0], "SB3 PPO": [10.0, 10.0, 10.0]})[0].median
    3.0
    """
    promised = [
        (OURS, (BARE,), 0.90),
        (OURS, ("DummyVecEnv", "SubprocVecEnv"), 3.0),
        (OURS, ("AsyncVectorEnv",), 3.0),
        (OURS, ("EnvPool",), 0.95),
        (OUR_PPO, (SB3_PPO,), 2.5),
        (OUR_EVALUATION, (SB3_EVALUATION,), 5.0),
    ]
    found = []
    for of, others, wanted in promised:
        others = tuple(name for name in others if name in rates)
        if of in rates and others:
            best = max(others, key=lambda name: statistics.median(rates[name]))
            each = [a / b for a, b in zip(rates[of], rates[best], strict=True)]
            found.append(Ratio(of, best, statistics.median(each), min(each), max(each), wanted))
    return found


# -- stepping ----------------------------------------------------------------------------------


def stepping(config: BenchmarkConfig) -> Contestants:
    """Contestants that step environments at random actions."""
    found = {
        OURS: _ours(config),
        BARE: _bare(config),
        "bare batch, never reset": _bare(config, restart=False),
        "DummyVecEnv": _sb3(config, "dummy"),
        "SubprocVecEnv": _sb3(config, "subproc"),
        "AsyncVectorEnv": _async(config),
    }
    return found | ({"EnvPool": _envpool(config)} if importlib.util.find_spec("envpool") else {})


def _timed(
    step: Callable[[Any], object], num_envs: int, size: int, config: BenchmarkConfig
) -> Measure:
    """Call `step` for one slice of the contestant's time, after a warm-up."""
    rng = np.random.default_rng(config.seed)
    actions = rng.uniform(-1.0, 1.0, (256, num_envs, size)).astype(np.float32)

    def measure() -> tuple[int, float]:
        for action in actions[:4]:
            step(action)
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < config.seconds / config.slices:
            step(actions[count % len(actions)])
            count += 1
        return count * num_envs, elapsed

    return measure


@contextlib.contextmanager
def _ours(config: BenchmarkConfig) -> Iterator[Measure]:
    env = make_vec_env(TASK, "randomized", num_envs=config.num_envs, seed=config.seed)
    env.reset()
    yield _timed(env.step, config.num_envs, 3, config)
    env.close()


@contextlib.contextmanager
def _bare(config: BenchmarkConfig, restart: bool = True) -> Iterator[Measure]:
    """The physics alone: controls in, four substeps; no observation, reward or randomization.

    Fallen hoppers are put back on their feet in the cheapest way (unless `restart` is False), so
    that the contacts to be solved are those that the other contestants have: a batch that is never
    reset ends as a heap of lying hoppers, which is another model's worth of contacts.
    """
    task = load_task(TASK)
    model = task.compile()
    substeps = round(task.control_dt / model.opt.timestep)
    batch = mujoco.batch.Batch(model, config.num_envs, cores())
    qpos, qvel, ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
    rng = np.random.default_rng(config.seed)

    def step(action: Any) -> None:
        ctrl[:] = action
        batch.step(nstep=substeps)
        if not restart:
            return
        fallen = np.flatnonzero((qpos[:, 1] <= 0.7) | (np.abs(qpos[:, 2]) >= 0.2))
        if len(fallen):
            batch.reset(fallen, stage=mujoco.mjtStage.mjSTAGE_NONE)
            qpos[fallen] += rng.uniform(-0.005, 0.005, (len(fallen), model.nq))
            qvel[fallen] += rng.uniform(-0.005, 0.005, (len(fallen), model.nv))

    yield _timed(step, config.num_envs, model.nu, config)


@contextlib.contextmanager
def _sb3(config: BenchmarkConfig, kind: Literal["dummy", "subproc"]) -> Iterator[Measure]:
    env = _gymnasium_vec_env(config, kind)
    env.reset()
    yield _timed(env.step, config.processes, 3, config)
    env.close()


def _gymnasium_vec_env(config: BenchmarkConfig, kind: Literal["dummy", "subproc"]) -> Any:
    from stable_baselines3.common.env_util import make_vec_env as sb3_make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    vec_env_class = DummyVecEnv if kind == "dummy" else SubprocVecEnv
    return sb3_make_vec_env(
        GYMNASIUM_ID, config.processes, seed=config.seed, vec_env_cls=vec_env_class
    )


@contextlib.contextmanager
def _async(config: BenchmarkConfig) -> Iterator[Measure]:
    env = gymnasium.make_vec(GYMNASIUM_ID, config.processes, vectorization_mode="async")
    env.reset(seed=config.seed)
    yield _timed(env.step, config.processes, 3, config)
    env.close()


@contextlib.contextmanager
def _envpool(config: BenchmarkConfig) -> Iterator[Measure]:
    envpool: Any = importlib.import_module("envpool")
    env = envpool.make(
        GYMNASIUM_ID,
        env_type="gymnasium",
        num_envs=config.num_envs,
        num_threads=cores(),
        seed=config.seed,
    )
    env.reset()
    yield _timed(env.step, config.num_envs, 3, config)
    env.close()


# -- training ----------------------------------------------------------------------------------


def ppo(config: BenchmarkConfig) -> Contestants:
    """PPO end to end with the same hyperparameters and the same size of rollout."""
    return {OUR_PPO: _our_ppo(config), SB3_PPO: _sb3_ppo(config)}


@contextlib.contextmanager
def _our_ppo(config: BenchmarkConfig) -> Iterator[Measure]:
    """`pretrain` as a user calls it: randomization, statistics, logging and checkpoint included."""
    from sim2real.training.pretrain import pretrain

    def measure() -> tuple[int, float]:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            pretrain(
                TASK,
                "randomized",
                steps=config.ppo_steps,
                num_envs=config.num_envs,
                seed=config.seed,
                out=Path(folder) / "run",
                progress=False,
            )
            return config.ppo_steps, time.perf_counter() - start

    yield measure


@contextlib.contextmanager
def _sb3_ppo(config: BenchmarkConfig) -> Iterator[Measure]:
    """Stable-Baselines3's PPO on SubprocVecEnv; only `learn` is timed, not the start of workers."""
    env = _gymnasium_vec_env(config, "subproc")

    def measure() -> tuple[int, float]:
        algorithm = _same_ppo(config, env)
        start = time.perf_counter()
        algorithm.learn(config.ppo_steps)
        return algorithm.num_timesteps, time.perf_counter() - start

    yield measure
    env.close()


def _same_ppo(config: BenchmarkConfig, env: Any) -> Any:
    """SB3's PPO with the hyperparameters of our recipe, on `env`.

    The rollout keeps its number of transitions: fewer environments take more steps each.
    """
    from sim2real.training.recipe import PPORecipe, build_algorithm, load_recipe

    recipe = load_recipe("ppo", TASK)
    assert isinstance(recipe, PPORecipe)
    steps = max(recipe.n_steps * config.num_envs // env.num_envs, 2)
    same = recipe.model_copy(update={"n_steps": steps, "normalize_observations": False})
    return build_algorithm(same, env, config.seed)


# -- evaluation --------------------------------------------------------------------------------


def evaluation(config: BenchmarkConfig) -> Contestants:
    """Episodes of one policy: ours in five domains, SB3's `evaluate_policy` in one environment."""
    policy = _policy(config)
    return {
        OUR_EVALUATION: _our_evaluation(config, policy),
        SB3_EVALUATION: _sb3_evaluation(config, policy),
    }


def _policy(config: BenchmarkConfig) -> Any:
    if config.policy is not None:
        from sim2real.training.run import load_run

        return load_run(config.policy).policy
    env = make_vec_env(TASK, num_envs=config.num_envs)
    return _same_ppo(config, env).policy


@contextlib.contextmanager
def _our_evaluation(config: BenchmarkConfig, policy: Any) -> Iterator[Measure]:
    from sim2real.evaluation.rollout import evaluate

    def measure() -> tuple[int, float]:
        start = time.perf_counter()
        rows = evaluate(policy, TASK, DOMAINS, episodes=config.episodes, seed=config.seed)
        return sum(row.length for row in rows), time.perf_counter() - start

    yield measure


@contextlib.contextmanager
def _sb3_evaluation(config: BenchmarkConfig, policy: Any) -> Iterator[Measure]:
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor

    env = Monitor(gymnasium.make(GYMNASIUM_ID))
    env.reset(seed=config.seed)

    def measure() -> tuple[int, float]:
        episodes = max(config.episodes // len(DOMAINS), 1)
        start = time.perf_counter()
        _, lengths = evaluate_policy(
            policy, env, n_eval_episodes=episodes, return_episode_rewards=True
        )
        return int(np.sum(lengths)), time.perf_counter() - start

    yield measure
    env.close()


# -- the table ---------------------------------------------------------------------------------


def tables(result: Any) -> list[Any]:
    """Rich tables of a benchmark's result: steps per second, and ratios with their range."""
    from rich.table import Table

    rates = Table("contestant", "median", "range", title="steps/s on Hopper")
    for name, values in result["steps_per_second"].items():
        span = f"{min(values):,.0f} .. {max(values):,.0f}"
        rates.add_row(name, f"{statistics.median(values):,.0f}", span)
    shown = Table("ratio", "median", "range", "wanted", title="ratios within a round")
    for ratio in result["ratios"]:
        shown.add_row(
            f"{ratio['of']} / {ratio['over']}",
            f"{ratio['median']:.2f}",
            f"{ratio['low']:.2f} .. {ratio['high']:.2f}",
            f">= {ratio['wanted']:.2f}",
        )
    return [rates, shown]
