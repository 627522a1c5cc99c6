"""One episode alone is that of an evaluation, as a row, a film and a command."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sim2real import cli
from sim2real.errors import UserError
from sim2real.evaluation import replay as replays
from sim2real.evaluation.clips import moments
from sim2real.evaluation.replay import replay, replay_command
from sim2real.evaluation.rollout import Row, evaluate
from sim2real.runs.load import load_run
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer, RenderingUnavailable

POLICY = "pretrained:cartpole"
pytestmark = pytest.mark.usefixtures("short_cartpole")


@pytest.fixture(scope="module")
def rows(short_cartpole: None) -> tuple[Row, ...]:
    """Five episodes of a domain with delays, noise and drawn parameters."""
    run = load_run(POLICY)
    return evaluate(run.policy, run.task, "randomized", episodes=5, seed=3, num_envs=5)


@pytest.fixture
def drawing() -> None:
    try:
        Renderer(Simulation("cartpole", threads=1), 32, 32).close()
    except RenderingUnavailable:
        pytest.skip("there is no OpenGL here")


@pytest.mark.parametrize("episode", [0, 4])
def test_an_episode_alone_has_its_row(
    episode: int, rows: tuple[Row, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal in every number, the context and the quality of the actions included."""
    shown: list[Any] = []
    monkeypatch.setattr(replays, "view", lambda *given, **how: shown.append(how["episodes"]))
    run = load_run(POLICY)
    assert rows[episode].context
    assert replay(run.policy, run.task, "randomized", episode=episode, seed=3) == rows[episode]
    assert shown == [[episode]]


def test_what_is_shown_is_that_episode(rows: tuple[Row, ...]) -> None:
    run = load_run(POLICY)
    simulation = Simulation("cartpole", "randomized", seed=3, threads=1, actions="normalized")
    *_, last = moments(run.policy, simulation, [4])
    assert simulation.contexts() == [rows[4].context]
    assert (last.episode, round(last.seconds / simulation.dt)) == (4, rows[4].length)
    assert last.total == pytest.approx(rows[4].total, rel=1e-12)


def test_some_episodes_are_those_among_others(rows: tuple[Row, ...]) -> None:
    run = load_run(POLICY)
    some = evaluate(run.policy, run.task, "randomized", episodes=[4, 1, 4], seed=3, num_envs=1)
    assert some == (rows[1], rows[4])


@pytest.mark.usefixtures("drawing")
def test_replay_is_a_command_that_writes_a_film(
    rows: tuple[Row, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(replay_command(POLICY, rows[1]))[1:]
    film = tmp_path / "one.gif"
    assert cli.main([*words, "--video", str(film), "--size", "64", "48", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"policy": POLICY, "film": str(film), **dataclasses.asdict(rows[1])}
    with Image.open(film) as opened:
        assert opened.size == (64, 48)
        assert opened.n_frames > 5


def test_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    run = load_run(POLICY)
    with pytest.raises(UserError, match="an episode is -1; allowed: 0 to 999,999"):
        replay(run.policy, run.task, episode=-1)
    with pytest.raises(UserError, match="episodes is empty"):
        evaluate(run.policy, run.task, "nominal", episodes=[])
    assert cli.main(["replay", POLICY, "--domain", "hrad", "--episode", "0"]) == 2
    assert "did you mean 'hard'" in capsys.readouterr().err
