"""A controller in the loop does what the policy does in a simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless
from policies_at_random import KINDS, made

from sim2real.deployment.control import controller_of, controller_onnx, described, follow
from sim2real.deployment.controller import Controller
from sim2real.deployment.parity import actions_of, training_worlds
from sim2real.domains import load_domain
from sim2real.errors import UserError
from sim2real.evaluation.rollout import simulation_for
from sim2real.registry import load_task, task_names
from sim2real.runs.session import Session

FAST = {("arm_reach", "history"), ("hopper", "conv"), ("quadruped", "flat")}
CASES = [(task, kind) for task in task_names() for kind in KINDS]


def controlled(task: str, kind: str, algorithm: str = "ppo") -> tuple[Any, Controller, Session]:
    policy, _ = made(task, algorithm, kind)
    controller = controller_of(policy, load_task(task), load_domain(task, "randomized"))
    return policy, controller, Session(controller_onnx(controller, {}))


@pytest.mark.parametrize(("task", "kind"), [slow_unless(one in FAST, *one) for one in CASES])
def test_a_controller_follows_the_simulation(task: str, kind: str) -> None:
    policy, controller, session = controlled(task, kind)
    worlds = training_worlds(policy, load_task(task), load_domain(task, "randomized"))
    off = follow(policy, worlds, controller, session)
    assert {"actions", "observation", "commands"} == set(off)


def test_a_controller_drives_the_robot_by_itself() -> None:
    """From joints and sensors of one world, as it drives it, against `predict` in another."""
    policy, controller, session = controlled("quadruped", "history")
    task, domain = load_task("quadruped"), load_domain("quadruped", "nominal")
    robot, other = (simulation_for(policy, task, domain, seed=3, threads=1) for _ in range(2))
    joints = described(controller)["inputs"][0]["numbers"]
    seen = (robot.reset(), other.reset())[1]
    state = np.zeros((1, controller.state_size), np.float32)
    for step in range(12):
        observed = task.observe(robot)
        inputs = {
            "joints.position": [[float(robot.joint(name).qpos[0, 0]) for name in joints]],
            "joints.velocity": [[float(robot.joint(name).qvel[0, 0]) for name in joints]],
            **{name: observed[name] for name in ("gyro", "gravity", "command")},
        }
        given = {name: np.array(values, np.float32) for name, values in inputs.items()}
        first = np.array([[step == 0]], np.float32)
        answer = session({**given, "state": state, "first": first})
        action = actions_of(policy, seen)
        np.testing.assert_allclose(answer["observation"], seen, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(answer["actions"], action, atol=1e-4)
        seen, state = other.step(action).observation, answer["next_state"]
        robot.step(answer["actions"])
        low, high = robot.model.actuator_ctrlrange.T
        np.testing.assert_allclose(
            answer["commands"], np.clip(robot.commanded, low, high), atol=1e-6
        )


class Forgetful(Controller):
    """It does not notice that an episode begins."""

    def _observe(self, readings: Any, state: Any, first: Any) -> Any:
        return super()._observe(readings, state, first & False)


def test_a_history_that_is_not_filled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim2real.deployment.control.Controller", Forgetful)
    policy, controller, session = controlled("cartpole", "history")
    worlds = training_worlds(policy, load_task("cartpole"), load_domain("cartpole", "randomized"))
    with pytest.raises(UserError, match=r"controller\.onnx: its observations differ"):
        follow(policy, worlds, controller, session)


def test_what_goes_in_and_what_comes_out() -> None:
    _, controller, session = controlled("arm_reach", "flat")
    names = [one["name"] for one in described(controller)["inputs"]]
    assert names[:2] == ["joints.position", "joints.velocity"]
    assert names[2:] == ["target", "goal", "to_goal", "state", "first"]
    assert controller.state_size == 5  # the action before
    sizes = [5, 5, 5, 3, 3, 5, 1]
    given = {n: np.zeros((1, k), np.float32) for n, k in zip(names, sizes, strict=True)}
    given["target"][:] = 0.1
    answer = session(given)
    assert list(answer) == ["commands", "actions", "observation", "next_state"]
    np.testing.assert_allclose(answer["commands"], 0.1 + 0.1 * answer["actions"], atol=1e-6)
    np.testing.assert_allclose(answer["next_state"], answer["actions"], atol=1e-6)


def test_a_policy_without_memory_has_no_state() -> None:
    _, controller, _ = controlled("hopper", "flat")
    assert controller.input_names == ["joints.position", "velocity"]
    assert controller.output_names == ["commands", "actions", "observation"]
    assert isinstance(controller.actor, torch.nn.Module)
