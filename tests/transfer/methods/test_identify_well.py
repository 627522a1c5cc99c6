"""The method identify on a target that its family has, with the accuracy that users get."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim2real.domains import Domain
from sim2real.files import read_json
from sim2real.transfer.api import transfer
from sim2real.transfer.methods.identify import REPORT
from sim2real.transfer.outcome import outcome


@pytest.mark.usefixtures("nothing_missing")
def test_a_target_that_is_lost_is_won_back_with_400_steps(
    tmp_path: Path,
) -> None:
    weak = Domain(actuation=[{"strength": 0.45}, {"delay": 0.04}])  # type: ignore[list-item]
    (tmp_path / "family.yaml").write_text(
        "weak: {actuation: [{strength: {uniform: [0.3, 1.5]}}, {delay: {uniform: [0.0, 0.08]}}]}"
    )
    options = {"simulated_steps": 60_000, "evaluations": 2, "episodes": 8, "attempts": 1}
    run = transfer(
        "pretrained:cartpole",
        weak,
        method="identify",
        budget=400,
        out=tmp_path / "run",
        progress=False,
        options={**options, "family": f"{tmp_path}/family.yaml:weak"},
    )
    found = outcome(run, episodes=10)
    assert found["zero_shot"]["value"] < 150
    assert found["after"]["value"] > 400  # at home it gets 441
    (only,) = read_json(run.path / REPORT)["rounds"]
    assert {row["name"]: row["value"] for row in only["table"]} == {
        "strength:drive": pytest.approx(0.45, rel=1e-3),
        "delay": pytest.approx(0.04),
    }
    assert only["explained"]
    assert found["used"]["steps"] <= 400
