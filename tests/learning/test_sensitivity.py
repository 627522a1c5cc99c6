from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sim2real.learning.callbacks import Stateful
from sim2real.learning.loop import learn
from sim2real.learning.sensitivity import ReturnAgainstContext
from sim2real.runs.checkpoint import discard_after, read_checkpoint, restore, steps


def events_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), {"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_what_is_written(build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim2real.learning.loop.EVERY", 500)
    monkeypatch.setattr("sim2real.learning.sensitivity.FIGURE_LEAST", 2000)
    monkeypatch.setattr("sim2real.learning.sensitivity.FIGURE_EVERY", 2000)
    learn(build("ppo"), tmp_path, 2496, progress=False, title="toy")
    events = events_of(tmp_path)
    images = events.Images("worlds/context_return/all")
    assert [one.step for one in images] == [2016, 2496]  # rarely, and at the end
    figures = events.Scalars("worlds/context_correlation/mass")
    assert [one.step for one in figures] == [512, 1024, 1536, 2016, 2496]
    picture = Image.open(io.BytesIO(images[-1].encoded_image_string))
    assert picture.size == (images[-1].width, images[-1].height)
    tags = {tag for tag in events.Tags()["scalars"] if tag.startswith("worlds/context_")}
    assert tags == {
        "worlds/context_correlation/mass",
        "worlds/context_return/mass low",
        "worlds/context_return/mass high",
    }
    assert all(abs(one.value) < 0.5 for one in events.Scalars("worlds/context_correlation/mass"))


def test_short_trainings_draw_nothing(
    build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim2real.learning.loop.EVERY", 500)
    monkeypatch.setitem(sys.modules, "sim2real.evaluation.sensitivity_figure", None)
    learn(build("ppo"), tmp_path, 2496, progress=False)
    assert events_of(tmp_path).Tags()["images"] == []
    assert len(events_of(tmp_path).Scalars("worlds/context_correlation/mass")) == 5


def test_its_state_is_plain_and_goes_on(build: Any) -> None:
    callback = ReturnAgainstContext(1000, "toy")
    assert isinstance(callback, Stateful)
    callback.model = build("ppo")
    rng = np.random.default_rng(0)
    for index in range(600):
        info = {"context": {"mass": rng.uniform(), "delay": 0.1}, "episode": {"r": float(index)}}
        callback.locals = {"dones": np.array([False, True]), "infos": [{}, info]}
        callback.on_step()
    state = callback.state()
    assert state["names"] == ["mass", "delay"]
    assert len(state["rows"]) == 512
    assert state["rows"][0][0] == 88.0  # the latest 512 of 600
    other = ReturnAgainstContext(1000, "toy")
    other.restore(state)
    assert other.state() == state
    other.restore({"names": [], "rows": []})
    assert other.state() == {"names": [], "rows": []}


def test_a_resumed_curve_equals_an_uninterrupted_one(
    build: Any, curves: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim2real.learning.loop.EVERY", 600)
    learn(build("ppo"), tmp_path, 2496, checkpoint_every=700, progress=False)
    expected = curves(tmp_path)
    assert len(expected["worlds/context_correlation/mass"]) == 4
    middle = steps(tmp_path)[2]
    resumed = build("ppo", seed=7)
    restore(resumed, read_checkpoint(tmp_path, middle))
    discard_after(tmp_path, middle)
    learn(resumed, tmp_path, 2496, checkpoint_every=700, progress=False)
    assert curves(tmp_path) == expected
