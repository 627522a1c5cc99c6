"""A training whose worlds draw at startup and within episodes resumes as if never stopped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import sim2real as s2r
from sim2real.domains import Domain

DOMAIN = Domain(
    dynamics=[
        {"field": "body_mass", "scale": {"uniform": [0.5, 2.0]}, "when": "startup"},
        {
            "field": "dof_damping",
            "add": {"uniform": [0.0, 1.0]},
            "course": {"every": {"uniform": [0.1, 0.3]}},
        },
    ],
)
OPTIONS = {"num_envs": 4, "net_arch": [8], "batch_size": 16, "n_steps": 16, "privileged": True}


@pytest.mark.usefixtures("short_cartpole")
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = s2r.pretrain(
        "cartpole",
        DOMAIN,
        steps=512,  # 128 a world: episodes of up to 50
        options=OPTIONS,
        checkpoint_every=192,
        out=tmp_path / "whole",
        progress=False,
    )
    shutil.copytree(whole.path, tmp_path / "parts")
    for step in whole.steps[1:]:
        shutil.rmtree(tmp_path / "parts" / "checkpoints" / f"{step:09d}")
    assert s2r.load_run(tmp_path / "parts").step < 256
    resumed = s2r.resume(tmp_path / "parts", progress=False)
    assert resumed.step == whole.step
    for part in ("policy", "training"):
        one, other = getattr(whole.checkpoint, part), getattr(resumed.checkpoint, part)
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
