"""Publishing a policy: its card, its weights, and every place that accepts a run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from conformance_cases import slow_unless
from PIL import Image

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.files import read_json
from sim2real.registry import load_task
from sim2real.runs import pretrained
from sim2real.runs.gallery import gallery
from sim2real.runs.load import load_run
from sim2real.runs.publish import command_of, publish
from sim2real.runs.run import Run
from sim2real.transfer.api import transfer
from sim2real.transfer.resume import resume


@pytest.fixture(scope="module")
def published(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(run, tmp_path_factory.mktemp("published") / "cartpole", episodes=3)


@pytest.fixture
def shelf(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped policies with the run's under the name cartpole."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "shelf")
    return Path(shutil.copytree(published, tmp_path / "shelf" / "cartpole"))


def test_the_card_states_what_the_policy_is_worth_and_how_it_was_made(
    run: Run, shelf: Path
) -> None:
    card = read_json(shelf / "card.json")
    assert card["command"] == (
        "sim2real pretrain cartpole --domain nominal --algorithm ppo --steps 256 --seed 3 "
        "--num-envs 4 --set batch_size=64 n_steps=16 n_epochs=1"
    )
    names = [domain["domain"] for domain in card["domains"]]
    assert names == ["nominal", "randomized", "mild", "medium", "hard"]
    rows = evaluate(run.policy, "cartpole", "hard", episodes=3, seed=1)
    assert card["domains"][-1]["mean_return"] == pytest.approx(returns(rows).mean())
    assert card["versions"]["mujoco"] == "4.0.0"
    assert card["versions"] == read_json(shelf / "versions.json")
    assert card["versions"]["platform"] in ("Linux x86_64", "Linux aarch64")
    page = (shelf / "card.md").read_text()
    assert card["command"] in page
    assert f"| `hard` | {returns(rows).mean():,.1f} |" in page


def test_the_folder_is_small_and_holds_nothing_that_executes(shelf: Path) -> None:
    found = [path for path in shelf.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= {".safetensors", ".json", ".yaml", ".md", ".gif"}
    assert sum(path.stat().st_size for path in found) < 300_000


def test_it_acts_as_the_run_does(run: Run, shelf: Path) -> None:
    loaded = load_run("pretrained:cartpole")
    assert loaded.path == shelf
    assert loaded.step == run.step
    observations = np.random.default_rng(0).normal(size=(8, 5))
    theirs, ours = (
        one.policy.predict(observations, deterministic=True)[0] for one in (run, loaded)
    )
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.usefixtures("shelf")
def test_it_can_be_transferred_and_that_resumed(tmp_path: Path) -> None:
    moved = transfer(
        "pretrained:cartpole", "hard", budget=64, num_envs=4, progress=False, method="fine_tune"
    )
    assert moved.path == Path("runs/pretrained-cartpole-fine_tune-hard-0")
    assert moved.config.source == "pretrained:cartpole"
    assert resume(moved.path, progress=False).step == moved.step
    again = publish(moved, tmp_path / "moved", domains=["hard"], episodes=2)
    assert load_run(again).config.source == "pretrained:cartpole"
    words = "--domain hard --method fine_tune --budget 64 --seed 0 --num-envs 4 --set "
    told = command_of(load_run(again).config, "cartpole")
    assert told.startswith(f"sim2real transfer pretrained:cartpole {words}")
    assert "learning_rate_factor=0.7" in told
    assert "num_envs=" not in told


@pytest.mark.usefixtures("shelf")
def test_commands_accept_and_list_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "pretrained:cartpole", "--episodes", "2"]) == 0
    assert Path("runs/pretrained-cartpole/report/evaluation.json").is_file()
    assert cli.main(["list", "cartpole"]) == 0
    assert "pretrained:cartpole" in capsys.readouterr().out
    assert cli.main(["list", "hopper"]) == 0
    assert "reference policies" not in capsys.readouterr().out


def test_publish_is_a_command(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["publish", str(run.path), "--out", str(tmp_path / "a"), "--episodes", "2"]
    assert cli.main([*words, "--domains", "hard"]) == 0
    shown = capsys.readouterr().out
    assert "card.md" in shown
    assert "(95 % interval over the episodes of this" in " ".join(shown.split())
    assert "failure_interval" not in shown.replace(" ", "_")
    assert not re.search(r"\d\.\d{3}|\bNone\b|\[\d", shown)  # rounded; no raw values
    assert cli.main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_what_is_not_there_is_reported_with_the_nearest_match(shelf: Path) -> None:
    with pytest.raises(
        UserError, match="unknown policy 'pretrained:cartpol'; did you mean 'pretrained:cartp"
    ):
        load_run("pretrained:cartpol")
    with pytest.raises(UserError, match="without training state; transfer it"):
        resume("pretrained:cartpole")
    with pytest.raises(UserError, match="without training state"):
        resume(shelf)


def test_a_failed_evaluation_writes_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown domain of task 'cartpole' 'hrad'"):
        publish(run, tmp_path / "a", domains=["hrad"])
    assert not list(tmp_path.iterdir())


SHIPPED = pretrained.pretrained_names()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_policy_is_small_and_has_a_figure_for_every_domain(name: str) -> None:
    folder = pretrained.find_run(f"pretrained:{name}")
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in found) < 500_000
    assert (folder / "picture.gif").is_file()
    run, card = load_run(folder), pretrained.read_card(folder)
    assert run.task.name == card["task"]
    assert name in (card["task"], f"{card['task']}_{card['domain']}")
    assert card["command"] == command_of(run.config, run.task.name)
    from sim2real.domains import domain_names

    assert [told["domain"] for told in card["domains"]] == domain_names(load_task(card["task"]))


LIKE_GYMNASIUM = ("ant", "half_cheetah", "walker2d")
"""Tasks that are held to Gymnasium bit by bit: there, hopper's policy is fast to evaluate."""


@pytest.mark.parametrize(
    "name", [slow_unless(name not in LIKE_GYMNASIUM, name) for name in SHIPPED]
)
def test_a_shipped_policy_is_worth_what_its_card_says(name: str) -> None:
    run, card = load_run(f"pretrained:{name}"), pretrained.read_card(f"pretrained:{name}")
    told = next(one for one in card["domains"] if one["domain"] == card["domain"])
    rows = evaluate(run.policy, run.task, card["domain"], episodes=2, seed=card["evaluation_seed"])
    assert returns(rows).mean() > 0.8 * told["low"]


@pytest.mark.usefixtures("shelf", "opengl")
def test_a_gallery_shows_every_shipped_policy(run: Run, tmp_path: Path) -> None:
    gallery(tmp_path / "gallery.gif", columns=2, frames=3)
    with Image.open(tmp_path / "gallery.gif") as gif:
        assert gif.size == (2 * 192, 144)  # one policy, and a place that is empty
        assert np.asarray(gif.convert("RGB"))[:, 192:].max() < 20


def test_a_gallery_needs_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="no pretrained policies"):
        gallery(tmp_path / "gallery.gif")
