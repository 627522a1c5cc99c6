from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sim2real.errors import UserError
from sim2real.studies.ledger import Cell, Ledger

CELL = Cell("transfer/fine tune/hard/seed-0", "0123456789abcdef", {"budget": 5})


def test_what_is_written_is_done(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert not ledger.is_done(CELL)
    ledger.write(CELL, {"totals": [1.5]})
    assert ledger.is_done(CELL)
    assert ledger.read(CELL) == {"totals": [1.5]}
    assert [file.name for file in tmp_path.iterdir()] == [
        "transfer-fine-tune-hard-seed-0-0123456789.json"
    ]


def test_another_key_is_another_cell(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(CELL, {})
    assert not ledger.is_done(dataclasses.replace(CELL, key="fedcba9876543210"))
    assert not ledger.is_done(dataclasses.replace(CELL, key="0123456789ffffff"))


def test_a_stale_result_states_what_has_changed(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.stale(CELL) is None
    before = {"code": "a", "versions": {"sim2real": "0.1.0"}}
    ledger.write(dataclasses.replace(CELL, key="ffffffffffff", made_of=before), {})
    now = dataclasses.replace(CELL, made_of={**before, "versions": {"sim2real": "0.2.0"}})
    assert ledger.stale(now) == ["sim2real 0.1.0 -> 0.2.0"]
    other = dataclasses.replace(now, id="transfer/fine tune/hard/seed-1")
    assert ledger.stale(other) is None
    ledger.write(now, {})
    assert ledger.stale(now) is None


@pytest.mark.parametrize("content", ["", '{"cell": "a"', "[]", '{"key": "0123456789abcdef"}'])
def test_a_broken_entry_is_not_done(tmp_path: Path, content: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.file(CELL).write_text(content)
    assert not ledger.is_done(CELL)


def test_reading_what_is_not_done_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Ledger(tmp_path).read(CELL)
