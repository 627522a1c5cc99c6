from __future__ import annotations

import pytest

from sim2real.identification.stages import whole


def test_the_part_that_is_done_never_falls() -> None:
    shown: list[float] = []
    report = whole(lambda part, what: shown.append(part))
    for what, done in (
        ("checking what the log shows", 0.0),
        ("searching the family", 1.0),
        ("refining the unknowns and the start states", 1.0),
        ("searching the family once more", 0.5),
        ("refining the unknowns and the start states", 0.5),
        ("something else", 0.5),
        ("validating on windows held out", 0.0),
    ):
        report(what, done)
    assert shown == pytest.approx([0.0, 0.3, 0.5, 0.55, 0.55, 0.55, 0.92])


def test_each_of_several_logs_is_a_part_of_the_whole() -> None:
    shown: list[tuple[float, str]] = []
    report = whole(lambda part, what: shown.append((part, what)), logs=2)
    for what in ("checking", "fitting", "checking", "refining"):
        report(what, 1.0)
    assert [part for part, _ in shown] == pytest.approx([0.015, 0.5, 0.515, 0.75])
    assert shown[-1][1] == "log 2 of 2, refining"
