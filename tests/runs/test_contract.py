"""What a run says of itself is held against its tensors and against the task as it is now."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real import cli
from sim2real.errors import ChangedError, UserError
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.evaluation.view import view
from sim2real.evaluation.wrappers import GapCallback
from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.registry import load_task
from sim2real.runs.contract import read_task_info
from sim2real.runs.load import load_run
from sim2real.runs.pretrained import find_run, pretrained_names
from sim2real.runs.publish import publish
from sim2real.runs.seal import seal
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.transfer.api import distill, transfer
from sim2real.transfer.outcome import outcome
from sim2real.transfer.resume import resume
from tests.mutations.cases import sign

OPTIONS = {"n_steps": 16, "batch_size": 64, "n_epochs": 1, "net_arch": [6]}
SMALL: dict[str, Any] = {"num_envs": 4, "progress": False}
ROBOT = """
import numpy as np
from sim2real.task import Task

class Robot(Task):
    control_dt, episode_s = 0.02, 0.2
    model = "robot.xml"
    units = {"hinge": "rad"}

    def observe(self, world):
        return {"slider": world.qpos[:, :1], "hinge": world.qpos[:, 1:], "velocity": world.qvel}

    def reward(self, world, action):
        return {"upright": np.cos(world.qpos[:, 1])}
"""
VERBS = {
    "evaluate": "evaluate {run} --domains nominal --episodes 1",
    "view": "view {run} --out {out}/film.gif --seconds 0.1 --size 32 32",
    "publish": "publish {run} --out {out}/published --domains nominal --episodes 1",
    "transfer": "transfer {run} --domain nominal --method fine_tune --budget 64 --num-envs 4 "
    "--out {out}/moved",
    "distill": "distill {run} --domain nominal --budget 64 --num-envs 4 --out {out}/student",
    "resume": "resume {run}",
}
CHANGES = {
    "order": ('"slider": world.qpos[:, :1], "hinge": world.qpos[:, 1:]',
              '"hinge": world.qpos[:, 1:], "slider": world.qpos[:, :1]',
              "observation order is slider hinge velocity in the run, hinge slider velocity now"),
    "size": ("world.qvel}", "world.qvel[:, :1]}", "observation velocity is (2,) in the run"),
    "unit": ('"rad"', '"deg"', "observation hinge is (1,) rad in the run, (1,) deg now"),
    "rate": ("0.02, 0.2", "0.04, 0.2", "control step is 0.02 s in the run, 0.04 s now"),
    "range": ("units =", "action_limits = (0.0, 1.0)\n    units =", "in [-1, 1] in the run, 1 in"),
    "commanded": ("units =", "commanded = ('hinge',)\n    units =",
                  "commanded observations is none in the run, hinge now"),
}  # fmt: skip


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    model = Path(__file__).parents[2] / "envs" / "cartpole.xml"
    shutil.copyfile(model, tmp_path / "robot.xml")
    (tmp_path / "robot.py").write_text(ROBOT)
    return tmp_path / "robot.py"


@pytest.fixture
def run(robot: Path, tmp_path: Path) -> Path:
    pretrain(str(robot), "nominal", steps=64, options=OPTIONS, out=tmp_path / "run", **SMALL)
    return tmp_path / "run"


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Run a command that must be refused; return its error and what was printed before."""
    capsys.readouterr()
    assert cli.main(words.split()) == 2
    *before, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    return error, "\n".join(before)


@pytest.mark.parametrize("change", CHANGES)
def test_a_task_that_means_something_else_is_refused(
    change: str, robot: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = CHANGES[change]
    assert old in ROBOT
    robot.write_text(ROBOT.replace(old, new))
    words = f"evaluate {run} --domains nominal --episodes 1 --task {robot}"
    error, table = refused(words, capsys)
    assert message in error
    assert "in the run" in table
    assert "now" in table
    if change != "size":
        assert cli.main(f"{words} --accept-changes".split()) == 0


@pytest.mark.parametrize("change", CHANGES)
def test_a_policy_alone_carries_its_contract(
    change: str, robot: Path, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = load_run(run).policy
    old, new, message = CHANGES[change]
    robot.write_text(ROBOT.replace(old, new))
    now, once = load_task(str(robot)), {"episodes": 1}
    calls: list[Callable[[], Any]] = [
        lambda: evaluate(policy, now, "nominal", **once),
        lambda: evaluate(load_run(run).algorithm, now, "nominal", **once),
        lambda: view(policy, now, "nominal", seconds=0.1, out="film.gif"),
    ]
    for call in calls:
        with pytest.raises(UserError, match=re.escape(message)):
            call()
        assert "in the run" in capsys.readouterr().err
    if change != "size":
        assert len(evaluate(policy, now, "nominal", **once, accept_changes=True)) == 1
        accepted = load_run(run, accept_changes=True).policy
        assert len(evaluate(accepted, now, "nominal", **once)) == 1


def test_the_gap_of_a_policy_of_another_contract_is_refused(robot: Path, run: Path) -> None:
    old, new, message = CHANGES["order"]
    algorithm = load_run(run).algorithm
    robot.write_text(ROBOT.replace(old, new))
    now = load_task(str(robot))
    for accept in (False, True):
        algorithm.set_env(make_vec_env(now, num_envs=algorithm.n_envs or 4), force_reset=True)
        gap = GapCallback(now, "nominal", "nominal", 64, episodes=3, accept_changes=accept)
        refuses = contextlib.nullcontext() if accept else pytest.raises(UserError, match=message)
        with refuses:
            algorithm.learn(64, callback=gap)
        assert bool(gap.points) is accept


@pytest.mark.parametrize("move", [transfer, distill], ids=["transfer", "distill"])
def test_python_shows_the_table_too(
    move: Any, robot: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, _ = CHANGES["order"]
    robot.write_text(ROBOT.replace(old, new))
    asked: dict[str, Any] = {"task": str(robot), "budget": 64, "out": tmp_path / "m", **SMALL}
    with pytest.raises(ChangedError, match=r"observation order is .*accept_changes=True"):
        move(run, "nominal", **asked)
    table = capsys.readouterr().err
    assert re.search(r"observation order +│ slider hinge velocity +│ hinge slider vel", table)
    with pytest.warns(UserWarning, match="the code of the task changed"):
        assert move(run, "nominal", accept_changes=True, **asked).step == 64


@pytest.mark.parametrize("method", ["fine_tune", "distill"])
@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.filterwarnings("ignore:.*the code of the task changed")
def test_an_accepted_change_is_remembered_when_it_is_resumed(
    method: str, loaded: bool, robot: Path, run: Path, tmp_path: Path
) -> None:
    """Accepted in the call or when the source was loaded; the weights are those of one go."""
    old, new, _ = CHANGES["order"]
    robot.write_text(ROBOT.replace(old, new))
    source = load_run(run, accept_changes=True) if loaded else run
    asked: Any = {"task": str(robot), "budget": 256, "checkpoint_every": 128, "method": method}
    asked["out"] = tmp_path / "m"
    whole = transfer(source, "nominal", accept_changes=not loaded, **asked, **SMALL)
    weights = (whole.checkpoint.path / "policy.safetensors").read_bytes()
    shutil.rmtree(whole.checkpoint.path)
    assert load_run(tmp_path / "m").step < whole.step
    resumed = resume(tmp_path / "m", progress=False)
    assert resumed.step == whole.step
    assert (resumed.checkpoint.path / "policy.safetensors").read_bytes() == weights
    assert outcome(resumed, episodes=2)["episodes"] == 2


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_compares(
    verb: str, robot: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, _ = CHANGES["order"]
    robot.write_text(ROBOT.replace(old, new))
    words = VERBS[verb].format(run=run, out=tmp_path)
    error, _ = refused(f"{words} --task {robot}", capsys)
    assert "observation order" in error
    assert not (tmp_path / "moved").exists()


def test_a_changed_hash_alone_is_reported(robot: Path, run: Path) -> None:
    robot.write_text(ROBOT + "# a remark\n")
    with pytest.warns(UserWarning, match="the code of the task changed since the run was made"):
        assert load_run(run, task=str(robot)).task.name == "robot"
    robot.write_text(ROBOT)
    model = robot.with_suffix(".xml")
    model.write_text(model.read_text().replace('damping="0.1"', 'damping="0.2"', 1))
    with pytest.warns(UserWarning, match="the model of the task changed since the run was made"):
        assert load_run(run, task=str(robot)).task.name == "robot"


def test_it_compares_the_same_task_without_a_word(robot: Path, run: Path, tmp_path: Path) -> None:
    assert load_run(run).task.name == "robot"
    assert load_run(run, task=str(robot)).task.name == "robot"
    assert resume(run, progress=False).step == 64


@pytest.fixture(scope="module")
def cartpole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("contract") / "run"
    pretrain("cartpole", "nominal", steps=64, options=OPTIONS, out=path, **SMALL)
    return path


@pytest.fixture
def edited(cartpole: Path, tmp_path: Path) -> Callable[[str, str, str], Path]:
    """A copy of the run with one text of a file replaced."""

    def edit(name: str, old: str, new: str) -> Path:
        path = tmp_path / f"edited-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(cartpole, path)
        text = (path / name).read_text()
        assert old in text
        (path / name).write_text(text.replace(old, new, 1))
        return path

    return edit


@pytest.mark.parametrize(
    ("name", "old", "new", "match"),
    [
        ("config.yaml", "activation: tanh", "activation: relu", "acts otherwise than when it was"),
        ("config.yaml", "net_arch:\n  - 6", "net_arch:\n  - 60000", "of another network"),
        ("config.yaml", "n_steps: 16", "n_steps: 10000000000000", "recipe is too large"),
    ],
)
def test_edits_that_change_what_the_policy_does_are_refused(
    name: str, old: str, new: str, match: str, edited: Callable[[str, str, str], Path]
) -> None:
    path = edited(name, old, new)
    with pytest.warns(UserWarning, match=f"edited since it was made: {name}"):
        run = load_run(path)
    with pytest.raises(UserError, match=match) as caught:
        evaluate(run.policy, run.task, "nominal", episodes=1)
    assert "\n" not in str(caught.value)
    with pytest.warns(UserWarning, match="edited"), pytest.raises(UserError, match=match):
        resume(path, progress=False)


@pytest.mark.parametrize("name", pretrained_names())
def test_an_edited_copy_of_a_shipped_policy_is_refused(name: str, tmp_path: Path) -> None:
    """Without stored answers hopper with relu gives 94 in place of 3,352, without a word."""
    path = tmp_path / "copy"
    shutil.copytree(find_run(f"pretrained:{name}"), path)
    assert load_run(path).policy is not None
    config = (path / "config.yaml").read_text()
    other = "elu" if "activation: tanh" in config else "tanh"
    (path / "config.yaml").write_text(re.sub(r"activation: \w+", f"activation: {other}", config))
    with pytest.warns(UserWarning, match=r"edited since it was made: config\.yaml"):
        run = load_run(path)
    with pytest.raises(UserError, match="acts otherwise than when it was saved"):
        _ = run.policy


def test_an_accepted_change_is_published_with_its_own_answers(
    edited: Callable[[str, str, str], Path], tmp_path: Path
) -> None:
    path = edited("config.yaml", "activation: tanh", "activation: relu")
    with pytest.warns(UserWarning, match="edited"):
        run = load_run(path, accept_changes=True)
    copy = load_run(publish(run, tmp_path / "out", domains=["nominal"], episodes=1))
    seen = np.random.default_rng(0).normal(size=(9, 5))
    expected, _ = run.policy.predict(seen, deterministic=True)
    np.testing.assert_allclose(copy.policy.predict(seen, deterministic=True)[0], expected)


@pytest.mark.parametrize(
    ("part", "match"),
    [
        ("action_space", r"task\.json is damaged: .*a policy acts in \[-1, 1\]"),
        ("action_map", r"action space is 1 in \[-1, 0\] in the run, 1 in \[-1, 1\] now"),
    ],
)
def test_an_edited_action_bound_is_refused(
    part: str, match: str, cartpole: Path, tmp_path: Path
) -> None:
    shutil.copytree(cartpole, tmp_path / "run")
    info = read_json(cartpole / "task.json")
    info[part]["high"] = [0.0]
    (tmp_path / "run" / "task.json").write_text(json.dumps(info))
    seal(tmp_path / "run")
    with pytest.raises(UserError, match=match):
        _ = load_run(tmp_path / "run").task


def test_an_edited_bound_of_an_old_run_is_refused(cartpole: Path, tmp_path: Path) -> None:
    """A run of before there were maps, whose policy acts in the range that task.json says."""
    shutil.copytree(cartpole, tmp_path / "run")
    info = read_json(cartpole / "task.json")
    del info["action_map"]
    info["action_space"]["high"] = [0.0]
    (tmp_path / "run" / "task.json").write_text(json.dumps(info))
    seal(tmp_path / "run")
    with pytest.raises(UserError, match="acts otherwise than when it was saved"):
        _ = load_run(tmp_path / "run").policy
    with pytest.raises(UserError, match=r"1 in \[-1, 0\] in the run, 1 in \[-1, 1\] now"):
        _ = load_run(tmp_path / "run").task


LIFT = Path(__file__).parents[1] / "robots" / "lift.py"


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_whose_action_range_was_edited_is_refused(
    verb: str, lift: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It acts in [-1, 1], which a map takes to [0, 200]; now it says that it acts in [0, 200]."""
    info = read_json(lift / "task.json")
    info["action_space"] |= info.pop("action_map")
    (lift / "task.json").write_text(json.dumps(info))
    seal(lift)
    words = VERBS[verb].format(run=lift, out=tmp_path)
    error, _ = refused(words, capsys)
    assert "acts otherwise than when it was saved: in [0, 200], not in [-1, 1]" in error
    assert "--accept-changes goes on" in error


def test_an_edited_action_range_of_an_older_run_is_refused(lift: Path) -> None:
    """Its stored answers lie in [-1, 1], some below 0; their range was not noted."""
    info = read_json(lift / "task.json")
    info["action_space"] |= info.pop("action_map")
    (lift / "task.json").write_text(json.dumps(info))
    seal(lift)
    (*_, checkpoint) = sorted((lift / "checkpoints").iterdir())
    state = read_json(checkpoint / "state.json")
    del state["answers"]["low"], state["answers"]["high"]
    assert np.min(state["answers"]["actions"]) < 0
    (checkpoint / "state.json").write_text(json.dumps(state))
    sign(checkpoint, checkpoint / "state.json")
    with pytest.raises(UserError, match="acts otherwise than when it was saved"):
        _ = load_run(lift, trust_code=True).policy


@pytest.fixture
def lift(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    pretrain(str(LIFT), "nominal", steps=64, options=OPTIONS, out=path, **SMALL)
    return path


def test_python_is_given_its_own_option(cartpole: Path, tmp_path: Path) -> None:
    shutil.copytree(cartpole, tmp_path / "run")
    text = (cartpole / "config.yaml").read_text()
    (tmp_path / "run" / "config.yaml").write_text(text.replace("tanh", "relu"))
    seal(tmp_path / "run")
    with pytest.raises(UserError, match="accept_changes=True goes on"):
        _ = load_run(tmp_path / "run").policy


def test_changes_that_are_accepted_are_used(edited: Callable[[str, str, str], Path]) -> None:
    path = edited("config.yaml", "activation: tanh", "activation: relu")
    with pytest.warns(UserWarning, match="edited since it was made: config"):
        policy = load_run(path, accept_changes=True).policy
    assert "ReLU" in str(list(policy.modules()))
    seal(path)
    with pytest.raises(UserError, match="acts otherwise"):
        _ = load_run(path).policy


def test_an_edited_domain_is_reported(edited: Callable[[str, str, str], Path]) -> None:
    path = edited("domains.yaml", "nominal:", "nominal: ")
    with pytest.warns(UserWarning, match=r"edited since it was made: domains\.yaml"):
        load_run(path)


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"name": 1}', '"x"', "{", ""])
def test_a_damaged_contract_is_one_line(text: str, cartpole: Path, tmp_path: Path) -> None:
    shutil.copytree(cartpole, tmp_path / "run")
    (tmp_path / "run" / "task.json").write_text(text)
    with pytest.raises(UserError, match=r"task\.json") as caught:
        load_run(tmp_path / "run")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("control_dt", 0.0),
        ("control_dt", "soon"),
        ("observation_terms", []),
        ("observation_terms", [{"name": "position", "size": 3}]),
        ("observation_terms", [{"name": "position", "size": 2**64}]),
        ("observation_space", {"shape": [10**12], "dtype": "float64"}),
        ("observation_space", {"shape": [], "dtype": "float64"}),
        ("observation_space", {"shape": [5], "dtype": "object"}),
        ("action_space", {"shape": [1], "dtype": "float32", "low": [1.0], "high": [-1.0]}),
        ("action_space", {"shape": [2], "dtype": "float32", "low": [-1.0], "high": [1.0]}),
        ("action_map", {"low": [0.0, 0.0], "high": [1.0, 1.0]}),
        ("colour", "red"),
    ],
)
def test_a_contract_that_does_not_add_up_is_refused(
    key: str, value: Any, cartpole: Path, tmp_path: Path
) -> None:
    info = read_json(cartpole / "task.json")
    (tmp_path / "task.json").write_text(json.dumps({**info, key: value}))
    with pytest.raises(UserError, match=r"task\.json is damaged: ") as caught:
        read_task_info(tmp_path / "task.json")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_every_shipped_policy_and_old_runs_load_without_a_word(
    cartpole: Path, tmp_path: Path
) -> None:
    """What the format of before lacks is neither compared nor reported."""
    shutil.copytree(cartpole, tmp_path / "run")
    (tmp_path / "run" / "manifest.json").unlink()
    info = read_json(cartpole / "task.json")
    old = {key: value for key, value in info.items() if not key.endswith("_sha256")}
    for term in old["observation_terms"]:
        term.pop("commanded", None)
    (tmp_path / "run" / "task.json").write_text(json.dumps(old))
    assert load_run(tmp_path / "run").task.name == "cartpole"
    for name in ("quadruped", "hopper"):
        run = load_run(f"pretrained:{name}")
        assert run.task.name == name
        assert run.policy is not None


def test_what_a_run_keeps_goes_with_a_transfer(cartpole: Path, tmp_path: Path) -> None:
    recipe = {"recipe": {"n_steps": 8, "batch_size": 16}}
    moved = transfer(
        cartpole, "hard", budget=64, options=recipe, out=tmp_path / "m", **SMALL, method="fine_tune"
    )
    source = load_run(moved.path / "source")
    assert source.checkpoint.state["answers"] == load_run(cartpole).checkpoint.state["answers"]
    assert (moved.path / "source" / "manifest.json").is_file()
    rows = evaluate(moved.policy, moved.task, moved.domain, episodes=2)
    assert len(returns(rows)) == 2
