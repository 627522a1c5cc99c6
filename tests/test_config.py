"""What a wrong value is answered, in words that need no knowledge of the validator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from sim2real.config import Config, Count, parse
from sim2real.errors import UserError


class Part(Config):
    """A part of the robot."""

    length: float = 1.0


class Robot(Config):
    """One value of each type."""

    name: str
    legs: Count = 4
    mass: float = 1.0
    share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    sound: bool = True
    file: Path = Path()
    options: Mapping[str, Any] = Field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    names: list[str] = Field(default_factory=list)
    sizes: tuple[int, ...] = ()
    wheels: Annotated[tuple[Part, ...], Field(min_length=1)] = (Part(),)
    either: float | bool = 0.0
    main: Part = Part()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name: must be given"),
        ({"name": 3}, "name: must be text, got 3"),
        ({"legs": "four"}, "legs: must be a whole number, got 'four'"),
        ({"legs": 1.5}, "legs: must be a whole number, got 1.5"),
        ({"legs": 0}, "legs: must be at least 1, got 0"),
        ({"legs": True}, "legs: must be a whole number, got True"),
        ({"mass": "heavy"}, "mass: must be a number, got 'heavy'"),
        ({"mass": False}, "mass: must be a number, got False"),
        ({"mass": float("nan")}, "mass: must be a finite number, got nan"),
        ({"share": 1.5}, "share: must be at most 1, got 1.5"),
        ({"sound": "x"}, "sound: must be true or false, got 'x'"),
        ({"file": 3}, "file: must be a path, got 3"),
        ({"options": [1]}, "options: must be keys and values, got [1]"),
        ({"parts": 3}, "parts: must be a list, got 3"),
        ({"parts": [3]}, "parts.0: must be keys and values, got 3"),
        ({"sizes": [1, True]}, "sizes: must be a whole number, got [1, True]"),
        ({"wheels": []}, "wheels: must have 1 or more entries, got []"),
        ({"names": "x"}, "names: must be a list, got 'x'"),
        ({"names": [1]}, "names.0: must be text, got 1"),
        ({"main": []}, "main: must be keys and values, got []"),
        ({"main": {"lenght": 1}}, "main.lenght: unknown key 'lenght'; did you mean 'length'?"),
    ],
)
def test_an_error_says_what_is_allowed_and_what_was_given(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        parse(Robot, {"name": "a", **given} if given else given, "robot")
    assert str(caught.value).startswith(f"robot: {message}")


@pytest.mark.parametrize("entry", [3, {"lenght": 1}])
def test_wrong_entries_do_not_make_a_list_too_short(entry: Any) -> None:
    with pytest.raises(UserError) as caught:
        parse(Robot, {"name": "a", "wheels": [entry]}, "robot")
    assert "1 or more" not in str(caught.value)


def test_truth_values_are_kept_where_they_are_allowed() -> None:
    robot = parse(Robot, {"name": "a", "either": True, "options": {"legs": True}}, "robot")
    assert (robot.either, robot.options) == (True, {"legs": True})


def test_many_problems_stay_one_readable_line() -> None:
    """What is allowed is told once, and after some problems how many more there are."""
    with pytest.raises(UserError) as caught:
        parse(Robot, {"name": "a", "leg": 3, **{f"x{number}": 1 for number in range(99)}}, "robot")
    allowed = f"allowed: {', '.join(Robot.model_fields)}"
    assert str(caught.value).startswith(
        "robot: leg: unknown key 'leg'; did you mean 'legs'?; x0: unknown key 'x0'; x1: unknown"
    )
    assert str(caught.value).endswith(f"x6: unknown key 'x6'; {allowed}; and 92 more problems")
    assert str(caught.value).count("allowed: ") == 1
