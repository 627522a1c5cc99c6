"""A small run with checkpoints and a learning curve, which the tests of this folder only read."""

from __future__ import annotations

import pytest

from sim2real.learning.pretrain import pretrain
from sim2real.runs.run import Run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return pretrain(
        "cartpole",
        "nominal",
        steps=256,
        num_envs=4,
        options={"n_steps": 16, "batch_size": 64, "n_epochs": 1},
        checkpoint_every=64,
        curve=4,
        curve_episodes=2,
        seed=3,
        out=tmp_path_factory.mktemp("runs") / "run",
        progress=False,
    )
