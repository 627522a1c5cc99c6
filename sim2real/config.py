"""Typed configuration: plain data in, a frozen pydantic object or a one-line error out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from sim2real.errors import UserError, brief, unknown

MOST_STEPS, MOST_WORLDS, MOST_EPISODES, MOST_SEEDS = 10**12, 100_000, 1_000_000, 1_000
"""Control steps of a training, worlds stepped together, episodes in a domain, seeds of a study:
limits far beyond what is of use, so that a slip is refused before it takes memory or years."""
LAST_SEED = 2**32 - 1
LAST_SIMULATION_SEED = 2**63 - 1
"""The largest seed of a training, and that of a simulation alone."""
MOST_THREADS = 1024
MOST_STATES, MOST_UPDATES = 1_000_000, 100_000
"""States in a minibatch, and updates between two rollouts."""
MOST_HISTORY = 100
"""Control steps that a policy observes at once."""

Count = Annotated[int, Field(ge=1, le=MOST_STEPS)]
History = Annotated[int, Field(ge=1, le=MOST_HISTORY)]
Worlds = Annotated[int, Field(ge=1, le=MOST_WORLDS)]
Episodes = Annotated[int, Field(ge=1, le=MOST_EPISODES)]
Minibatch = Annotated[int, Field(ge=1, le=MOST_STATES)]
Updates = Annotated[int, Field(ge=1, le=MOST_UPDATES)]
Seed = Annotated[int, Field(ge=0, le=LAST_SEED)]


class Config(BaseModel):
    """Base of everything configured: frozen; unknown keys, NaN, infinity refused.

    So are truth values where a number is meant: Python's `True` is the number 1.
    Raises UserError with its problems on one line where it is made from values that are wrong.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False
    )

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _user_error(type(self), error, type(self).__name__) from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # not for `parse`

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        if _has_truth(value):
            types = _types_in(cls.model_fields[str(info.field_name)].annotation)
            if (int in types or float in types) and bool not in types and Any not in types:
                kind = "number" if float in types else "whole number"
                raise ValueError(f"must be a {kind}, got {brief(value)}")
        return value


def _has_truth(value: Any) -> bool:
    """Whether a value, or one of a list, is `True` or `False`."""
    if isinstance(value, list | tuple):
        return any(map(_has_truth, value))
    return isinstance(value, bool)


def _types_in(annotation: Any) -> list[Any]:
    """All types that an annotation names."""
    return [annotation, *itertools.chain(*map(_types_in, get_args(annotation)))]


Model = TypeVar("Model", bound=BaseModel)
MOST_PROBLEMS = 8
"""The most problems of one object that are reported."""
ALLOWED = " allowed: "


def parse(model: type[Model], data: Any, where: str) -> Model:
    """Validate `data`, what a file or a command line gave, as a `model`.

    `where` names the place for the error ("domain 'windy' of robot.yaml").
    Raises UserError with the problems on one line: key, value, what is allowed.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{where}: expected keys and values, got {brief(data)}")
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise _user_error(model, error, where) from None


def _user_error(model: type[BaseModel], error: ValidationError, where: str) -> UserError:
    """The problems of a `model` on one line."""
    by_place: dict[tuple[int | str, ...], list[Any]] = {}
    for problem in _own(error.errors()):
        by_place.setdefault(_place(problem), []).append(problem)
    problems = [_describe_place(model, *found) for found in by_place.items()]
    more = len(problems) - MOST_PROBLEMS
    shown = [*problems[:MOST_PROBLEMS], *([f"and {more} more problems"] if more > 0 else [])]
    told = f"{where}: {'; '.join(_allowed_once(shown))}"
    return UserError(" ".join(told.splitlines()))  # a key of the user's may have several


def _own(problems: Sequence[Any]) -> list[Any]:
    """The problems without lists that are too short because their entries are wrong."""
    inner = {one["loc"][:-1] for one in problems} | {one["loc"][:-2] for one in problems}
    return [one for one in problems if one["type"] != "too_short" or one["loc"] not in inner]


def _allowed_once(problems: Sequence[str]) -> list[str]:
    """The problems, of which only the last of those that allow the same says what is allowed."""
    cut = [problem.rpartition(ALLOWED) for problem in problems]
    following = [allowed for _, _, allowed in cut[1:]]
    return [
        start.rstrip(";") if mark and allowed == after else start + mark + allowed
        for (start, mark, allowed), after in zip(cut, [*following, None], strict=True)
    ]


_BRANCH = re.compile(r"[\[(]|^(int|float|str|bool|none|dict|list|tuple|constrained-.*)$")
"""The names that pydantic gives the alternatives of a union in the place of an error."""


def _place(problem: Any) -> tuple[int | str, ...]:
    """Where a problem is; all alternatives of a union are in one place."""
    location: tuple[int | str, ...] = problem["loc"]
    if problem["type"] == "extra_forbidden":  # the last part is what the user wrote
        return location
    return tuple(itertools.takewhile(lambda part: not _BRANCH.search(str(part)), location))


def _describe_place(
    model: type[BaseModel], place: tuple[int | str, ...], problems: Sequence[Any]
) -> str:
    """The problems of one place; of a union, what each alternative would allow."""
    if len(problems) == 1:
        return _describe_problem(model, {**problems[0], "loc": place})
    messages = dict.fromkeys(_message(one) for one in problems)
    value = brief(problems[0]["input"])
    return f"{'.'.join(map(str, place))}: {', or '.join(messages)}; got {value}"


def _describe_problem(model: type[BaseModel], problem: Any) -> str:
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        owner = _owner(model, problem["loc"])
        return f"{path}: {unknown('key', problem['loc'][-1], owner.model_fields)}"
    message = _message(problem)
    complete = problem["type"] in ("missing", "value_error")
    value = "" if complete else f", got {brief(problem['input'])}"
    return f"{path}: {message}{value}" if path else message


_PLAIN = {
    "missing": "must be given",
    "string": "must be text",
    "int": "must be a whole number",
    "float": "must be a number",
    "finite": "must be a finite number",
    "bool": "must be true or false",
    "path": "must be a path",
    "dict": "must be keys and values",
    "mapping": "must be keys and values",
    "model": "must be keys and values",
    "tuple": "must be a list",
    "list": "must be a list",
}
"""The allowed values, by the first word of pydantic's name of a problem with a type."""
_LENGTH = {
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have {max_length} entries or fewer",
}
_OF_TYPE = re.compile(
    r"([a-z]+)_(type|parsing.*|from_float|number|sub_type|attributes_type)|missing"
)


def _message(problem: Any) -> str:
    """The allowed values, in plain words instead of pydantic's."""
    named = _OF_TYPE.fullmatch(problem["type"])
    plain = _PLAIN.get(named[1] or named[0]) if named else None
    if problem["type"] in _LENGTH:
        plain = _LENGTH[problem["type"]].format(**problem["ctx"])
    message: str = plain or problem["msg"].removeprefix("Value error, ")
    message = re.sub("^Input should", "must", message)
    message = message.replace("greater than or equal to", "at least")
    return message.replace("less than or equal to", "at most")


def _owner(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model class whose key `location` names: nested models are followed by annotation."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        if field is not None:
            models = _models_in(field.annotation)
            model = next((one for one in models if _tag(one) in location), (models or [model])[0])
    return model


def _tag(model: type[BaseModel]) -> Any:
    """The name by which one of several models is chosen; None where it has none."""
    field = model.model_fields.get("name")
    return None if field is None else next(iter(get_args(field.annotation)), None)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _models_in(part)]
