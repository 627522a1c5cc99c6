"""YAML and JSON as plain data; bad text is one line of error and is never executed.

YAML is read as PyYAML's safe subset, with three differences: `1e7` is a number, dates are text, and
aliases must not multiply what is written.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

MOST_NODES = 100_000
"""Values of a YAML text with its aliases written out, at most."""
DEEPEST = 50
"""Levels of nesting in a YAML text, at most."""

MOST_DIGITS = 4000
"""Digits of a whole number in a JSON text, at most; Python reads 4300."""

_FLOAT = "tag:yaml.org,2002:float"
_EXPONENT = re.compile(r"[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")
"""1e7, 1.0e7 and 3e-4, which YAML 1.1 takes for text."""
_DIGITS = list("-+0123456789")


class _Loader(yaml.SafeLoader):
    """The safe loader with numbers as people write them, and a place for every bad value."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
            kind = node.tag.rpartition(":")[2]
            raise yaml.constructor.ConstructorError(
                problem=f"{str(node.value)[:40]!r} is no {kind}", problem_mark=node.start_mark
            ) from None

    def fetch_flow_collection_start(self, TokenClass: Any) -> None:
        _check_depth(self.flow_level)
        super().fetch_flow_collection_start(TokenClass)

    def add_indent(self, column: int) -> bool:
        _check_depth(len(self.indents))
        return bool(super().add_indent(column))


def _check_depth(level: int) -> None:
    """ValueError at once, as scanning takes time with the square of the depth."""
    if level > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader would take for a number; writes every value out."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _without_dates(resolvers: dict[str, Any]) -> dict[str, Any]:
    dates = "tag:yaml.org,2002:timestamp"
    return {
        first: [(tag, form) for tag, form in found if tag != dates]
        for first, found in resolvers.items()
    }


_Loader.yaml_implicit_resolvers = _without_dates(yaml.SafeLoader.yaml_implicit_resolvers)
_Loader.yaml_constructors = {
    tag: make
    for tag, make in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or not tag.endswith((":timestamp", ":binary", ":omap", ":pairs", ":set"))
}
_Loader.add_implicit_resolver(_FLOAT, _EXPONENT, _DIGITS)
_Dumper.add_implicit_resolver(_FLOAT, _EXPONENT, _DIGITS)


def parse_yaml(text: str) -> Any:
    """The value that a YAML text holds; ValueError of one line if there is none.

    >>> parse_yaml("steps: 1e7")
    {'steps': 10000000.0}
    """
    return copy.deepcopy(_read_yaml(text))


@functools.lru_cache(maxsize=32)  # the files of domains are read again and again: 30 ms each time
def _read_yaml(text: str) -> Any:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_size(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(_reason(error)) from None


def _reason(error: yaml.YAMLError) -> str:
    """The fault and its place, in one line."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())[:300]
    found = [getattr(error, name) for name in ("context", "problem")]
    words = ", ".join(part for part in found if part)[:300]
    return f"line {mark.line + 1}, column {mark.column + 1}: {words}"


def _check_size(root: yaml.Node) -> None:
    """ValueError for nesting beyond DEEPEST, over MOST_NODES with aliases, and double keys."""
    waiting, count = [(root, 1)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        _check_depth(depth)
        if count > MOST_NODES:
            raise ValueError(f"it holds over {MOST_NODES:,} values, aliases written out")
        _check_keys(node)
        waiting += [(part, depth + 1) for part in _parts(node)]


def _check_keys(node: yaml.Node) -> None:
    """ValueError for a key that is there twice, of which YAML would keep the last."""
    seen = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value!r} is there twice")
            seen.add((key.tag, key.value))


def _parts(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair


def dump_yaml(value: Any) -> str:
    """The YAML text that `parse_yaml` reads back as `value`."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def parse_json(text: str) -> Any:
    """The value that a JSON text holds; ValueError of one line if there is none."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse(text)


def _whole(text: str) -> int:
    """Python refuses thousands of digits with advice for programmers."""
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it holds a number of {len(text):,} digits; allowed: {MOST_DIGITS:,}")
    return int(text)


def _refuse(text: str) -> float:
    raise ValueError(f"{text[:40]} is no finite number")
