"""A domain: a named distribution over dynamics, signals and disturbances; and the files of domains.

Domains are beside the task's file, or anywhere as "file.yaml:name". One that `extends` another is
resolved in the plain data, before it becomes a `Domain`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from sim2real.config import Config, parse
from sim2real.domains.distributions.correlation import Correlated
from sim2real.domains.distributions.distribution import Constant, DistributionField
from sim2real.domains.entries.engine import ENGINES, EngineField
from sim2real.domains.entries.entry import Dynamics, Entry
from sim2real.domains.entries.imperfection import Actuation, Sensing
from sim2real.domains.entries.kinds import Disturbance
from sim2real.domains.entries.own import SECTIONS, absolute, is_own, reference_of, trusted_kind
from sim2real.domains.entries.stage import Kind
from sim2real.domains.entries.visual import Visual
from sim2real.domains.models.menagerie import is_menagerie
from sim2real.domains.models.name_mapping import NameMapping
from sim2real.domains.presets import is_preset, preset_data, preset_names
from sim2real.errors import UserError, brief, unknown
from sim2real.files import read_yaml, user_path
from sim2real.plain import dump_yaml
from sim2real.registry import load_task
from sim2real.sources import source_of
from sim2real.task import Task

Data = dict[str, Any]
"""The plain data of one domain."""
NOMINAL: Data = {"about": "The model as it is."}
"""The domain that every task has."""


class Domain(Config):
    """A domain: a distribution over dynamics, actuation, sensing, disturbances, and what is seen.

    Plain data in, as in the YAML files: `Domain(dynamics=[{"field": "body_mass", "scale": 1.4}])`.
    """

    name: str = "custom"
    about: str = ""
    model: str | None = None
    """An MJCF file of its own in place of the task's, or "menagerie:unitree_go1": a target that is
    another model."""
    mapping: NameMapping = NameMapping()
    """How that model names what the task needs, where the names differ."""
    engine: EngineField = None
    """The engine that moves the worlds in place of MuJoCo: "drake", "warp", or its settings."""
    keyframe: str | None = None
    """A key frame of the model, whose state every episode starts from in place of the task's start
    state. What the task draws besides, such as commands, stays."""
    control_period: DistributionField | None = None
    """Seconds from one control step to the next, in place of the task's; what is no constant is
    drawn anew for each step."""
    dynamics: tuple[Dynamics, ...] = ()
    actuation: tuple[Actuation, ...] = ()
    sensing: tuple[Sensing, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    visual: tuple[Visual, ...] = ()
    """What cameras see: light, colours, textures, places of cameras; no effect on the physics."""
    correlated: tuple[Correlated, ...] = ()

    @model_validator(mode="after")
    def _maps_a_model(self) -> Domain:
        if self.model is None and self.mapping != NameMapping():
            raise ValueError("a mapping needs a model of the domain's own")
        return self

    @model_validator(mode="after")
    def _own_kinds_differ(self) -> Domain:
        kinds = {kind.name: kind for kind in self.own_kinds}
        for kind in self.own_kinds:
            if kinds[kind.name] is not kind:
                raise ValueError(f"two kinds of one name, {kind.name!r}; rename one of them")
        return self

    def __repr__(self) -> str:
        sections = ("dynamics", "actuation", "sensing", "disturbances", "visual", "correlated")
        counts = [f"{name}={len(getattr(self, name))}" for name in sections if getattr(self, name)]
        return f"Domain({', '.join([repr(self.name), *counts])})"

    __str__ = __repr__

    @property
    def parameters(self) -> tuple[Dynamics | Actuation | Sensing | Disturbance, ...]:
        """The entries of all sections."""
        return (
            *self.dynamics,
            *self.actuation,
            *self.sensing,
            *self.disturbances,
            *self.visual,
        )

    def describe(self) -> list[str]:
        """The description of the domain, one line a parameter."""
        lines = [f"the model {self.model}"] if self.model else []
        lines += [self.engine.describe()] if self.engine else []
        if self.control_period is not None:
            lines.append(f"a control step of {self.control_period.describe()} s")
        lines += [f"a start from the key frame {self.keyframe}"] if self.keyframe else []
        lines += [parameter.describe() for parameter in self.parameters]
        return lines + [correlated.describe() for correlated in self.correlated]

    def plain(self) -> dict[str, Any]:
        """The plain data of the YAML form, without the name."""
        data = self.model_dump(exclude={"name"}, exclude_defaults=True, mode="json")
        return {key: value for key, value in data.items() if value}

    def digested(self, plain: dict[str, Any]) -> dict[str, Any]:
        """Its `plain` data with the digest of the code of each own kind in place of its path."""
        sources = {reference_of(kind): source_of(kind) for kind in self.own_kinds}
        digests = {place: f"{one.digest}:{one.name}" for place, one in sources.items() if one}
        return replaced(plain, digests.__getitem__)

    @property
    def own_kinds(self) -> tuple[type[Kind], ...]:
        """The kinds of entries that are defined in files of the user's own."""
        entries: tuple[Entry, ...] = (*self.actuation, *self.sensing, *self.disturbances)
        return tuple(one.own_kind for one in entries if one.own_kind is not None)

    @property
    def is_constant(self) -> bool:
        """Whether every episode draws the same; what changes within an episode does not count."""
        distributions = [one.operation[1] for one in (*self.dynamics, *self.visual)]
        others: tuple[Entry, ...] = (*self.actuation, *self.sensing, *self.disturbances)
        distributions += [one.distribution for one in others if one.kind.drawn == "episode"]
        courses = [one.course for one in self.parameters if one.course is not None]
        distributions += [one for course in courses for one in course.draws().values()]
        return all(isinstance(distribution, Constant) for distribution in distributions)


def replaced(data: Mapping[str, Any], change: Callable[[str], Any]) -> dict[str, Any]:
    """The data of a domain where `change` was applied to each path of an own kind."""
    found = dict(data)
    for section in SECTIONS:
        if isinstance(data.get(section), list | tuple):
            found[section] = [_entry(entry, change) for entry in data[section]]
    return found


def _entry(entry: Any, change: Callable[[str], Any]) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {
        change(key) if isinstance(key, str) and ".py" in key and is_own(key) else key: value
        for key, value in entry.items()
    }


def load_domains(path: Path | str, trust_code: bool = False) -> dict[str, Domain]:
    """Every domain of a YAML file, by name, with what it extends.

    Kinds of entries that it names by the path of a Python file are imported if the user made or
    accepted that code before, or accepts it here by `trust_code`.
    Raises UserError with key, value and what is allowed, and for code that is not trusted.
    """
    path = user_path(path).resolve()
    data = read_file(path)
    return {name: _domain(path, name, data, trust_code) for name in data}


def _domain(path: Path, name: str, file: dict[str, Data], trust_code: bool) -> Domain:
    where, resolved = f"{path}: {name}", resolve(path, name, {path: file})
    resolved = replaced(resolved, lambda kind: trusted_kind(kind, where, trust_code))
    return parse(Domain, {**resolved, "name": name}, where)


def read_file(path: Path) -> dict[str, Data]:
    """The plain data of every domain of a file, by name, as it is written.

    Raises UserError where the file does not hold domains by name.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UserError(f"{path}: expected domains by name, got {brief(data)}")
    for name, entry in data.items():
        if not isinstance(entry, dict | None):
            raise UserError(f"{path}: {name}: expected keys and values, got {brief(entry)}")
    return {str(name): _placed(entry or {}, path) for name, entry in data.items()}


def resolve(path: Path, name: str, known: Mapping[Path, dict[str, Data]]) -> Data:
    """The data of one domain with everything that it extends.

    `extends` names a domain of the same file, or "file.yaml:name", relative to the file. Lists (the
    sections) follow those of the domain that is extended, other keys take the place of its keys;
    only `about` is not handed down. `known` are files that have been read.
    Raises UserError for unknown names and for a domain that extends itself in the end.
    """
    return _resolve(path, name, dict(known), ())


def _resolve(
    path: Path, name: str, known: dict[Path, dict[str, Data]], seen: tuple[str, ...]
) -> Data:
    if path not in known:
        known[path] = read_file(path)
    if name not in known[path] and name != "nominal":
        raise unknown(f"domain in {path}", name, known[path])
    here = f"{path}:{name}"
    if here in seen:
        round_trip = " -> ".join(one.rpartition(":")[2] for one in (*seen, here))
        raise UserError(f"{path}: {name}: extends itself: {round_trip}")
    own = dict(known[path].get(name, {}))
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise UserError(f"{path}: {name}: extends one domain by its name, got {base!r}")
    file, parent = path, base
    if ".yaml:" in base:
        other, _, parent = base.rpartition(":")
        file = (path.parent / user_path(other)).resolve()
    try:
        inherited = _resolve(file, parent, known, (*seen, here))
    except UserError as error:
        if seen or str(error).startswith(f"{path}: {name}: "):
            raise
        raise UserError(f"{path}: {name}: extends: {error}") from None
    inherited.pop("about", None)
    return _joined(inherited, own)


def _joined(base: Data, own: Data) -> Data:
    both = {
        key: [*base[key], *own[key]]
        for key in base.keys() & own.keys()
        if isinstance(base[key], list) and isinstance(own[key], list)
    }
    return base | own | both


def _placed(entry: Data, path: Path) -> Data:
    """The data with the paths of its model and of its own kinds made absolute."""
    entry = replaced(entry, lambda kind: absolute(kind, path.parent))
    model = entry.get("model")
    if not isinstance(model, str) or is_menagerie(model):
        return entry
    return entry | {"model": str((path.parent / user_path(model)).resolve())}


def dump_domains(domains: Mapping[str, Domain], places: Mapping[str, str] | None = None) -> str:
    """The YAML that `load_domains` reads back as `domains`.

    `places` replace the paths of models and own kinds, such as those of copies in a run.
    """
    found = places or {}
    data = {}
    for name, domain in domains.items():
        plain = replaced(domain.plain(), lambda kind: found.get(kind, kind))
        model = {"model": found.get(domain.model, domain.model)} if domain.model else {}
        data[name] = plain | model
    return dump_yaml(data)


def task_domains(task: Task) -> dict[str, Domain]:
    """The domains beside the task's file; `nominal`, the model as it is, is always there."""
    file, data = _beside(task)
    return {name: _domain(file, name, data, trust_code=False) for name in data}


def _beside(task: Task) -> tuple[Path, dict[str, Data]]:
    """The file of domains beside the task's, which need not be there, and its data by name."""
    file = task.file.with_suffix(".yaml").resolve()
    return file, {"nominal": NOMINAL} | (read_file(file) if file.is_file() else {})


def default_domain(task: str | Task) -> str:
    """The domain to train in unless another is named: `randomized`, or `nominal` without one."""
    return "randomized" if "randomized" in domain_names(task) else "nominal"


def domain_names(task: str | Task) -> list[str]:
    """The names of the domains beside the task's file."""
    return list(_beside(load_task(task))[1])


def preset_domains(task: str | Task) -> dict[str, Domain]:
    """The published benchmarks as domains for the task, by name ("rwrl:easy")."""
    loaded = load_task(task)
    return {name: _preset(loaded, name) for name in preset_names(loaded)}


def _preset(task: Task, name: str) -> Domain:
    return parse(Domain, preset_data(task, name), name)


def load_domain(
    task: str | Task, domain: str | Domain | None = None, trust_code: bool = False
) -> Domain:
    """The domain that `domain` names for `task`.

    None is `nominal`; a plain name stands beside the task's file; "file.yaml:name" anywhere;
    names such as "rwrl:easy" are presets; "drake:hard" and "warp:hard" are `hard` in that engine.
    `trust_code` accepts the Python code that its file names.
    Raises UserError if it is not there or its file is not valid.
    """
    if isinstance(domain, Domain):
        return domain
    loaded, name = load_task(task), domain or "nominal"
    engine, colon, inner = name.partition(":")
    if colon and engine in ENGINES:
        if not inner or inner.partition(":")[0] in ENGINES:
            raise UserError(
                f"the domain {name!r} names no domain in the engine {engine}; "
                f"allowed: {engine}:NAME"
            )
        found = load_domain(loaded, inner, trust_code)
        return found.model_copy(update={"name": name, "engine": found.engine or ENGINES[engine]})
    if ".yaml:" in name:
        return domain_in_file(name, trust_code)
    if ":" in name and is_preset(name):
        return _preset(loaded, name)
    file, data = _beside(loaded)
    if name not in data:
        presets = preset_names(loaded) if ":" in name else []
        error = unknown(f"domain of task {loaded.name!r}", name, [*data, *presets])
        raise error if file.is_file() else UserError(f"{error}; {file} does not exist")
    return _domain(file, name, data, trust_code)


def domain_in_file(reference: str, trust_code: bool = False) -> Domain:
    """The domain "file.yaml:name"; `trust_code` accepts the Python code that it names.

    Raises UserError if it is not there or not valid.
    """
    stem, _, name = reference.partition(".yaml:")
    file = user_path(f"{stem}.yaml").resolve()
    data = read_file(file)
    if name not in data:
        raise unknown(f"domain in {stem}.yaml", name, data)
    return _domain(file, name, data, trust_code)


def load_each(task: str | Task, domains: Sequence[str | Domain]) -> tuple[Domain, ...]:
    """Every domain of `domains`, as `load_domain` reads it, once and under a name of its own.

    One that is given twice, with the same name and the same content, is there once. Several of
    one name but different content are named "file.yaml:name" after their files, with as much of
    the path as it takes; those that come from no file get a number.
    Raises UserError as `load_domain` does.
    """
    loaded = load_task(task)
    return named_apart([(given, load_domain(loaded, given)) for given in domains])


def named_apart(domains: Sequence[tuple[str | Domain | None, Domain]]) -> tuple[Domain, ...]:
    """Pairs of a reference and its domain, each domain once and under a name of its own."""
    once: dict[str, tuple[str | Domain | None, Domain]] = {}
    for given, domain in domains:
        once.setdefault(_identity(domain), (given, domain))
    names = [domain.name for _, domain in once.values()]
    further = [_spellings(*pair, place) for place, pair in enumerate(once.values())]
    for spelled in zip(*further, strict=True):
        pairs = zip(names, spelled, strict=True)
        names = [other if names.count(name) > 1 else name for name, other in pairs]
    return tuple(
        domain if domain.name == name else domain.model_copy(update={"name": name})
        for (_, domain), name in zip(once.values(), names, strict=True)
    )


def _identity(domain: Domain) -> str:
    """The same for domains of one name and content; what a domain is about does not count."""
    return json.dumps(domain.model_dump(mode="json", exclude={"about"}), sort_keys=True)


def _spellings(given: str | Domain | None, domain: Domain, place: int) -> tuple[str, ...]:
    """Further names of a domain, each for where the one before is not its own alone."""
    path = given if isinstance(given, str) and ".yaml:" in given else ""
    return Path(path).name or domain.name, path or domain.name, f"{domain.name} ({place + 1})"
