from __future__ import annotations

from pathlib import Path

import pytest

import sim2real as s2r
from sim2real.errors import UserError

SHIPPED = "pretrained:cartpole"


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("pretrained:mine", "out is pretrained:mine; allowed: a folder, not the name of a shipped"),
        ("\udcff", r"out is '\\udcff'; allowed: a name in UTF-8"),
        ("there", "there exists already; choose another name or remove it"),
    ],
)
def test_where_no_run_can_be_written(
    out: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        s2r.pretrain("cartpole", steps=64, out=out)
    with pytest.raises(UserError, match=message):
        s2r.transfer(SHIPPED, "hard", budget=64, out=out, method="fine_tune")
    with pytest.raises(UserError, match=message):
        s2r.publish(SHIPPED, out)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
