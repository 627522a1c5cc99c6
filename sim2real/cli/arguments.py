"""The arguments of a command line, checked before they are parsed; an error is one line."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

from tyro.conf import Positional

from sim2real.errors import UserError, brief, unknown
from sim2real.files import user_path

_POSITIONAL = typing.get_args(Positional[int])[1]
HELP = ("-h", "--help")
GENERAL = ("--help", "--version")


@dataclass(frozen=True)
class _Argument:
    """An option or a positional word of a command: its kind of value, and how many it takes."""

    name: str
    kind: type
    least: int
    most: float
    required: bool
    positional: bool


def check_words(words: Sequence[str], commands: Mapping[str, type]) -> None:
    """Refuse what `commands`, dataclasses by verb, do not take.

    Raises UserError, with the nearest match, for an unknown verb or option, a missing, empty or
    surplus value, and a number that is none.
    """
    if not words:
        raise UserError(f"a verb is missing; allowed: {', '.join(commands)}")
    verb, *rest = words
    if verb in HELP or any(word in HELP for word in rest if verb in commands):
        return
    if verb not in commands:
        option = verb.startswith("-")
        raise unknown("option" if option else "verb", verb, GENERAL if option else commands)
    try:
        _check(rest, _arguments(commands[verb]))
    except UserError as error:
        raise UserError(f"{error}; see `sim2real {verb} --help`") from None


def with_homes(command: Any) -> Any:
    """A command, a dataclass, with `~` filled in in its paths: the shell leaves `--out=~/x`."""
    values = {field.name: getattr(command, field.name) for field in dataclasses.fields(command)}
    return dataclasses.replace(command, **{name: _with_home(one) for name, one in values.items()})


def _with_home(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_with_home, value))
    return value.expanduser() if isinstance(value, Path) else value


def _arguments(command: type) -> list[_Argument]:
    hints = typing.get_type_hints(command, include_extras=True)
    return [_argument(field, hints[field.name]) for field in dataclasses.fields(command)]


def _argument(field: dataclasses.Field[Any], hint: Any) -> _Argument:
    positional = _POSITIONAL in typing.get_args(hint)
    name = field.name.upper() if positional else f"--{field.name.replace('_', '-')}"
    missing = field.default is dataclasses.MISSING
    return _Argument(name, *_values(hint), required=missing, positional=positional)


def _values(hint: Any) -> tuple[type, int, float]:
    """The type of the values that a type hint stands for, and how many there must be."""
    while typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    parts = [part for part in typing.get_args(hint) if part is not NoneType]
    if typing.get_origin(hint) is tuple:
        return (parts[0], 1, math.inf) if ... in parts else (parts[0], len(parts), len(parts))
    if parts:  # optional
        return _values(parts[0])
    return (bool, 0, 0) if hint is bool else (hint, 1, 1)


def _check(words: Sequence[str], arguments: Sequence[_Argument]) -> None:
    options = {one.name: one for one in arguments if not one.positional}
    given: dict[str, list[str]] = {}
    loose: dict[int, str] = {}
    current: _Argument | None = None
    for at, word in enumerate(words):
        if _is_option(word):
            name, equals, value = word.partition("=")
            current = _find(name, options)
            given[current.name] = [value] if equals else []
        elif current is not None and len(given[current.name]) < current.most:
            given[current.name].append(word)
        else:
            loose[at] = word
    for place in (one for one in arguments if one.positional):
        if loose:
            taken = int(min(place.most, _in_a_row(list(loose))))
            given[place.name] = [loose.pop(at) for at in list(loose)[:taken]]
    if loose:
        raise UserError(f"unexpected {brief(next(iter(loose.values())))}")
    for argument in arguments:
        _check_values(argument, given.get(argument.name))


def _in_a_row(places: Sequence[int]) -> int:
    """How many of the first places follow each other without a gap."""
    return sum(place - first == places[0] for first, place in enumerate(places))


def _is_option(word: str) -> bool:
    """Whether a word is an option; a negative number is a value."""
    return word.startswith("-") and len(word) > 1 and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _find(name: str, options: Mapping[str, _Argument]) -> _Argument:
    usual = name.replace("_", "-")
    if usual not in options:
        raise unknown("option", name, options)
    return options[usual]


def _check_values(argument: _Argument, values: list[str] | None) -> None:
    if values is None:
        if argument.required:
            raise UserError(f"{argument.name} is missing")
        return
    if not argument.least <= len(values) <= argument.most:
        count = "at least one value" if argument.most > 2 else f"{argument.least} values"
        needed = {0: "no value", 1: "a value"}.get(int(min(argument.most, 3)), count)
        raise UserError(f"{argument.name} needs {needed}, got {len(values) or 'none'}")
    for value in values:
        _check_value(argument, value)


def _check_value(argument: _Argument, value: str) -> None:
    if not value.strip():
        raise UserError(f"{argument.name} is empty")
    if argument.kind is Path:
        user_path(value)
    if argument.kind is float and not (_is_number(value) and math.isfinite(float(value))):
        raise UserError(f"{argument.name} is {brief(value)}; allowed: a finite number")
    if argument.kind is int:
        _check_integer(argument, value)


def _check_integer(argument: _Argument, value: str) -> None:
    try:
        int(value)
    except ValueError:
        whole = _is_number(value) and math.isfinite(float(value)) and float(value).is_integer()
        hint = f" did you mean {float(value):.0f}?" if whole and abs(float(value)) < 1e15 else ""
        raise UserError(
            f"{argument.name} is {brief(value)};{hint} allowed: a whole number"
        ) from None
