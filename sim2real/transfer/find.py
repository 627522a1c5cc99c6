"""Find a transfer method: by its name, by file or module, or as a run describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sim2real.config import parse
from sim2real.errors import UserError
from sim2real.registry import Registry
from sim2real.runs.run import RunFolder
from sim2real.sources import Source, source_of
from sim2real.transfer.method import Method
from sim2real.transfer.methods import METHODS


def _is_class(found: Any) -> bool:
    """Whether something may be a method; `load_method` reports what it lacks."""
    return isinstance(found, type)


METHOD_CLASSES = Registry("Method", METHODS.keys, _is_class)
"""The classes of methods: those of METHODS, and the user's own."""


def load_method(
    method: str | Mapping[str, Any] | Method | Source,
    options: Mapping[str, Any] | None = None,
) -> Method:
    """A method by name, by file or module, or from {"name": ..., option: value}.

    "my_method.py" has one method, "my_method.py:Class" and "module:Class" name it. Code that is
    named here is imported: for a name out of a file, see `load_method_of_file`.
    Raises UserError for an unknown method or option, and for a value that is not allowed.
    """
    if isinstance(method, Mapping):
        given = {key: value for key, value in method.items() if key != "name"}
        return load_method(str(method.get("name", "")), {**given, **(options or {})})
    if not isinstance(method, str | Source):
        if options:
            raise UserError("the method is made already; its options come too late")
        return method
    named = method if isinstance(method, str) else method.reference
    made = parse(find_method(method), options or {}, f"method {named!r}")
    assert isinstance(made, Method)
    return made


def load_method_of_file(
    described: Mapping[str, Any], where: str, trust_code: bool = False
) -> Method:
    """The method that a run describes, in the file `where`, whose own code must be trusted.

    Raises UserError, before anything is imported, if it is not.
    """
    options = {key: value for key, value in described.items() if key != "name"}
    name = METHOD_CLASSES.trusted(str(described.get("name", "")), where, trust_code)
    return load_method(name, options)


def method_of(folder: RunFolder, described: Mapping[str, Any]) -> Method:
    """The method of a run: a shipped one, the run's copy, or code elsewhere that is trusted."""
    where, trust_code = str(folder.path / "config.yaml"), folder.loading.trust_code
    copied = folder.method_source()
    if copied is None:
        return load_method_of_file(described, where, trust_code)
    return load_method(copied, {key: value for key, value in described.items() if key != "name"})


def describe_method(method: Method) -> dict[str, Any]:
    """A method as JSON, from which `load_method` makes it again."""
    return {"name": _name_of(method), **method.model_dump(mode="json")}


def _name_of(method: Method) -> str:
    kind = type(method)
    place = f"{kind.__module__}:{kind.__name__}"
    if METHODS.get(method.name) == place:
        return method.name
    source = source_of(kind)
    return place if source is None else source.reference


def find_method(reference: str | Source) -> type[Method]:
    """The class of a method by name, file or module; UserError if there is none."""
    if isinstance(reference, str):
        reference = METHODS.get(reference, reference)
    found: type = METHOD_CLASSES.find(reference)
    if not issubclass(found, Method):
        raise UserError(f"method {reference!r} must be a class derived from Method")
    if missing := _missing(found):
        raise UserError(f"method {reference!r} has no {missing}: it is no method")
    return found


def _missing(kind: type[Method]) -> str:
    """What a class lacks to be a method, in words; "" if nothing."""
    has_name = isinstance(getattr(kind, "name", None), str)
    return " and ".join([*([] if has_name else ["name"]), *sorted(kind.__abstractmethods__)])


def defines_method(reference: str) -> bool:
    """Whether a shipped name, file or "module:Class" is of a method; imports it."""

    def is_method(found: Any) -> bool:
        return isinstance(found, type) and issubclass(found, Method)

    methods = replace(METHOD_CLASSES, fits=is_method)
    return reference in METHODS or bool(methods.defined_by(reference))
