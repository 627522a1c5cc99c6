"""A policy that starts in another task acts as in its own on what both have."""

from __future__ import annotations

import functools
import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conformance_cases import slow_unless
from stable_baselines3.common.policies import ActorCriticPolicy

from sim2real import cli
from sim2real.domains import load_domain
from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.normalizer import normalizers
from sim2real.registry import load_task
from sim2real.runs.checkpoint import read_checkpoint
from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS, rewind, same_policy
from sim2real.transfer.find import find_method
from sim2real.transfer.fitting import fitted
from sim2real.transfer.gaussians import actor_gaussian
from sim2real.transfer.matching import Match, Matching
from sim2real.transfer.method import LearnerMethod
from sim2real.transfer.methods import METHODS
from sim2real.transfer.outcome import outcome
from sim2real.transfer.resume import resume

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "other-spaces.md"
LEGS = {"position": "position[0:11]", "velocity": "velocity[0:12]"}
GROWN = {"position[0:11]": "position", "velocity[0:12]": "velocity"}
BUDGET = 150
Json = dict[str, Any]

TWO_CARTS = '''
from sim2real.envs import cartpole

class Driven(cartpole.Cartpole):
    """A cart-pole that shows less of the cart and more of the motion, with a motor at the pole."""

    model = str(__import__("pathlib").Path(cartpole.__file__).with_suffix(".xml"))
    mirror = None
    units = {"velocity": cartpole.Cartpole.units["velocity"]}

    def edit(self, spec):
        motor = spec.add_actuator(name="twist", target="hinge", ctrllimited=True)
        motor.trntype, motor.ctrlrange, motor.gear[0] = 0, [-2.0, 2.0], 0.1

    def observe(self, world):
        seen = super().observe(world)
        return {"effort": world.actuator_force, **{k: seen[k] for k in ("velocity", "pole")}}
'''


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the task files of the page, and one of a cart-pole."""
    folder = tmp_path_factory.mktemp("tasks")
    for code in re.findall(r"```python\n(# \w+\.py\n.*?)```", PAGE.read_text(), re.DOTALL):
        (folder / code.splitlines()[0].removeprefix("# ")).write_text(code)
    (folder / "driven.py").write_text(TWO_CARTS)
    return folder


@pytest.fixture(scope="module")
def source(
    short_cartpole: None, tasks: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """A tiny pretrained run of a task, with statistics and weights of its own; made once."""
    made: dict[str, Run] = {}
    folder = tmp_path_factory.mktemp("sources")

    def get(task: str, algorithm: str, **options: Any) -> Run:
        key = f"{task}-{algorithm}-{'-'.join(options)}"
        if key not in made:
            made[key] = pretrain(
                str(tasks / task) if task.endswith(".py") else task,
                "nominal",
                algorithm=algorithm,
                steps=160,
                num_envs=WORLDS,
                out=folder / key,
                options={"net_arch": [6, 5], **SOURCE[algorithm], **options},
                progress=False,
            )
        return made[key]

    return get


def fit(run: Run, task: Path | str, **given: Any) -> tuple[Run, Matching]:
    target = load_task(str(task))
    return fitted(run, target, load_domain(target, "nominal"), Match(**given))


def aligned(matching: Matching, source: Run, seen: torch.Tensor) -> torch.Tensor:
    """What the source would see: the mean of what was dropped, and all else as in the target."""
    labels, mean = labels_of(source), dict[str, float]()
    for one in normalizers(source.policy):
        mean |= {labels[at]: float(m) for at, m in zip(one.columns, one.running_mean, strict=True)}
    found = torch.tensor([mean.get(label, mean[newest(label)]) for label in labels])
    found = found.expand(len(seen), -1).clone()
    for index, label in enumerate(matching.labels()):
        if label in labels:
            found[:, labels.index(label)] = seen[:, index]
    return found


def newest(label: str) -> str:
    return re.sub(r"@-\d+", "", label)


def labels_of(run: Run) -> list[str]:
    terms = run.task_info["observation_terms"]
    return [
        f"{term['name']}[{column}]"
        for term in terms
        for column in term["columns"] or range(term["size"])
    ]


def values(policy: Any, seen: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    if isinstance(policy, ActorCriticPolicy):
        return policy.predict_values(seen)
    both = policy.critic(seen, actions), policy.critic_target(seen, actions)
    return torch.cat([value for critic in both for value in critic], dim=1)


def require_equal_outputs(run: Run, moved: Run, matching: Matching) -> None:
    """Actors and critics agree on what both have; a new action has mean 0 and the mean noise."""
    rng = torch.Generator().manual_seed(0)
    sizes = [side.policy.action_space.shape[0] for side in (run, moved)]
    seen = torch.randn(16, moved.policy.observation_space.shape[0], generator=rng) * 0.3
    actions = torch.rand(16, sizes[1], generator=rng) * 2 - 1
    own = torch.zeros(16, sizes[0])
    names = list(matching.source.actuators)
    shared = [
        (at, names.index(other))
        for at, name in enumerate(matching.target.actuators)
        if (other := matching.actions.get(name))
    ]
    for at, other in shared:
        own[:, other] = actions[:, at]
    with torch.no_grad():
        there = aligned(matching, run, seen)
        old, new = actor_gaussian(run.policy, there), actor_gaussian(moved.policy, seen)
        left, right = values(run.policy, there, own), values(moved.policy, seen, actions)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(right, left, **close)
    for at, other in shared:
        torch.testing.assert_close(new.mean[:, at], old.mean[:, other], **close)
    fresh = [at for at in range(sizes[1]) if at not in {at for at, _ in shared}]
    assert not new.mean[:, fresh].any()
    if old.log_std is not None and new.log_std is not None:
        noise = old.log_std.expand(16, -1), new.log_std.expand(16, -1)
        for at, other in shared:
            torch.testing.assert_close(noise[1][:, at], noise[0][:, other], **close)
        for at in fresh:
            torch.testing.assert_close(noise[1][:, at], noise[0].mean(dim=1), **close)
    assert len(shared) == min(sizes)
    assert left.std() > 0


MEMORY = {"history": 3}
CASES: list[tuple[str, str, Json, Json]] = [
    ("hopper", "hopper_sensors.py", {}, {}),
    ("ant", "three_legs.py", LEGS, {}),
    ("three_legs.py", "ant", GROWN, {}),
    ("quadruped", "with_height.py", {}, {}),
    ("with_height.py", "quadruped", {}, {"privileged": True}),
    ("cartpole", "driven.py", {}, {}),
    ("cartpole", "driven.py", {}, {"privileged": True}),
    ("cartpole", "driven.py", {}, {"privileged_actor": True, "context_encoder": [4]}),
    ("cartpole", "driven.py", {}, MEMORY),
    ("cartpole", "driven.py", {}, {**MEMORY, "encoder": "conv", "encoding": 4}),
]
"""Source and target task, mapping, options of the source's recipe."""


@pytest.mark.parametrize(
    ("before", "after", "observations", "options", "algorithm"),
    [
        pytest.param(*case, algorithm, id="-".join((*case[:2], *case[3], algorithm)))
        for case in CASES
        for algorithm in ALGORITHMS
        if case[0] == "cartpole" or algorithm != "td3"  # its tensors are those of SAC
    ],
)
def test_outputs_are_equal_on_what_both_have(
    source: Callable[..., Run],
    tasks: Path,
    before: str,
    after: str,
    observations: Json,
    options: Json,
    algorithm: str,
) -> None:
    run = source(before, algorithm, **options)
    target = tasks / after if after.endswith(".py") else after
    moved, matching = fit(run, target, observations=observations)
    require_equal_outputs(run, moved, matching)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("method", "options"),
    [("residual", {"lateral": True, "net_arch": [6, 5]}), ("adapter", {"rank": 2})],
)
def test_what_a_method_added_comes_along(
    source: Callable[..., Run],
    tasks: Path,
    tmp_path: Path,
    method: str,
    options: Json,
    algorithm: str,
) -> None:
    given = {"recipe": TARGET[algorithm], "num_envs": WORLDS, **options}
    out = {"budget": BUDGET, "out": tmp_path / "run", "options": given, "progress": False}
    run = transfer(source("cartpole", algorithm), "nominal", method=method, **out)  # type: ignore[arg-type]
    require_equal_outputs(run, *fit(run, tasks / "driven.py"))


def test_new_inputs_have_statistics_of_their_own(source: Callable[..., Run], tasks: Path) -> None:
    moved, matching = fit(source("cartpole", "sac"), tasks / "driven.py")
    is_new = torch.tensor([label.startswith("new") for label in matching.labels()])
    assert is_new.tolist() == [True, True, False, False, False, False]
    for one in normalizers(moved.policy):
        known = one.count[~is_new]
        assert known.min() > 0
        assert not one.count[is_new].any()
        assert (one.running_mean[is_new] == 0).all()
        assert (one.running_var[is_new] == 1).all()
        seen = torch.randn(50, 6, dtype=torch.float64) * 100 + 1000
        one.update(seen)
        torch.testing.assert_close(one.running_mean[is_new], seen.mean(dim=0)[is_new])
        torch.testing.assert_close(one.running_var[is_new], seen.var(dim=0, correction=0)[is_new])
        assert torch.equal(one.count[~is_new], known + 50)


def move(run: Run, tasks: Path, method: str, out: Path, **options: Any) -> Run:
    given = {"recipe": TARGET[run.config.algorithm], "match": "by_name", **options}
    return transfer(
        run,
        "nominal",
        task=str(tasks / "driven.py"),
        method=method,
        budget=BUDGET,
        num_envs=WORLDS,
        out=out,
        options=given,
        checkpoint_every=40,
        curve=2,
        curve_episodes=2,
        progress=False,
    )


OPTIONS: dict[str, Json] = {
    "distill": {"student": [4], "rollout": 8, "updates": 3},
    "freeze": {"frozen": ["*.2.*"]},
    "adapter": {"rank": 2},
    "retrain": {"verification": 0.0},
}
ANEW = ("scratch", "distill", "features")
KINDS = {name: find_method(name) for name in METHODS}
LEARNERS = [
    name
    for name, kind in KINDS.items()
    if kind.fits_other_tasks and issubclass(kind, LearnerMethod)
]


@pytest.mark.parametrize(
    ("method", "algorithm"),
    [
        slow_unless(algorithm == "ppo" or method == "fine_tune", method, algorithm)
        for method in LEARNERS
        for algorithm in ALGORITHMS
    ],
)
def test_every_method_learns_in_another_task(
    source: Callable[..., Run], tasks: Path, tmp_path: Path, method: str, algorithm: str
) -> None:
    run = source("cartpole", algorithm)
    moved = move(run, tasks, method, tmp_path / "moved", **OPTIONS.get(method, {}))
    assert moved.step == 148
    first, last = (load_run(moved.path, step=step).policy for step in (0, None))
    assert first.action_space.shape == (2,)
    seen = torch.randn(16, 6)
    expected, _ = fit(run, tasks / "driven.py")
    actions = [one.predict(seen.numpy(), deterministic=True)[0] for one in (first, expected.policy)]
    assert np.array_equal(*actions) == (method not in ANEW)
    weight = {name: one for name, one in named_tensors(last).items() if name.endswith("0.weight")}
    assert any(one[:, :1].any() for one in weight.values() if one.shape[1] in (6, 8))
    manifest = json.loads((moved.path / "report" / "manifest.json").read_text())
    assert manifest["matching"] == {
        "matched": {
            "observations": {one: one for one in labels_of(run)[1:]},
            "actions": {"drive": "drive"},
        },
        "new": {"observations": ["effort[0]", "effort[1]"], "actions": ["twist"]},
        "dropped": {"observations": ["cart[0]"], "actions": []},
    }
    found = outcome(moved, episodes=2)
    assert found["gap_closed"] is None
    assert np.isfinite(found["zero_shot"]["value"])


def test_a_method_with_a_loop_of_its_own(
    source: Callable[..., Run], tasks: Path, tmp_path: Path
) -> None:
    run = source("cartpole", "ppo")
    options = {"verification": 0.3}
    moved = move(run, tasks, "fine_tune", tmp_path / "verified", **options)
    estimated = move(run, tasks, "statistics", tmp_path / "estimated")
    for one in (moved, estimated):
        assert one.policy.observation_space.shape == (6,)
        assert outcome(one, episodes=2)["source"] is None


@pytest.mark.parametrize("method", ["fine_tune", "distill"])
def test_it_is_resumed_and_moved_on(
    source: Callable[..., Run], tasks: Path, tmp_path: Path, method: str
) -> None:
    options = OPTIONS.get(method, {})
    moved = move(source("cartpole", "ppo"), tasks, method, tmp_path / "moved", **options)
    shutil.copytree(moved.path, tmp_path / "killed")
    rewind(tmp_path / "killed")
    assert same_policy(resume(tmp_path / "killed", progress=False), moved)
    again = transfer(
        moved,
        "nominal",
        method="fine_tune",
        budget=64,
        out=tmp_path / "on",
        options={"recipe": {"n_steps": 4, "batch_size": 16}, "num_envs": 4},
        progress=False,
    )
    first, before = read_checkpoint(again.path, 0).policy, moved.checkpoint.policy
    counts = [name for name in first if name.endswith("count")]
    assert all(torch.equal(first[name], before[name]) for name in counts)
    assert {first[name].shape for name in counts} == {(6,)}
    back = transfer(
        moved,
        "nominal",
        task="cartpole",
        method="fine_tune",
        budget=64,
        out=tmp_path / "back",
        options={"match": "by_name", "recipe": {"n_steps": 4, "batch_size": 16}, "num_envs": 4},
        progress=False,
    )
    assert back.policy.observation_space.shape == (5,)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (
            "fine_tune",
            {"match": None},
            "cart is .* in the source, absent in .*option match=by_name",
        ),
        ("distill", {"match": None, **OPTIONS["distill"]}, "cart is .* absent in the target"),
        ("identify", {"recipe": {}}, "method 'identify' needs a source of the target's task"),
        ("mixed_replay", {"recipe": {}}, "method 'mixed_replay' needs a source of the target's"),
        ("freeze", {}, "nothing would be frozen; allowed: `frozen` with tensors that are copied"),
        ("freeze", {"frozen": ["statistics"]}, "cannot be frozen: it is adapted, not the source's"),
        ("fine_tune", {"match": {"actions": {"drive": None}}}, "no action of the target is one"),
        (
            "fine_tune",
            {"match": "by_sight"},
            "match: must be by_name, or observations and actions, got 'by_sight'",
        ),
    ],
)
def test_what_is_not_possible_is_refused_before_a_step(
    source: Callable[..., Run],
    tasks: Path,
    tmp_path: Path,
    method: str,
    options: Json,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a step was made")

    run = source("cartpole", "sac" if method == "mixed_replay" else "ppo")
    monkeypatch.setattr(SimVecEnv, "step_wait", refuse)
    with pytest.raises(UserError, match=message) as caught:
        move(run, tasks, method, tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_options_of_no_task_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    line = "transfer pretrained:hopper --domain nominal --target-task-options a=1"
    assert cli.main(line.split()) == 2
    assert "--target-task-options needs --target-task" in capsys.readouterr().err


COMMANDS = re.findall(r"^sim2real .*", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", [slow_unless("hopper" in line, line) for line in COMMANDS])
def test_the_commands_of_the_page(
    line: str,
    tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tasks)
    quick = functools.partial(outcome, episodes=1)
    monkeypatch.setattr("sim2real.transfer.outcome.outcome", quick)
    arguments = shlex.split(line.replace("--budget 50000", "--budget 1024"))[1:]
    assert cli.main([*arguments, "--out", str(tmp_path / "run")]) == 0
    assert re.search("New observations|Dropped observations", capsys.readouterr().err)
