from __future__ import annotations

import math
import re
import time

import pytest

from sim2real.plain import dump_yaml, parse_json, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e7", 1e7),
        ("3e-4", 3e-4),
        ("-1E+3", -1000.0),
        ("1.5e5", 1.5e5),
        ("2024-01-02", "2024-01-02"),  # a name, not a date
        ("e7", "e7"),
        ("1e", "1e"),
        ("18446744073709551616", 2**64),
        ("{a: &x [1, 2], b: *x}", {"a": [1, 2], "b": [1, 2]}),
        ("", None),
    ],
)
def test_yaml_as_people_write_it(text, value):
    assert parse_yaml(text) == value
    assert type(parse_yaml(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x_", "line 1, column 1: '0x_' is no int"),
        ("a: !!int 'a'", "line 1, column 4: 'a' is no int"),
        ("!!bool x", "'x' is no bool"),
        ("!!timestamp 'a'", "could not determine a constructor"),
        ("!!python/object:os.system x", "could not determine a constructor"),
        ("9" * 5000, "is no int"),
        ("[" * 3000, "nested deeper than 50 levels"),
        ("[" * 60 + "]" * 60, "nested deeper than 50 levels"),
        ("a: &a {within: [*a, *a]}", "nested deeper than 50 levels"),
        ("? [1]\n: 2", "unhashable key"),
        ("a: 1\na: 2", "line 2: 'a' is there twice"),
        ("a: '\0'", "special characters are not allowed"),
        ("a: [", "line 1, column 5"),
    ],
)
def test_bad_yaml_is_one_line(text, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_aliases_do_not_multiply_a_text():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]")  # 10^9 values
    started = time.monotonic()
    with pytest.raises(ValueError, match="over 100,000 values"):
        parse_yaml("\n".join(lines))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("value", ["1e7", "2024-01-01", 1e7, 1e-5, "on", "~", "", 2**70, None])
def test_yaml_reads_back_what_it_wrote(value):
    shared = [value]
    again = parse_yaml(dump_yaml({"a": shared, "b": shared}))
    assert again == {"a": [value], "b": [value]}
    assert type(again["a"][0]) is type(value)


@pytest.mark.parametrize("text", ["9" * 5000, "[NaN]", "-Infinity", "1e999", "[" * 100_000, "{"])
def test_bad_json_is_one_line(text):
    with pytest.raises(ValueError, match=r"digits|finite|nested|Expecting") as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("digits", ["9" * 5001, "-" + "9" * 4301])
def test_a_number_of_thousands_of_digits_is_refused_without_advice_on_python(digits):
    with pytest.raises(ValueError, match=r"a number of [45],\d{3} digits; allowed: 4,000$"):
        parse_json(f'{{"a": {digits}}}')


def test_json_is_read():
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert math.isclose(parse_json("1e300"), 1e300)
