"""What a user can get wrong ends in one clear line, exit code 2, and nothing lost."""

from __future__ import annotations

import base64
import json
import os
import pickle
import resource
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sim2real import cli

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--num-envs", "4", "--set", "n_steps=16", "batch_size=64", "n_epochs=1"]
Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a command that must be refused; return its one line of error."""

    def run(*words: object) -> str:
        capsys.readouterr()
        assert cli.main([str(word) for word in words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
        assert captured.err.splitlines()[-1:] == errors, captured.err
        return errors[0]

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bad_input") / "run"
    words = ["pretrain", "cartpole", "--steps", "256", "--out", str(path)]
    assert cli.main([*words, "--checkpoint-every", "64", *SMALL]) == 0
    return path


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["hoper"], "unknown task 'hoper'; did you mean 'hopper'? allowed: "),
        (["hopper", "--domain", "randomised"], "did you mean 'randomized'? allowed: "),
        (["hopper", "--algorithm", "pppo"], "unknown algorithm 'pppo'; did you mean 'ppo'?"),
        (["hopper", "--set", "learning_rat=1"], "did you mean 'learning_rate'?"),
        (["hopper", "--set", "learning_rate=-1"], "learning_rate"),
        (["hopper", "--set", "learning_rate=.nan"], "learning_rate"),
        (["hopper", "--set", "learning_rate"], "expected NAME=VALUE, got 'learning_rate'"),
        (["hopper", "--steps", "0"], "steps"),
        (["hopper", "--num-envs", "0"], "num_envs"),
        (["hopper", "--seed", "-1"], "seed"),
        (["cartpole", "--task-options", "rough=true"], "rough"),
        (["missing.py"], "missing.py does not exist"),
        (["hopper", "--domain", "missing.yaml:windy"], "missing.yaml does not exist"),
        (["sim2real.envs.hopper:Hoper"], "did you mean 'Hopper'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_names_and_numbers(
    words: list[str], message: str, refused: Refused, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert message in refused("pretrain", *words, "--out", out)
    assert list(tmp_path.iterdir()) == []


DYNAMICS = "windy:\n  dynamics:\n    - {}\n"


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("{field: body_mas, scale: 2}", "unknown field 'body_mas'; did you mean 'body_mass'?"),
        ("{field: body_mass, of: torzo, scale: 2}", "'torzo'; did you mean 'torso'?"),
        ("{field: body_mass, scale: {uniform: [2, 1]}}", "[2"),
        ("{field: body_mass, scale: .nan}", "nan"),
        ("{field: body_mass, scale: {uniform: [.nan, 1]}}", "nan"),
        ("{field: body_mass, scale: {unifrom: [1, 2]}}", "uniform"),
        ("{field: body_mass, scale: -1}", "-1"),
        ("{field: body_mass, scale: {normal: [1, 0.1]}}", "truncated_normal"),
        ("{field: body_mass, scale: 2, add: 1}", "exactly one of scale, add, set"),
        ("{field: body_mass, scale: 2, shard: on}", "unknown key 'shard'; did you mean 'shared'?"),
        ("{field: geom_friction, component: slidding, scale: 2}", "did you mean 'sliding'?"),
        ("{field: body_mass", "is not valid YAML"),
    ],
)
def test_domains(parameter: str, message: str, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(DYNAMICS.format(parameter))
    error = refused(
        "pretrain", "hopper", "--domain", f"{tmp_path}/my.yaml:windy", "--out", tmp_path / "run"
    )
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_domain_of_another_task(run: Path, refused: Refused) -> None:
    before = contents(run)
    error = refused("evaluate", run, "--domains", f"{ROOT}/envs/hopper.yaml:heavy-slippery")
    assert "unknown geom 'floor'; allowed: rail, cart, pole" in error
    error = refused("transfer", run, "--domain", f"{ROOT}/envs/hopper.yaml:hard", "--budget", 64)
    assert "torso" in error
    assert contents(run) == before


def test_method(run: Path, refused: Refused, tmp_path: Path) -> None:
    words = ["transfer", run, "--domain", "hard", "--out", tmp_path / "moved"]
    error = refused(*words, "--method", "fine_tun")
    assert "unknown method 'fine_tun'; did you mean 'fine_tune'?" in error
    assert "warmup" in refused(*words, "--method", "fine_tune", "--set", "warmup=-1")
    assert list(tmp_path.iterdir()) == []


def test_target_of_a_pretraining(refused: Refused, tmp_path: Path) -> None:
    """A target is checked before the training, and refused where no picture would show it."""
    (tmp_path / "my.yaml").write_text("odd:\n  dynamics: [{field: body_mass, of: torzo, scale: 2}]")
    words = ["pretrain", "cartpole", "--steps", 64, "--out", tmp_path / "run", *SMALL]
    assert "'torzo'" in refused(*words, "--target", f"{tmp_path}/my.yaml:odd")
    assert "did you mean 'hard'?" in refused(*words, "--target", "hart")
    error = refused(*words, "--target", "hard", "--pictures-every", "0")
    assert "with pictures_every=0 there are none" in error
    teacher = ["--target", "hard", "--set", "privileged=true", "privileged_actor=true"]
    assert "drop the target" in refused(*words[:6], *teacher)
    assert [path.name for path in tmp_path.iterdir()] == ["my.yaml"]


def test_student(run: Path, refused: Refused, tmp_path: Path) -> None:
    words = ["distill", run, "--budget", 64, "--out", tmp_path / "student", "--student"]
    assert refused(*words, "tiny").endswith(
        "student: must be 'small', 'same' or 'rma', or layers are sizes such as 64x64; got 'tiny'"
    )
    assert "student" in refused(*words, "0x0")


def test_a_memory_that_no_machine_has(run: Path, refused: Refused, tmp_path: Path) -> None:
    words = ["distill", run, "--budget", 64, "--out", tmp_path / "student", "--num-envs", "4"]
    error = refused(*words, "--set", "memory=1000000000000")
    assert "the memory of the method 'distill' is too large: Unable to allocate" in error
    error = refused(*words, "--set", "batch_size=1000000000", "updates=1000000000")
    assert "updates: must be at most 100000, got 1000000000; batch_size: must be" in error
    assert list(tmp_path.iterdir()) == []


def test_domain_of_a_task_without_a_file(refused: Refused, tmp_path: Path) -> None:
    for name in ("slider.py", "slider.xml"):
        shutil.copyfile(ROOT / "tests" / "robots" / name, tmp_path / name)
    task, out = tmp_path / "slider.py", tmp_path / "run"
    error = refused("pretrain", task, "--domain", "randomized", "--steps", 64, "--out", out)
    assert "unknown domain of task 'slider' 'randomized'" in error
    assert error.endswith(f"{tmp_path / 'slider.yaml'} does not exist")
    assert not out.exists()


def test_run_folder_that_exists(run: Path, refused: Refused) -> None:
    before = contents(run)
    error = refused("pretrain", "cartpole", "--steps", 64, "--out", run, *SMALL)
    assert f"{run} exists already" in error
    error = refused("transfer", run, "--domain", "hard", "--budget", 64, "--out", run)
    assert f"{run} exists already" in error
    assert contents(run) == before


def test_checkpoint_of_other_spaces(run: Path, refused: Refused) -> None:
    assert "(5,)" in refused("evaluate", run, "--task", "hopper")


def test_folder_that_is_no_run(tmp_path: Path, refused: Refused) -> None:
    for verb in ("evaluate", "resume"):
        assert "no config.yaml" in refused(verb, tmp_path)
        assert "missing does not exist" in refused(verb, tmp_path / "missing")


@pytest.mark.parametrize("typed", ["hopper", "hoper"])
def test_a_shipped_policy_without_its_prefix(
    typed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.chdir(tmp_path)
    told = f"{typed} does not exist; did you mean 'pretrained:hopper'?"
    assert refused("evaluate", typed).endswith(told)


def test_truncated_checkpoints(
    run: Path, tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest that is whole is used; when none is, that is told."""
    damaged = tmp_path / "run"
    shutil.copytree(run, damaged)
    *_, before, last = sorted((damaged / "checkpoints").iterdir())
    weights = last / "policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.warns(UserWarning, match=last.name):
        assert cli.main(["evaluate", str(damaged), "--episodes", "1"]) == 0
    from sim2real.runs.load import load_run

    with pytest.warns(UserWarning, match=last.name):
        assert load_run(damaged).step == int(before.name)
    for checkpoint in (damaged / "checkpoints").iterdir():
        (checkpoint / "policy.safetensors").write_bytes(b"")
    assert "checkpoint" in refused("evaluate", damaged)


class Malicious:
    """Unpickling it makes a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.proof),))


def test_code_in_a_foreign_zip_does_not_run(
    tmp_path: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    from stable_baselines3 import PPO

    from sim2real.simulation.front_ends.vec_env import make_vec_env

    proof = tmp_path / "executed"
    env = make_vec_env("cartpole", num_envs=2)
    PPO("MlpPolicy", env, n_steps=8, batch_size=16).save(tmp_path / "good.zip")
    code = base64.b64encode(pickle.dumps(Malicious(proof))).decode()
    with (
        zipfile.ZipFile(tmp_path / "good.zip") as good,
        zipfile.ZipFile(tmp_path / "bad.zip", "w") as bad,
    ):
        for name in good.namelist():
            data = good.read(name)
            if name == "data":
                entry = {":type:": "<class 'dict'>", ":serialized:": code}
                data = json.dumps({**json.loads(data), "policy_kwargs": entry}).encode()
            bad.writestr(name, data)
    words = ["evaluate", str(tmp_path / "bad.zip"), "--task", "cartpole", "--episodes", "1"]
    assert cli.main(words) == 0  # the weights are fine, and only they are read
    assert not proof.exists()
    with zipfile.ZipFile(tmp_path / "worse.zip", "w") as worse:
        worse.writestr("data", "{}")
        worse.writestr("policy.pth", pickle.dumps(Malicious(proof), protocol=2))
    error = refused("evaluate", tmp_path / "worse.zip", "--task", "cartpole")
    assert "worse.zip" in error
    assert not proof.exists()
    with pytest.raises(
        TypeError, match="NoneType"
    ):  # SB3's own way runs it: the test is a real one
        PPO.load(tmp_path / "bad.zip")
    assert proof.exists()


def test_foreign_zip_that_does_not_fit(tmp_path: Path, refused: Refused) -> None:
    from stable_baselines3 import PPO

    from sim2real.simulation.front_ends.vec_env import make_vec_env

    env = make_vec_env("cartpole", num_envs=2)
    PPO("MlpPolicy", env, n_steps=8, batch_size=16).save(tmp_path / "theirs.zip")
    error = refused("evaluate", tmp_path / "theirs.zip", "--task", "hopper")
    assert "5 observations and 1 actions, needed are 11 and 3" in error
    (tmp_path / "theirs.zip").write_bytes((tmp_path / "theirs.zip").read_bytes()[:500])
    assert "theirs.zip" in refused("evaluate", tmp_path / "theirs.zip", "--task", "cartpole")


def test_full_disk(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No file may grow past what a checkpoint needs: as on a full disk, the save fails."""
    limit = 20_000  # bytes
    assert max(map(len, contents(run / "checkpoints").values())) > limit
    words = ["pretrain", "cartpole", "--steps", "256", "--out", str(tmp_path / "run"), *SMALL]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        code = cli.main(words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    told = capsys.readouterr().err
    assert code in (1, 2), told
    assert told.splitlines()[-1].startswith("error: "), told
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
