"""TensorBoard's layout and text, and scores where there are references."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from sim2real.domains import load_domain
from sim2real.evaluation.references import References, keep_references
from sim2real.files import read_json
from sim2real.learning.front_page import LAYOUT, TEXT
from sim2real.learning.pretrain import pretrain
from sim2real.registry import load_task
from sim2real.transfer.api import transfer

SMALL = {"net_arch": [6], "n_steps": 8, "batch_size": 16}


def events_of(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run), {"scalars": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.mark.usefixtures("short_cartpole")
def test_the_first_page_of_a_transfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random is 0 and the oracle 10 in the source, 0 and 20 in the target."""
    monkeypatch.setenv("SIM2REAL_CACHE", str(tmp_path / "cache"))
    task = load_task("cartpole")
    for name, oracle in (("randomized", 10.0), ("hard", 20.0)):
        keep_references(task, load_domain(task, name), References(0.0, oracle, "a test"))
    how = {"num_envs": 4, "progress": False}
    pretrain("cartpole", "randomized", steps=64, out=tmp_path / "a", options=SMALL, **how)
    recipe = {"recipe": {"n_steps": 8, "batch_size": 16}}
    how |= {"method": "fine_tune", "curve": 1, "curve_episodes": 2, "options": recipe}
    transfer(tmp_path / "a", "hard", budget=64, out=tmp_path / "b", **how)
    events = events_of(tmp_path / "b")
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [one.title for one in layout.category] == list(LAYOUT)
    (text,) = events.Tensors(f"{TEXT}/text_summary")
    words = text.tensor_proto.string_val[0].decode()
    assert words.strip().startswith("sim2real transfer a --domain hard --method fine_tune")
    assert "sticky rail" in words
    means, scores, source = (
        [event.value for event in events.Scalars(tag)]
        for tag in ("target/mean_reward", "target/score", "source/score")
    )
    assert scores == pytest.approx([mean / 20 for mean in means])
    home = events.Scalars("source/mean_reward")[-1].value / 10
    assert source[-1] == pytest.approx(home)
    before = read_json(tmp_path / "b" / "report" / "curve.json")["rows"][0]["mean"] / 20
    assert home > before
    closed = events.Scalars("rollout/gap_closed")[-1].value
    assert closed == pytest.approx((scores[-1] - before) / (home - before), rel=1e-3)
