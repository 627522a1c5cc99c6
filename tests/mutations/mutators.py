"""Seeded mutations of our own files: of their text, of the values in them, of XML attributes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

Rng = np.random.Generator

VALUES: tuple[Any, ...] = (
    None, True, False, "", "x", "~", "~nouser/x", "a\0b", ".x:y", "nan", "1e7", "2024-13-45",
    0, 1, -1, 2, 3, 7, 0.5, -0.5, 1.5, 100, 10**9, -(10**9), 2**31, 2**63, 2**64, 10**30,
    1e-12, 1e7, 1e12, 1e20, 1e160, 1e300, 1e308, -1e308, 5e-324, 1e-300,
    float("nan"), float("inf"), -float("inf"),
    [], {}, [1], [0, 0], [1, 2], [2, 1], [1, 2, 3], [float("nan")], ["x"], [[]], {"x": 1},
    {"uniform": [0, 1]}, {"uniform": [-1e308, 1e308]}, {"log_uniform": [1e-300, 1e300]},
    {"normal": [0, 1]}, {"choice": []}, {"beta": [1, 1, 0, 1]}, {"within": [1, 1]},
)  # fmt: skip
TOKENS = (
    "[", "]", "{", "}", ":", ": ", "- ", "#", "&a ", "*a", "<<: ", "!!int 'a'", "!!timestamp 'a'",
    "!!python/object:os.system x", "2024-13-45", "0x_", "1e7", ".nan", ".inf", "-", "%", "@", "`",
    "\t", "\0", "\x85", "\ufeff", "'", '"', "|", ">", "?", "null", "~", "18446744073709551616",
    "[" * 3000, "9" * 5000, "<", "/>", "<!--", "&amp;", "&x;", "-1", "0", "1e308", "5e-324", "nan",
)  # fmt: skip
NUMBERS = (
    "0", "-1", "1", "nan", "inf", "1e308", "-1e308", "1e-320", "1e12", "2147483648", "99999999999",
    "x", "", "1 1", "1 2 3 4 5 6 7 8 9 10",
)  # fmt: skip


def mutated_text(text: str, rng: Rng) -> str:
    """The text with one character, word or line changed."""
    place = int(rng.integers(len(text) + 1))
    lines = text.splitlines(keepends=True) or [""]
    line = int(rng.integers(len(lines)))
    match rng.integers(7):
        case 0:  # a flipped bit
            data = bytearray(text.encode())
            data[place % max(len(data), 1)] ^= 1 << int(rng.integers(7))
            return data.decode(errors="replace")
        case 1:
            return text[:place] + _one_of(TOKENS, rng) + text[place:]
        case 2:
            return text[:place] + text[place + int(rng.integers(1, 20)) :]
        case 3:
            return text[:place]
        case 4:
            return "".join(lines[:line] + lines[line + 1 :])
        case 5:
            return "".join(lines[: line + 1] + lines[line:])
        case _:  # another value in the place of a number or a word
            words = list(re.finditer(r"[-+.\w]+", text))
            word = _one_of(words, rng) if words else re.match("", text)
            return text[: word.start()] + str(_one_of(TOKENS, rng)) + text[word.end() :]


def mutated_data(data: Any, rng: Rng) -> Any:
    """Nested dicts and lists with one value replaced, removed, doubled or under another key."""
    changed = copy.deepcopy(data)
    places = list(_places(changed))
    if not places:
        return _one_of(VALUES, rng)
    owner, key = _one_of(places, rng)
    match rng.integers(6):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[f"{key}x" if rng.integers(2) else _one_of((None, 1, 2.5, True), rng)] = owner.pop(
                key
            )
        case 1:
            owner.append(owner[key])
        case 2:  # a value of another place
            other, name = _one_of(places, rng)
            owner[key] = copy.deepcopy(other[name]) if name in _keys(other) else None
        case _:
            owner[key] = copy.deepcopy(_one_of(VALUES, rng))
    return changed


def mutated_xml(text: str, rng: Rng) -> str:
    """XML with one attribute changed or an element doubled, or a mutation of its text."""
    attributes = list(re.finditer(r'([\w]+)="([^"]*)"', text))
    if not attributes or rng.integers(5) == 0:
        return mutated_text(text, rng)
    chosen = _one_of(attributes, rng)
    numbers = chosen[2].split() or [""]
    match rng.integers(4):
        case 0:
            numbers[int(rng.integers(len(numbers)))] = _one_of(NUMBERS, rng)
            value = " ".join(numbers)
        case 1:
            value = _one_of(NUMBERS, rng)
        case 2:
            value = _one_of(attributes, rng)[2]
        case _:
            return text[: chosen.start()] + text[chosen.end() :]
    return text[: chosen.start(2)] + value + text[chosen.end(2) :]


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in `data` with each of its keys."""
    for key in _keys(data):
        yield data, key
        yield from _places(data[key])


def _keys(data: Any) -> list[Any]:
    if isinstance(data, dict):
        return list(data)
    return list(range(len(data))) if isinstance(data, list) else []


def _one_of(choices: Any, rng: Rng) -> Any:
    return choices[int(rng.integers(len(choices)))]
