"""Films of a policy: the frames, their captions, both formats, and the window."""

from __future__ import annotations

import contextlib
import gc
import shutil
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio
import mujoco
import numpy as np
import pytest
from PIL import Image

from sim2real import cli
from sim2real.domains import Domain
from sim2real.errors import UserError
from sim2real.evaluation import view as views
from sim2real.evaluation.clips import (
    CAPTION,
    TITLE,
    beside,
    caption,
    captioned,
    moments,
    write_clip,
)
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.evaluation.view import view
from sim2real.learning.pretrain import pretrain
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer, RenderingUnavailable, camera_of


class Swing:
    """Pushes the cart of the cart-pole by what it sees, without being trained."""

    def predict(self, observation: Any, **_: Any) -> tuple[np.ndarray, None]:
        return np.tanh(np.asarray(observation)[:, -1:]).astype(np.float32), None


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


@pytest.fixture
def drawing() -> None:
    try:
        Renderer(Simulation("cartpole", threads=1), 32, 32).close()
    except RenderingUnavailable:
        pytest.skip("there is no OpenGL here")


def test_the_moments_are_the_episodes_of_an_evaluation() -> None:
    simulation = Simulation("cartpole", "randomized", seed=4, threads=1)
    ends = [moment for moment in moments(Swing(), simulation, range(2)) if moment.end]
    rows = evaluate(Swing(), "cartpole", "randomized", episodes=2, seed=4, threads=1)
    assert [moment.total for moment in ends] == pytest.approx(returns(rows), rel=1e-12)
    lengths = [round(moment.seconds / simulation.dt) for moment in ends]
    assert lengths == [row.length for row in rows]
    assert [moment.end == "failed" for moment in ends] == [row.failed for row in rows]


def test_an_episode_is_left_when_its_time_is_over() -> None:
    simulation = Simulation("cartpole", threads=1)
    times = [moment.seconds for moment in moments(Swing(), simulation, range(2), seconds=0.1)]
    assert times == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08, 0.1] * 2)


def test_the_caption_states_domain_command_and_context(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = Domain(name="heavy", dynamics=[{"field": "body_mass", "of": "pole", "scale": 2}])
    simulation = Simulation("cartpole", domain, threads=1)
    *_, last = moments(Swing(), simulation, [0], seconds=0.04)
    simulation.memory = {"command": np.array([[0.5, -0.25]])}
    monkeypatch.setattr(simulation.task, "succeeded", lambda world: np.array([True]))
    lines = caption(simulation, last)
    assert lines[0] == "cartpole in heavy, episode 0"
    assert lines[1].startswith("0.04 s, return ")
    assert lines[1].endswith(", success")
    assert lines[2] == "command 0.50 -0.25"
    assert lines[3] == "body_mass:pole 2"


def test_a_caption_is_wrapped_to_the_picture_and_cut_at_last() -> None:
    blank = np.zeros((240, 320, 3), np.uint8)
    short, long = captioned(blank, ["a word"]), captioned(blank, [", ".join(["a word"] * 200)])
    assert short[:30].any()
    assert not short[30:].any()
    assert long[60:120].any()
    assert not long[150:].any()
    assert not long[:, -4:].any()


def test_clips_side_by_side_wait_for_the_longest() -> None:
    clips = [[np.full((2, 3, 3), 10 * i + j, np.uint8) for j in range(i)] for i in (1, 3)]
    frames = beside(clips)
    assert [frame[0, :, 0].tolist() for frame in frames] == [
        [10, 10, 10, 30 + j, 30 + j, 30 + j] for j in range(3)
    ]


@pytest.mark.usefixtures("drawing")
@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_shows_the_domains_side_by_side(suffix: str, tmp_path: Path) -> None:
    out = tmp_path / f"film{suffix}"
    written = view(Swing(), "cartpole", ["nominal", "hard"], seconds=0.4, size=(96, 80), out=out)
    assert written == out
    with warnings.catch_warnings():  # imageio leaves the pipes of its reader open
        warnings.simplefilter("ignore", ResourceWarning)
        frames = imageio.mimread(out, memtest=False)
        gc.collect()
    assert len(frames) == 11  # 0 to 0.4 s by 0.04 s, two control steps
    assert frames[0].shape[:2] == (80, 192)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("drawing")
def test_policies_are_shown_beside_each_other(tmp_path: Path) -> None:
    policies = {"first": Swing(), "second": Swing()}
    shape = {"seconds": 0.1, "size": (96, 80)}
    view(policies, "cartpole", "hard", out=tmp_path / "one.gif", **shape)
    view(policies, "cartpole", ["nominal", "hard"], out=tmp_path / "two.gif", **shape)
    sizes = {out.name: size_of(out) for out in tmp_path.iterdir()}
    assert sizes == {"one.gif": (192, 80), "two.gif": (192, 160)}


@pytest.mark.usefixtures("drawing")
def test_view_is_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    options = {"n_steps": 16, "batch_size": 32, "n_epochs": 1}
    small = {"steps": 32, "num_envs": 2, "options": options, "progress": False}
    run = pretrain("cartpole", "mild", **small, out=tmp_path / "run").path
    words = ["view", str(run), "--seconds", "0.2", "--size", "64", "48"]
    assert cli.main(words) == 0
    assert (run / "report" / "view.mp4").stat().st_size > 0
    assert "view.mp4" in capsys.readouterr().out
    other = shutil.copytree(run, tmp_path / "other")
    both = [*words, "--beside", str(other), "--out", str(tmp_path / "both.gif")]
    assert cli.main(both) == 0
    assert size_of(tmp_path / "both.gif") == (128, 48)
    assert cli.main([*words, "--out", str(tmp_path / "film.avi")]) == 2
    assert "unknown kind of animation '.avi'" in capsys.readouterr().err
    assert cli.main([*words, "--domains", "hrad"]) == 2
    assert "did you mean 'hard'" in capsys.readouterr().err


def test_without_opengl_or_screen_it_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> Renderer:
        raise RenderingUnavailable("no pictures: there is no OpenGL")

    monkeypatch.setattr(views, "Renderer", unavailable)
    with pytest.raises(UserError, match="no OpenGL; images need OpenGL: MUJOCO_GL=egl"):
        view(Swing(), "cartpole", out=tmp_path / "film.gif")
    monkeypatch.setattr(views, "has_screen", lambda: False)
    with pytest.raises(UserError, match="there is no screen here"):
        view(Swing(), "cartpole")
    assert not list(tmp_path.iterdir())


def test_the_window_runs_every_domain_and_stops_when_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown: list[str] = []

    class Window:
        """Stands in for MuJoCo's viewer; it is closed after its third picture."""

        def __init__(self, data: mujoco.MjData) -> None:
            self.cam, self._data, self._left = mujoco.MjvCamera(), data, 3

        def is_running(self) -> bool:
            return self._left > 0

        def lock(self) -> contextlib.AbstractContextManager[None]:
            return contextlib.nullcontext()

        def set_texts(self, texts: tuple[Any, Any, str, str]) -> None:
            shown.append(texts[2].splitlines()[0])

        def sync(self) -> None:
            self._left -= 1

    @contextlib.contextmanager
    def launch_passive(_model: Any, data: mujoco.MjData, **_: bool) -> Iterator[Window]:
        yield Window(data)

    viewer = types.SimpleNamespace(launch_passive=launch_passive)
    monkeypatch.setattr(mujoco, "viewer", viewer, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "mujoco.viewer", viewer)
    monkeypatch.setattr(views, "has_screen", lambda: True)
    assert view(Swing(), "cartpole", ["nominal", "hard"]) is None
    assert shown == ["cartpole in nominal, episode 0"] * 3 + ["cartpole in hard, episode 0"] * 3


def test_the_camera_follows_a_robot_that_floats_freely() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body/><body name='robot'><freejoint/><geom size='0.1'/></body>"
        "</worldbody></mujoco>"
    )
    assert camera_of({}, model).trackbodyid == 2
    assert camera_of({}, model).type == mujoco.mjtCamera.mjCAMERA_TRACKING
    assert camera_of({"lookat": [0, 0, 1]}, model).type == mujoco.mjtCamera.mjCAMERA_FREE
    assert camera_of({"trackbodyid": 1}, model).trackbodyid == 1


def test_a_film_of_another_kind_is_refused(tmp_path: Path) -> None:
    refused = r"unknown kind of animation '.webp'; .*allowed: .gif, .mp4"
    with pytest.raises(UserError, match=refused):
        write_clip(tmp_path / "a.webp", [np.zeros((16, 16, 3), np.uint8)], 0.1)
    with pytest.raises(UserError, match="episodes is 0; allowed: 1 to 1,000,000"):
        view(Swing(), "cartpole", episodes=0)


def test_a_title_is_larger_than_a_caption() -> None:
    blank = np.zeros((240, 320, 3), dtype=np.uint8)
    caption_rows, title_rows = (
        len(np.unique(np.nonzero(captioned(blank, ["H"], fit))[0])) for fit in (CAPTION, TITLE)
    )
    assert title_rows >= 1.5 * caption_rows
    assert title_rows >= 12  # pixels, of which a card shows half
