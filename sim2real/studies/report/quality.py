"""The columns of a table of how policies act, see `evaluation.action_quality`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

QUALITY = {
    "change": ("Action change", "Root mean square of a_t − a_{t−1}, in halves of the range."),
    "jitter": ("Jitter", "Root mean square of a_t − 2 a_{t−1} + a_{t−2}, in halves of the range."),
    "saturation": ("Saturation", "The share of the actions at an end of their range."),
    "force": ("Force", "Root mean square of the actuators' forces, N or N m."),
    "energy": ("Energy", "The sum of the absolute power of the actuators in an episode, J."),
    "slip": ("Slip", "The mean speed of feet on the floor, m/s."),
}
"""Heading and meaning of each measure of `evaluation.action_quality`."""


def measured(
    tables: Iterable[Mapping[str, Mapping[str, float]]],
) -> dict[str, tuple[str, str]]:
    """What of `QUALITY` these tables have, by policy; nothing of a report of an older version."""
    known = {name for table in tables for policy in table.values() for name in policy}
    return {name: words for name, words in QUALITY.items() if name in known}
