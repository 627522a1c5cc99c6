"""No child of `os.fork` hangs, whatever its parent has made, closed or dropped."""

import gc
import os
import subprocess
import sys
import textwrap

import gymnasium as gym
import numpy as np
import pytest

import sim2real as s2r
from sim2real.errors import UserError
from sim2real.simulation import Simulation

DROPPED = """
    import gc, os
    import gymnasium as gym
    import numpy as np
    import sim2real as s2r

    parent = os.getpid()

    def hopper():
        if os.getpid() != parent:
            gc.collect()
        return gym.make("sim2real/Hopper-v0")

    gc.disable()  # as if no collection had come yet
    env = gym.make_vec("sim2real/Hopper-v0", num_envs=3, threads=2)
    env.reset(seed=0)
    env.step(env.action_space.sample())
    del env
"""

COLLECT = """
    if os.fork() == 0:
        gc.collect()
        os._exit(0)
    _, status = os.wait()
    print("status", status)
"""

CLOSED = """
    import gc, os
    import sim2real as s2r
    gc.disable()
    env = s2r.make_vec_env("hopper", num_envs=3, threads=2)
    env.reset()
    env.close()
    del env
"""

TORN_DOWN = """
    kept = s2r.Simulation("hopper", num_envs=3, threads=2)
    if os.fork() == 0:
        raise SystemExit(0)  # the interpreter destroys what is left
    _, status = os.wait()
    print("status", status)
"""

USED = """
    kept = s2r.Simulation("hopper", num_envs=3, threads=2)
    if os.fork() == 0:
        try:
            kept.step(np.zeros((3, 3)))
        except s2r.UserError as error:
            print(error, flush=True)
            os._exit(0)
        os._exit(1)
    _, status = os.wait()
    print("status", status)
"""

ASYNC = """
    envs = gym.vector.AsyncVectorEnv([hopper, hopper], context="fork")
    envs.reset(seed=0)
    envs.step(envs.action_space.sample())
    envs.close()
    print("status 0")
"""

SUBPROC = """
    from stable_baselines3.common.vec_env import SubprocVecEnv

    envs = SubprocVecEnv([hopper, hopper], start_method="fork")
    envs.reset()
    envs.step(np.zeros((2, 3), dtype=np.float32))
    envs.close()
    print("status 0")
"""


def run(*parts: str) -> str:
    """What a script prints; an error if it takes more than 60 s."""
    source = "".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_children_end():
    """One after the other: of a dropped environment, of three ways to fork, of a closed one."""
    parts = (DROPPED, COLLECT, TORN_DOWN, ASYNC, SUBPROC, CLOSED, COLLECT)
    assert run(*parts).splitlines() == ["status 0"] * 5


def test_a_child_that_uses_the_threads_of_its_parent_gets_the_reason():
    message, status = run(DROPPED, USED).splitlines()
    assert message.startswith("a simulation with threads cannot be used in a child of os.fork")
    assert status == "status 0"


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Simulation("hopper", "randomized", num_envs=3, threads=3),
        lambda: s2r.make_vec_env("hopper", "hard", num_envs=3, threads=3),
        lambda: gym.make_vec("sim2real/Hopper-v0", num_envs=3, threads=3, domain="randomized"),
    ],
)
def test_close_ends_the_threads(make):
    gc.collect()  # simulations of other tests: their threads must not end in between
    before = threads()
    env = make()
    env.reset()
    assert threads() == before + 2
    env.close()
    assert threads() == before  # at once, with the object still there


def test_a_closed_simulation_says_so():
    simulation = Simulation("hopper", num_envs=2, threads=2)
    simulation.close()
    simulation.close()
    for use in (simulation.reset, lambda: simulation.step(np.zeros((2, 3))), simulation.snapshot):
        with pytest.raises(UserError, match="the simulation is closed"):
            use()
