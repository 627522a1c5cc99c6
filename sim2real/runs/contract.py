"""The contract of a policy: what it sees, what it does, how often; compared wherever it acts.

A run keeps its contract in task.json. It is compared with the task as it is now when a run is
loaded, and with the target when a policy is transferred.
"""

from __future__ import annotations

import collections
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from weakref import WeakSet

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike
from pydantic import Field, model_validator
from rich.console import Console
from rich.table import Table

from sim2real.config import Config, parse
from sim2real.domains import Domain
from sim2real.domains.digest import model_digest
from sim2real.errors import ChangedError, UserError
from sim2real.files import read_json
from sim2real.simulation import ActionMap, Simulation
from sim2real.simulation.contract import observation_space
from sim2real.sources import source_of
from sim2real.task import ObservationTerm, Task

SIDES = ("source", "target")
HASHES = {"model_sha256": "the model", "source_sha256": "the code"}
MOST = 100_000
"""Most numbers in an observation or an action."""
Size = Annotated[int, Field(ge=0, le=MOST)]


class _Term(Config):
    name: str
    size: Size
    unit: str = ""
    group: Literal["policy", "privileged"] = "policy"
    columns: tuple[str, ...] = ()
    commanded: bool | None = None
    shape: tuple[Size, ...] = ()
    period: Annotated[float, Field(ge=0.0)] = 0.0


class _Space(Config):
    shape: Annotated[tuple[Size, ...], Field(min_length=1, max_length=1)]
    dtype: Literal["float32", "float64"]


class _Range(Config):
    low: tuple[float, ...]
    high: tuple[float, ...]

    @model_validator(mode="after")
    def _is_one(self) -> _Range:
        if len(self.low) != len(self.high) or not np.less(self.low, self.high).all():
            raise ValueError("needs as many low as high, each low below its high")
        return self


class _Actions(_Space, _Range):
    @model_validator(mode="after")
    def _fits(self) -> _Actions:
        if self.shape != (len(self.low),):
            raise ValueError("has another number of bounds than its shape says")
        return self


class TaskInfo(Config):
    """The content of task.json."""

    name: str
    reference: str
    options: dict[str, Any]
    control_dt: Annotated[float, Field(gt=0.0)]
    observation_terms: Annotated[tuple[_Term, ...], Field(min_length=1, max_length=MOST)]
    observation_space: _Space
    action_space: _Actions
    action_map: _Range | None = None
    model_sha256: str | None = None
    source_sha256: str | None = None

    @model_validator(mode="after")
    def _adds_up(self) -> TaskInfo:
        size = sum(term.size for term in self.observation_terms)
        if (size,) != self.observation_space.shape:
            raise ValueError(f"the terms have {size} numbers, the space {self.observation_space}")
        for term in self.observation_terms:
            image = len(term.shape) == 3 and np.prod(term.shape) == term.size
            if (term.columns and len(term.columns) != term.size) or (term.shape and not image):
                raise ValueError("a term has another number of columns than of numbers")
        if self.action_map and self.action_space.shape != (len(self.action_map.low),):
            raise ValueError("the action map is of another size than the action space")
        if self.action_map and {*self.action_space.low, *self.action_space.high} != {-1.0, 1.0}:
            raise ValueError("with an action map a policy acts in [-1, 1]")
        return self


def read_task_info(path: Path) -> dict[str, Any]:
    """The content of task.json, checked; UserError of one line if it is missing or damaged."""
    data = read_json(path)
    parse(TaskInfo, data, f"{path} is damaged")
    found: dict[str, Any] = data
    return found


def describe_task(simulation: Simulation) -> dict[str, Any]:
    """The observations and actions of a policy of this task, as JSON: the content of task.json."""
    task, action, to_task = simulation.task, simulation.action_space, simulation.action_map
    return {
        "name": task.name,
        "reference": task.reference,
        "options": task.options,
        "control_dt": simulation.dt,
        "observation_terms": [asdict(term) for term in simulation.observation_terms],
        "observation_space": _shape(simulation.observation_space),
        "action_space": _shape(action) | {"low": action.low.tolist(), "high": action.high.tolist()},
        "action_map": None if to_task is None else to_task.plain(),
        **hashes_of(task),
    }


def hashes_of(task: Task) -> dict[str, str | None]:
    """The hashes of the compiled model, and of the code unless it is that of the library."""
    source = source_of(type(task))
    return {
        "model_sha256": model_digest(task.compile()),
        "source_sha256": None if source is None else source.digest,
    }


def _shape(space: spaces.Box) -> dict[str, Any]:
    return {"shape": list(space.shape), "dtype": str(space.dtype)}


def spaces_of(task_info: Mapping[str, Any]) -> tuple[spaces.Box, spaces.Box]:
    """The observation and action spaces of a task.json."""
    observation, action = task_info["observation_space"], task_info["action_space"]
    kind = np.dtype(action["dtype"]).type
    low, high = np.array(action["low"], kind), np.array(action["high"], kind)
    (size,) = observation["shape"]
    return observation_space(size), spaces.Box(low, high, dtype=kind)


def map_of(task_info: Mapping[str, Any]) -> ActionMap | None:
    """The map from the policy's actions, in [-1, 1], to the task's, of a task.json.

    None where the policy acts in the task's own range, as in runs before there were maps.
    """
    plain = task_info.get("action_map")
    return None if plain is None else ActionMap.of(plain)


def range_of(task_info: Mapping[str, Any]) -> spaces.Box:
    """The range of the task's actions that the policy of a task.json commands."""
    to_task = map_of(task_info)
    return spaces_of(task_info)[1] if to_task is None else to_task.range


def terms_of(task_info: Mapping[str, Any]) -> tuple[ObservationTerm, ...]:
    """The observation terms of a task.json, what is privileged among them."""
    return tuple(ObservationTerm.of(term) for term in task_info["observation_terms"])


@dataclass(frozen=True)
class Contract:
    """The contract of one side: observations, actions, control step (s)."""

    observations: tuple[ObservationTerm, ...]
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    control_dt: float
    privileged_actor: bool = False
    """Whether the policy acts on the privileged terms too, so that it needs them."""

    commanded: tuple[str, ...] | None = None
    """The observation terms that are commanded; None where that is not known."""

    @classmethod
    def of(cls, task_info: Mapping[str, Any], privileged_actor: bool = False) -> Contract:
        """The contract in a task.json; actions are in the range of the task."""
        terms, acts = task_info["observation_terms"], range_of(task_info)
        known = all(term.get("commanded") is not None for term in terms)
        return cls(
            terms_of(task_info),
            _row(acts.low),
            _row(acts.high),
            task_info["control_dt"],
            privileged_actor,
            tuple(term["name"] for term in terms if term["commanded"]) if known else None,
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """How many numbers the policy sees and gives."""
        return sum(term.size for term in self.observations), len(self.action_low)


def _row(values: ArrayLike) -> tuple[float, ...]:
    return tuple(float(value) for value in np.ravel(values))


@dataclass(frozen=True)
class Difference:
    """One line of the contract, on both sides; `fits` says whether tensors can be copied."""

    item: str
    source: str
    target: str
    fits: bool

    @property
    def same(self) -> bool:
        """Whether both sides agree."""
        return self.source == self.target


def contract_of(simulation: Simulation) -> Contract:
    """The contract of what runs on a simulation."""
    terms, acts = simulation.observation_terms, simulation.action_range
    commanded = tuple(term.name for term in terms if term.commanded)
    bounds = _row(acts.low), _row(acts.high)
    return Contract(terms, *bounds, simulation.dt, commanded=commanded)


def compare(source: Contract, target: Contract) -> tuple[Difference, ...]:
    """Every line of the two contracts beside each other, in the order of the observation."""
    left = {term.name: term for term in source.observations}
    right = {term.name: term for term in target.observations}
    names = list(dict.fromkeys([*left, *right]))
    lines = [
        line
        for name in names
        for line in _term_lines(left.get(name), right.get(name), source.privileged_actor)
    ]
    order = _line("observation order", " ".join(left), " ".join(right))
    lines += [] if order.same or set(left) != set(right) else [order]
    lines.append(_line("action space", _actions(source), _actions(target)))
    step = f"{source.control_dt:g} s", f"{target.control_dt:g} s"
    lines.append(Difference("control step", *step, fits=True))
    if None not in (source.commanded, target.commanded) and source.commanded != target.commanded:
        flags = [", ".join(one.commanded or ()) or "none" for one in (source, target)]
        lines.append(Difference("commanded observations", flags[0], flags[1], fits=True))
    return tuple(lines)


def _line(item: str, source: str, target: str) -> Difference:
    return Difference(item, source, target, fits=source == target)


def _term_lines(
    left: ObservationTerm | None, right: ObservationTerm | None, needed: bool
) -> list[Difference]:
    """One line for a term; where its columns differ, one for each that is on one side only.

    What is privileged is not `needed` unless the actor sees it.
    """
    term = left or right
    assert term is not None
    may_differ = term.group == "privileged" and not needed
    lines = [_line(f"observation {term.name}", _term(left), _term(right))]
    if left and right and left.columns != right.columns:
        lines = [
            _line(f"observation {label}", *(_there(label, one) for one in (left, right)))
            for label in dict.fromkeys([*left.labels, *right.labels])
            if (label in left.labels) != (label in right.labels)
        ]
    return [replace(line, fits=line.fits or may_differ) for line in lines]


def _there(label: str, term: ObservationTerm) -> str:
    return "(1,)" if label in term.labels else "absent"


def _term(term: ObservationTerm | None) -> str:
    if term is None:
        return "absent"
    image = f"an image {term.shape} every {term.period:g} s"
    return image if term.shape else f"({term.size},) {term.unit}".strip()


def _actions(contract: Contract) -> str:
    bounds = collections.Counter(zip(contract.action_low, contract.action_high, strict=True))
    ranges = ", ".join(f"{count} in [{low:g}, {high:g}]" for (low, high), count in bounds.items())
    return ranges if len(bounds) == 1 else f"{ranges} ({contract.action_low})"


def require_fit(source: Contract, target: Contract, accept: bool = False) -> None:
    """Refuse a target whose contract differs from that of the source, with a table.

    Another control step is allowed. With `accept`, so is every difference that leaves the numbers
    of observations and actions as they are. Raises UserError that names what differs.
    """
    wrong = [line for line in compare(source, target) if not line.fits]
    if not wrong:
        return
    print_differences(wrong, "the source and the target")
    same_sizes = source.sizes == target.sizes
    if same_sizes and accept:
        return
    words = in_words(wrong, "in the source", "in the target")
    what = (
        f"the run does not fit the target: {words}; allowed: the same spaces, or the method's "
        "option match=by_name"
    )
    raise ChangedError(what) if same_sizes else UserError(what)


def require_unchanged(
    path: Path, before: Mapping[str, Any], simulation: Simulation, accept: bool = False
) -> None:
    """Compare the contract of the run at `path` with that of its task as it is now.

    A difference is printed as a table, and raises UserError unless it is accepted. If only the
    content of the model or of the code differs, it is a warning.
    """
    sides = Contract.of(before), contract_of(simulation)
    lines = [line for line in compare(*sides) if not line.same]
    if lines:
        print_differences(lines, f"{path} and its task", ("in the run", "now"))
        if accept:
            return
        words = in_words(lines, "in the run", "now")
        raise ChangedError(f"{path}: the task has changed: {words}")
    if not accept:
        warn_of_changes(path, before, simulation.task)


@dataclass(frozen=True, eq=False)
class RunContract:
    """The contract of a run's policy, to compare with each task in which it acts."""

    path: Path
    """The folder of the run."""
    task_info: Mapping[str, Any]
    """The content of its task.json."""
    observed: Mapping[str, Any]
    """The arguments of a simulation that shows what it observes."""
    domain: Domain | None
    """The domain in which a task describes itself as it did for the run."""
    accept_changes: bool = False
    """Whether differences were accepted when the run was loaded."""
    _compared: WeakSet[Task] = field(default_factory=WeakSet, repr=False)

    def require(self, task: Task, accept: bool = False) -> None:
        """Call `require_unchanged` once for each `task`."""
        if task not in self._compared:
            simulation = Simulation(task, self.domain, threads=1, **self.observed)
            accepted = accept or self.accept_changes
            require_unchanged(self.path, self.task_info, simulation, accepted)
            simulation.close()
            self._compared.add(task)


def print_differences(
    lines: Sequence[Difference], title: str, sides: Sequence[str] = SIDES
) -> None:
    """Print what differs in a table on standard error."""
    Console(stderr=True, markup=False, emoji=False).print(contract_table(lines, title, sides))


def in_words(lines: Iterable[Difference], left: str, right: str) -> str:
    """Each difference as a clause."""
    return "; ".join(f"{one.item} is {one.source} {left}, {one.target} {right}" for one in lines)


def warn_of_changes(path: Path, before: Mapping[str, Any], task: Task) -> None:
    """Warn if the model or the code of `task` is not that of the run at `path`."""
    now = hashes_of(task)
    changed = [word for key, word in HASHES.items() if _differ(before.get(key), now.get(key))]
    if changed:
        warnings.warn(
            f"{path}: {' and '.join(changed)} of the task changed since the run was made; its "
            "observations and actions fit",
            stacklevel=3,
        )


def _differ(before: Any, now: Any) -> bool:
    """Whether two hashes differ; one that is not known does not."""
    return None not in (before, now) and before != now


def contract_table(
    differences: Sequence[Difference], title: str = "Contract", sides: Sequence[str] = SIDES
) -> Table:
    """Every line of two contracts beside each other."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in ("", *sides, ""):
        table.add_column(heading, overflow="fold")
    for line in differences:
        table.add_row(line.item, line.source, line.target, "same" if line.same else "differs")
    return table
