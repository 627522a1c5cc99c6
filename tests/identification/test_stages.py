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
