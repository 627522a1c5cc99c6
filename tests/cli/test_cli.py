"""The commands, in process: what they print, write and return."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from sim2real import cli
from sim2real.cli.arguments import GENERAL
from sim2real.cli.command import pairs
from sim2real.evaluation.row_files import load_rows
from sim2real.learning import callbacks
from sim2real.runs.load import load_run

pytestmark = pytest.mark.usefixtures("short_cartpole")
SMALL = ["--num-envs", "4", "--set", "n_steps=16", "batch_size=64", "n_epochs=1"]


def sim2real(*words: object) -> int:
    return cli.main([str(word) for word in words])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    assert sim2real("pretrain", "cartpole", "--steps", 256, "--out", path, *SMALL) == 0
    return path


def test_pretrain_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    words = ["pretrain", "cartpole", "--steps", 128, "--seed", 3, "--out", out, "--json", *SMALL]
    assert sim2real(*words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "report" / "pretrain.json").read_text())
    assert printed | {"run": ""} == {
        "run": "",
        "kind": "pretrain",
        "task": "cartpole",
        "domain": "randomized",
        "algorithm": "ppo",
        "steps": 128,
        "seed": 3,
    }


@pytest.mark.parametrize("verb", ["transfer", "distill"])
def test_transfer_verbs(
    verb: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "moved"
    words = [verb, run, "--domain", "hard", "--budget", 128, "--num-envs", 4, "--out", out]
    assert sim2real(*words, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "report" / f"{verb}.json").read_text())
    assert printed["kind"] == verb
    assert printed["domain"] == "hard"
    assert printed["steps"] <= 128


def test_evaluate_states_each_domain_and_episode(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", run, "--domains", "nominal", "hard", "--episodes", 3]
    assert sim2real(*words) == 0
    table = capsys.readouterr().out
    data = json.loads((run / "report" / "evaluation.json").read_text())
    rows = load_rows(run / "report" / "evaluation.jsonl")
    assert [domain["domain"] for domain in data["domains"]] == ["nominal", "hard"]
    assert [(row.domain, row.episode) for row in rows] == [
        (domain, episode) for domain in ("nominal", "hard") for episode in range(3)
    ]
    for told in data["domains"]:
        own = [row.total for row in rows if row.domain == told["domain"]]
        assert told["mean_return"] == pytest.approx(sum(own) / 3)
        assert told["low"] <= told["mean_return"] <= told["high"]
        assert f"{told['mean_return']:,.2f}" in table
    home, hard = data["domains"]
    gap = home["mean_return"] - hard["mean_return"]
    assert hard["gap_to_first"]["value"] == pytest.approx(gap)
    assert "gap to nominal" in table
    assert f"{gap:,.2f}" in table


def test_evaluate_takes_a_foreign_zip(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from stable_baselines3 import PPO

    from sim2real.simulation.front_ends.vec_env import make_vec_env

    PPO("MlpPolicy", make_vec_env("cartpole", num_envs=2), n_steps=8, batch_size=16).save(
        tmp_path / "theirs.zip"
    )
    words = ["evaluate", tmp_path / "theirs.zip", "--task", "cartpole", "--episodes", 2]
    assert sim2real(*words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["domains"][0]["domain"] == "nominal"
    assert (tmp_path / "theirs-sim2real" / "report" / "evaluation.json").exists()
    assert not (tmp_path / "theirs").exists()
    assert sim2real(*words[:2]) == 2
    assert "add --task NAME" in capsys.readouterr().err


def test_resume_of_a_finished_run_changes_nothing(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted((run / "checkpoints").iterdir())
    assert sim2real("resume", run, "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 256
    assert sorted((run / "checkpoints").iterdir()) == before


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim2real("list", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert {"task": "hopper", "domain": "heavy-slippery"}.items() <= next(
        row for row in data["tasks"] if row["domain"] == "heavy-slippery"
    ).items()
    assert data["algorithms"] == ["ppo", "sac", "td3"]
    assert {"fine_tune", "freeze", "distill"} <= set(data["methods"])
    assert sim2real("list", "cartpole") == 0
    assert "sticky rail" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    assert sim2real("doctor", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["mujoco"] == "4.0.0"
    assert found["hopper_steps_per_second"] > 100
    assert found["cores"] >= 1
    assert sim2real("doctor") == 0
    assert "steps per second" in capsys.readouterr().out


@pytest.mark.parametrize("verb", [[], *([verb] for verb in cli.VERBS)])
def test_help_explains_every_option(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        sim2real(*verb, "--help")
    assert "usage: sim2real" in capsys.readouterr().out


def test_pairs_are_yaml() -> None:
    given = ["rate=3e-4", "net-arch=64x64", "layers=[8, 8]", "kl=null", "on=true", "n=5"]
    expected: dict[str, Any] = {
        "rate": 3e-4,
        "net_arch": "64x64",
        "layers": [8, 8],
        "kl": None,
        "on": True,
        "n": 5,
    }
    assert pairs(given) == expected


def test_ctrl_c_states_how_to_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pressed when the first checkpoint has been written; of a process: learning/test_pretrain."""
    write = callbacks.write_checkpoint

    def written(*given: Any) -> None:
        write(*given)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(callbacks, "write_checkpoint", written)
    out = tmp_path / "run"
    assert sim2real("pretrain", "cartpole", "--steps", 100_000, "--out", out, *SMALL) == 130
    assert f"resume with: sim2real resume {out}" in capsys.readouterr().err
    assert load_run(out).step < 1000


def test_a_task_without_domains_trains_in_nominal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robots = Path(__file__).parents[1] / "robots"
    for name in ("slider.py", "slider.xml"):
        shutil.copyfile(robots / name, tmp_path / name)
    words = ["pretrain", tmp_path / "slider.py", "--steps", 130, "--out", tmp_path / "run", *SMALL]
    assert sim2real(*words) == 0
    told = capsys.readouterr().err
    assert f"domain: nominal, as {tmp_path / 'slider.yaml'} has no domain 'randomized'" in told
    assert "steps: of 130 128 are made, a multiple of the 4 worlds" in told
    assert json.loads((tmp_path / "run" / "report" / "pretrain.json").read_text())["steps"] == 128
    assert sim2real("audit", tmp_path / "slider.py") == 0


def test_a_target_is_shown_at_the_end_of_a_short_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim2real.learning import pictures

    shown = []
    monkeypatch.setattr(
        pictures.Pictures, "_show", lambda self: shown.append([one.name for one in self._domains])
    )
    words = ["pretrain", "cartpole", "--steps", 130, "--target", "hard", "--out", tmp_path / "run"]
    assert sim2real(*words, *SMALL) == 0
    assert shown == [["randomized", "hard"]]


def test_an_evaluation_keeps_the_last_one(run: Path, tmp_path: Path) -> None:
    words = ["evaluate", run, "--domains", "randomized", "--episodes", 20, "--out", tmp_path]
    assert sim2real(*words) == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(before) == {"evaluation.json", "evaluation.jsonl", "sensitivity.png"}
    assert sim2real(*words, "--seed", 1) == 0
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.items() < after.items()
    assert set(after) - set(before) == {
        "evaluation-2.json",
        "evaluation-2.jsonl",
        "sensitivity-2.png",
    }


def test_what_cannot_be_kept_is_shown(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", run, "--episodes", 2, "--out", "/proc/results"]
    assert sim2real(*words) == 0
    told = capsys.readouterr()
    assert "/proc/results cannot be written" in told.err
    assert "nominal" in told.out
    assert "written to" not in told.out
    assert sim2real("publish", run, "--episodes", 1, "--out", "/proc/results/run") == 2
    assert "/proc/results cannot be written" in capsys.readouterr().err
    assert sim2real("view", run, "--seconds", 0.1, "--out", "/proc/results/film.mp4") == 2
    words = ["pretrain", "cartpole", "--steps", 64, *SMALL, "--out", "/proc/results/run"]
    assert sim2real(*words) == 2
    assert "/proc/results cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["evaluate", "RUN"], "interrupted: nothing was written"),
        (["resume", "RUN"], "`sim2real resume RUN` goes on from the last checkpoint"),
    ],
)
def test_ctrl_c_advises_what_helps(
    words: list[str],
    advice: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sim2real.evaluation.rollout.evaluate", interrupt)
    monkeypatch.setattr("sim2real.transfer.resume.resume", interrupt)
    assert sim2real(*[run if word == "RUN" else word for word in words]) == 130
    assert advice in capsys.readouterr().err


def edited(run: Path, tmp_path: Path) -> tuple[list[str], str]:
    """Words that evaluate a run with an edited file, and the line that they give."""
    copy = tmp_path / "edited"
    shutil.copytree(run, copy)
    (copy / "domains.yaml").write_text((copy / "domains.yaml").read_text() + "# a note\n")
    line = f"warning: {copy}: edited since it was made: domains.yaml\n"
    return ["evaluate", str(copy), "--episodes", "1"], line


def test_a_warning_is_one_line_without_the_code_that_gave_it(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # put back at the end
    words, line = edited(run, tmp_path)
    with pytest.warns(UserWarning, match="edited") as given:
        assert sim2real(*words) == 0
    (one,) = given
    assert warnings.formatwarning(one.message, one.category, one.filename, one.lineno) == line
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_process_gives_no_other_warning(run: Path, tmp_path: Path) -> None:
    words, line = edited(run, tmp_path)
    command = [sys.executable, "-m", "sim2real.cli", *words]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stderr == line


def test_resume_says_what_is_not_there_and_what_is_finished(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sim2real("resume", run) == 0
    assert f"{run} was finished before; `--steps MORE` extends it\n" in capsys.readouterr().err
    assert sim2real("resume", tmp_path / "none") == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/none does not exist\n"


def test_resume_says_that_a_run_of_rounded_steps_is_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rounded"
    assert sim2real("pretrain", "cartpole", "--steps", 100, "--out", path) == 0
    assert "of 100 64 are made" in capsys.readouterr().err
    assert sim2real("resume", path) == 0
    assert f"{path} was finished before; `--steps MORE` extends it\n" in capsys.readouterr().err


def test_the_help_lists_every_general_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        sim2real("--help")
    shown = capsys.readouterr().out
    assert all(option in shown for option in GENERAL)


@pytest.mark.parametrize("verb", list(cli.VERBS))
def test_a_misspelt_policy_has_a_suggestion(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every verb that takes a task or a run, by position or by --task."""
    command = cli.VERBS[verb]
    fields = {field.name for field in dataclasses.fields(command)}
    needed = ["--domain", "nominal"] if verb == "transfer" else []
    needed += ["--target", "hard"] if verb == "attribute" else []
    needed += ["--parameter", "dof_damping"] if verb == "sweep" else []
    needed += ["--baseline", "pretrained:ant"] if verb == "decide" else []
    needed += ["--out", tmp_path / "out"] if verb in ("publish", "export", "log record") else []
    of_a_log = ["run.safetensors", "--task"] if verb in ("identify", "log compare") else []
    if fields & {"task", "source", "teacher", "policy", "path", "runs"}:
        assert sim2real(verb, *of_a_log, "pretrained:hoper", *needed) == 2
        loads_a_run = fields & {"source", "teacher", "policy", "policies", "path", "runs"}
        nearest = "'pretrained:hopper'" if loads_a_run else "'hopper'"
        assert f"did you mean {nearest}?" in capsys.readouterr().err
    if "task" in fields and fields & {"source", "teacher", "policy", "path", "runs"}:
        assert sim2real(verb, "pretrained:ant", *needed, "--task", "pretrained:hopper") == 2
        error = capsys.readouterr().err
        assert "pretrained:hopper is a policy, not a task; did you mean 'hopper'?" in error
