"""A training that was stopped and resumed equals, bit for bit, one that never was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from conformance_cases import slow_unless
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.learning.callbacks import Interrupted
from sim2real.learning.loop import learn
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore
from sim2real.runs.checkpoint import steps as checkpoint_steps
from sim2real.runs.state import capture

STEPS = 1000
ALGORITHMS = ("ppo", "sac", "td3")
COVERING = {("ppo", "constant"), ("sac", "linear"), ("td3", "constant")}


class InterruptAt(BaseCallback):
    """Press Ctrl-C once the training has made this many steps, `times` times."""

    def __init__(self, step: int, times: int = 1) -> None:
        super().__init__()
        self._step, self._times = step, times

    def _on_step(self) -> bool:
        if self.model.num_timesteps >= self._step and self._times:
            self._times -= 1
            os.kill(os.getpid(), signal.SIGINT)
        return True


def train(algorithm: BaseAlgorithm, run: Path, *callbacks: BaseCallback, steps: int = STEPS) -> Any:
    learn(algorithm, run, steps, callbacks=callbacks, checkpoint_every=350, progress=False)


def everything(algorithm: BaseAlgorithm) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    tensors, state = capture(algorithm)
    return tensors | algorithm.policy.state_dict(), state


def assert_equal(one: BaseAlgorithm, other: BaseAlgorithm) -> None:
    (tensors, state), (others, other_state) = everything(one), everything(other)
    assert state == other_state
    assert tensors.keys() == others.keys()
    different = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    assert not different


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("ppo", "kl"),
        *(
            slow_unless(case in COVERING, *case)
            for case in product(ALGORITHMS, ["constant", "linear"])
        ),
    ],
)
def test_interrupted_equals_uninterrupted(
    name: str, schedule: str, build: Any, curves: Any, tmp_path: Path
) -> None:
    course = {"initial_gamma": 0.9, "initial_ent_coef": 0.1, "final_log_std": -1.0}
    rising = course if name == "ppo" else {}
    whole = build(name, lr_schedule=schedule, **rising)
    train(whole, tmp_path / "whole")

    stopped = build(name, lr_schedule=schedule, **rising)
    with pytest.raises(Interrupted, match=r"stopped at step \d+; resume with: sim2real resume"):
        train(stopped, tmp_path / "parts", InterruptAt(550))
    checkpoint = read_checkpoint(tmp_path / "parts")
    assert 550 <= checkpoint.step < 700
    # everything must come from the checkpoint
    resumed = build(name, lr_schedule=schedule, seed=7, **rising)
    restore(resumed, checkpoint)
    train(resumed, tmp_path / "parts")

    assert whole.num_timesteps == resumed.num_timesteps == STEPS
    assert_equal(whole, resumed)
    expected, got = curves(tmp_path / "whole"), curves(tmp_path / "parts")
    assert expected["rollout/ep_rew_mean"][-1][0] == STEPS
    assert "worlds/context/mass" in expected
    assert got == expected


def test_interrupt_handler_is_put_back(build: Any, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        train(build("ppo"), tmp_path, InterruptAt(1))
    assert signal.getsignal(signal.SIGINT) is before


def test_second_interrupt_stops_at_once(build: Any, tmp_path: Path) -> None:
    algorithm = build("ppo")
    with pytest.raises(KeyboardInterrupt) as stopped:
        train(algorithm, tmp_path, InterruptAt(130, times=2))
    assert not isinstance(stopped.value, Interrupted)
    assert algorithm.num_timesteps % 128 != 0  # in the middle of a rollout
    assert checkpoint_steps(tmp_path) == [0]


def test_later_checkpoints_are_made_again(build: Any, tmp_path: Path) -> None:
    whole = build("ppo")
    train(whole, tmp_path)
    middle = checkpoint_steps(tmp_path)[1]
    resumed = build("ppo", seed=3)
    restore(resumed, read_checkpoint(tmp_path, middle))
    discard_after(tmp_path, middle)
    assert checkpoint_steps(tmp_path) == [0, middle]
    train(resumed, tmp_path)
    assert_equal(whole, resumed)


KILLED = """
import importlib.util, pathlib, sys
spec = importlib.util.spec_from_file_location("conftest", sys.argv[1])
conftest = importlib.util.module_from_spec(spec)
spec.loader.exec_module(conftest)
from sim2real.learning.loop import learn
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import load_recipe
recipe = load_recipe("sac", None, conftest.SMALL["sac"])
algorithm = build_algorithm(recipe, conftest._load_toy().ToyVecEnv(recipe.num_envs, 0), 0)
learn(algorithm, pathlib.Path(sys.argv[2]), 10**7, checkpoint_every=64, progress=False)
"""


def test_killed_run_continues(build: Any, curves: Any, tmp_path: Path) -> None:
    run, conftest = tmp_path / "killed", Path(__file__).parents[1] / "training_fixtures.py"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(conftest), str(run)])
    try:
        _wait_for(lambda: len(checkpoint_steps(run)) >= 6, process)
    finally:
        process.kill()
        process.wait()
    checkpoint = read_checkpoint(run)
    resumed = build("sac", seed=5)
    restore(resumed, checkpoint)
    discard_after(run, checkpoint.step)
    total = checkpoint.step + 400
    learn(resumed, run, total, checkpoint_every=10**6, progress=False)

    whole = build("sac")
    learn(whole, tmp_path / "whole", total, checkpoint_every=10**6, progress=False)
    assert_equal(whole, resumed)
    assert curves(run) == curves(tmp_path / "whole")


def _wait_for(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
