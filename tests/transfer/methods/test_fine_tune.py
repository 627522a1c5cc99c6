"""Options of fine-tuning that no suite over all methods covers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim2real.files import read_json
from sim2real.learning.pretrain import pretrain
from sim2real.policies import ALGORITHMS
from sim2real.transfer.api import transfer
from sim2real.transfer.conformance import SOURCE, TARGET, WORLDS


@pytest.mark.usefixtures("short_cartpole")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_statistics_count_as_few_observations_as_asked_for(algorithm: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"num_envs": WORLDS, "progress": False}
    options = {"net_arch": [4], **SOURCE[algorithm]}
    source = pretrain(
        "cartpole",
        algorithm=algorithm,
        steps=100,
        options=options,
        out=tmp_path / "source",
        **given,
    )
    run = transfer(
        source,
        "hard",
        budget=40,
        options={"seen": 7, "recipe": TARGET[algorithm]},
        out=tmp_path / "run",
        **given,
    )
    before, after = source.checkpoint.policy, run.checkpoint.policy
    counts = {name for name in before if name.endswith("normalizer.count")}
    assert counts
    for name in counts:
        assert before[name] >= 100
        assert after[name] == 7 + 40
    rows = read_json(run.path / "report/manifest.json")["tensors"]
    assert {row["action"] for row in rows if row["tensor"] in counts} == {"adapted"}
