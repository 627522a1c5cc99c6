"""A training whose worlds draw at startup and within episodes resumes as if never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from resumed import assert_resumed_equals

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
    assert_resumed_equals(whole, tmp_path / "parts", kept=1)
