"""What of another task is the source's: by name, and as the user says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sim2real.errors import UserError
from sim2real.task import ObservationTerm
from sim2real.transfer.matching import Match, Matching, Side, match_spaces

POSITION = ObservationTerm("position", 3, "rad")
SPEED = ObservationTerm("speed", 2, "rad/s")
HEIGHT = ObservationTerm("height", 1, "m")


def side(
    name: str, *terms: ObservationTerm, actuators: str = "hip knee", high: float = 1.0
) -> Side:
    names = tuple(actuators.split())
    return Side(name, terms, names, spaces.Box(-high, high, (len(names),), np.float32))


SOURCE = side("source", POSITION, SPEED)


def matched(*terms: ObservationTerm, source: Side = SOURCE, **given: Any) -> Matching:
    where = {name: given.pop(name) for name in ("actuators", "high") if name in given}
    return match_spaces(source, side("target", *terms, **where), Match(**given))


def test_by_name_in_any_order() -> None:
    found = matched(HEIGHT, SPEED, POSITION, actuators="ankle knee hip")
    assert found.labels() == [
        *("new: height[0]", "speed[0]", "speed[1]", "position[0]", "position[1]", "position[2]"),
    ]
    assert found.action_labels() == ["new: ankle", "knee", "hip"]
    assert found.new == {"observations": ["height[0]"], "actions": ["ankle"]}
    assert found.dropped == {"observations": [], "actions": []}
    assert found.lines() == ["New observations: height[0]", "New actions: ankle"]


def test_what_the_target_lacks_is_dropped() -> None:
    found = matched(SPEED, actuators="knee")
    assert found.dropped == {
        "observations": ["position[0]", "position[1]", "position[2]"],
        "actions": ["hip"],
    }


def test_other_names_and_parts() -> None:
    joints = ObservationTerm("joints", 3, "rad")
    asked = {"joints[0:2]": "position[1:3]", "speed[0]": "speed[1]", "speed[1]": None}
    found = matched(joints, SPEED, observations=asked, actions={"hip": "knee", "knee": None})
    assert found.labels() == [
        *("position[1]", "position[2]", "new: joints[2]", "speed[1]", "new: speed[1]"),
    ]
    assert found.action_labels() == ["knee", "new: knee"]


def test_a_part_of_a_term_leaves_the_rest_to_its_name() -> None:
    found = matched(POSITION, observations={"position[0]": None})
    assert found.labels() == ["new: position[0]", "position[1]", "position[2]"]


def test_a_part_of_a_term_of_another_size_leaves_the_rest_new() -> None:
    longer = ObservationTerm("position", 4, "rad")
    found = matched(longer, observations={"position[0:2]": "position[1:3]"})
    assert found.labels() == [
        *("position[1]", "position[2]", "new: position[2]", "new: position[3]"),
    ]


def test_every_control_step_of_a_history() -> None:
    def stacked(name: str) -> ObservationTerm:
        return ObservationTerm(name, 2, "m", columns=("0@-1", "0"))

    found = matched(
        stacked("place"), source=side("source", stacked("x")), observations={"place": "x"}
    )
    assert found.labels() == ["x[0@-1]", "x[0]"]
    assert matched(stacked("x"), SPEED).new["observations"] == ["x[0]"]


def test_the_last_action_follows_the_actuators() -> None:
    before = side("source", SPEED, ObservationTerm("last_action", 2, commanded=True))
    after = ObservationTerm("last_action", 3, commanded=True)
    found = matched(SPEED, after, source=before, actuators="knee ankle hip")
    assert found.labels()[2:] == ["last_action[1]", "new: last_action[1]", "last_action[0]"]


def test_what_is_privileged() -> None:
    def privileged(*terms: ObservationTerm) -> list[ObservationTerm]:
        columns = tuple(label for term in terms for label in term.labels)
        return [
            *terms,
            ObservationTerm("contact", 1, "N", group="privileged"),
            ObservationTerm("truth", len(columns), group="privileged", columns=columns),
            ObservationTerm("context", 1, group="privileged", columns=("mass",)),
        ]

    source = side("source", *privileged(POSITION))
    turned = ObservationTerm("turned", 3, "rad")
    found = matched(*privileged(turned, HEIGHT), source=source, observations={"turned": "position"})
    assert found.labels()[4:] == [
        "contact[0]",
        *(f"truth[position[{index}]]" for index in range(3)),
        "new: truth[height[0]]",
        "context[mass]",
    ]
    assert found.new["observations"] == ["height[0]"]


@pytest.mark.parametrize(
    ("terms", "given", "message"),
    [
        ((HEIGHT,), {}, "no observation of the target is one of the source"),
        ((SPEED,), {"actuators": "a b"}, "no action of the target is one of the source"),
        ((ObservationTerm("speed", 2, "deg/s"),), {}, "'rad/s' in the source, 'deg/s' in the tar"),
        ((ObservationTerm("speed", 3, "rad/s"),), {}, "speed has 2 numbers in the source, 3 in"),
        ((SPEED,), {"observations": {"sped": "speed"}}, "of the target 'sped'; did you mean 'spee"),
        ((SPEED,), {"observations": {"speed": "sped"}}, "of the source 'sped'; did you mean 'spee"),
        (
            (SPEED,),
            {"observations": {"speed": "position"}},
            "speed has 2 numbers in the target, po",
        ),
        (
            (SPEED,),
            {"observations": {"speed[2]": None}},
            r"unknown number of the target 'speed\[2\]",
        ),
        (
            (SPEED,),
            {"observations": {"speed[1:3]": None}},
            r"speed\[1:3\] of the target; allowed: s",
        ),
        (
            (SPEED, HEIGHT),
            {"observations": {"height": "speed[0]"}},
            r"both speed\[0\] and height\[0",
        ),
        ((SPEED,), {"actions": {"hip": "knee"}}, "action knee of the source is both hip and knee"),
        (
            (SPEED,),
            {"actions": {"hipp": "knee"}},
            "actuator of the target 'hipp'; did you mean 'hi",
        ),
        (
            (SPEED,),
            {"actions": {"hip": "kne"}},
            "actuator of the source 'kne'; did you mean 'knee'",
        ),
        ((SPEED,), {"high": 2.0}, r"hip has the range \[-2, 2\] in the target, hip has \[-1, 1\]"),
        ((SPEED,), {"actuators": "hip hip"}, "the actuators of the target are hip, hip; allowed"),
    ],
)
def test_what_differs_is_refused(terms: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        matched(*terms, **given)
    assert "\n" not in str(caught.value)


def test_by_name_is_a_match_without_names() -> None:
    assert Match.model_validate("by_name") == Match()
