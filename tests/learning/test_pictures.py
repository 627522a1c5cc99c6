from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sim2real.evaluation.clips import encode_gif, frame_seconds
from sim2real.learning import pictures
from sim2real.learning.pretrain import pretrain
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer, RenderingUnavailable


def images_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), {"images": 0})
    events.Reload()
    return events


def train(out: Path) -> None:
    pretrain(
        "half_cheetah",
        "nominal",
        steps=1000,
        num_envs=4,
        options={"n_steps": 25, "batch_size": 50},
        target="hard",
        pictures_every=500,
        out=out,
        progress=False,
    )


@pytest.mark.usefixtures("opengl")
def test_source_and_target_move_side_by_side(tmp_path: Path) -> None:
    train(tmp_path / "run")
    events = images_of(tmp_path / "run")
    assert events.Tags()["images"] == ["rollout/animation"]
    shown = events.Images("rollout/animation")
    assert [image.step for image in shown] == [500, 1000]
    assert (shown[0].width, shown[0].height) == (640, 240)
    with Image.open(io.BytesIO(shown[-1].encoded_image_string)) as gif:
        assert gif.format == "GIF"
        assert gif.size == (640, 240)
        assert gif.n_frames == 60  # 3 s at 20 Hz
        assert gif.info["duration"] == 50
        first, last = (_frame(gif, number) for number in (0, 59))
    assert np.abs(first - last).mean() > 1.0


def _frame(gif: Image.Image, number: int) -> np.ndarray:
    gif.seek(number)
    return np.asarray(gif.convert("RGB"), dtype=float)


def test_without_opengl_one_warning_and_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> Renderer:
        raise RenderingUnavailable("no pictures: there is no OpenGL")

    monkeypatch.setattr(pictures, "Renderer", unavailable)
    with pytest.warns(UserWarning, match="training goes on without pictures") as warned:
        train(tmp_path / "run")
    assert len(warned) == 1
    assert images_of(tmp_path / "run").Tags()["images"] == []


def test_pictures_do_not_change_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blank:
        def __init__(self, *_: object) -> None:
            pass

        def frame(self, world: int) -> np.ndarray:
            return np.zeros((24, 32, 3), np.uint8)

        def close(self) -> None:
            pass

    monkeypatch.setattr(pictures, "Renderer", Blank)
    train(tmp_path / "with")
    monkeypatch.setattr(pictures.Pictures, "_show", lambda self: None)
    train(tmp_path / "without")
    weights = [
        (tmp_path / name / "checkpoints" / "000001000" / "policy.safetensors").read_bytes()
        for name in ("with", "without")
    ]
    assert weights[0] == weights[1]


def test_gif_keeps_its_frames() -> None:
    frames = [np.full((8, 12, 3), 60 * i, np.uint8) for i in range(4)]
    frames[0][0] = 20 * np.arange(12)[:, None]  # the palette is the first frame's
    with Image.open(io.BytesIO(encode_gif(frames, 0.04))) as gif:
        assert gif.n_frames == 4
        assert gif.info["loop"] == 0
        assert gif.info["duration"] == 40


def test_frames_are_whole_control_steps() -> None:
    assert frame_seconds(Simulation("hopper", threads=1)) == pytest.approx(6 * 0.008)
    assert frame_seconds(Simulation("half_cheetah", threads=1)) == pytest.approx(0.05)
