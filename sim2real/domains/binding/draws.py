"""The draws of an episode: names, distributions, keys and courses of the entries of its context."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from sim2real.domains.binding.subject import Subject
from sim2real.domains.binding.variants import Pool
from sim2real.domains.distributions.correlation import Correlated, Coupling, bind_coupling
from sim2real.domains.distributions.distribution import Constant, Distribution
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.domains.entries.course import Changing, Course, Redraw
from sim2real.domains.entries.entry import Entry, Parameter
from sim2real.errors import UserError


class Draws:
    """Collects the entries of the context of the domain `name`; checks each when it is added."""

    def __init__(self, name: str, correlated: Sequence[Correlated], subject: Subject) -> None:
        self.domain_name, self.subject = name, subject
        self._correlated = correlated
        self.names: list[str] = []
        self.distributions: list[Distribution] = []
        self.courses: list[Changing] = []
        self.redraws: list[Redraw] = []
        self.startup: list[int] = []
        self.pool: Pool | None = None
        self._groups: dict[str, list[int]] = {}

    def error(self, label: str, problem: str) -> UserError:
        """The error that names domain and parameter."""
        return UserError(f"domain {self.domain_name!r}: {label}: {problem}")

    def draws(
        self, label: str, elements: Sequence[str], distribution: Distribution, shared: bool
    ) -> list[int]:
        """Context entries for the elements; returns the entry of each."""
        names = [label] if shared else [f"{label}:{name}" if name else label for name in elements]
        self.check_new(label, names, self.names)
        first = len(self.names)
        self.names += names
        self.distributions += [distribution] * len(names)
        return [first] * len(elements) if shared else list(range(first, first + len(names)))

    def draw_entry(self, entry: Entry, elements: Sequence[str]) -> list[int]:
        """Context entries for the elements of an entry, whose values take its course."""
        first = len(self.names)
        sources = self.draws(entry.label, elements, entry.distribution, entry.is_shared)
        self.change_entry(entry, first)
        return sources

    def check_new(self, label: str, names: Sequence[str], taken: Collection[str]) -> None:
        """UserError for a name of a draw that is `taken`."""
        for name in names:
            if name in taken:
                raise self.error(label, f"{name!r} is drawn twice; give one of them a 'name'")

    def check_interval(self, label: str, every: Distribution) -> None:
        """UserError for intervals `every` so many s of which no episode can have one."""
        shortest, subject = every.support[0], self.subject
        problem = ""
        if shortest < subject.control_dt:
            problem = f"shorter than a control step ({subject.control_dt:g} s)"
        elif shortest >= subject.episode_s:
            problem = f"as long as an episode ({subject.episode_s:g} s), so none ends"
        if problem:
            raise self.error(label, f"every: {shortest:g} s is {problem}")

    def note_when(self, parameter: Parameter, first: int) -> None:
        """Note when a parameter is drawn, whose context entries are those from `first` on."""
        if parameter.when == "startup":
            self.startup += range(first, len(self.names))

    def change_entry(self, entry: Entry, first: int) -> None:
        """Let the context entries from `first` on take the course of an entry; see `change`."""
        self.change(entry.course, entry.label, first, entry.kind.identity or 0.0)

    def change(
        self, course: Course | None, label: str, first: int, neutral: float | Sequence[float]
    ) -> None:
        """Let the context entries from `first` on take a course; `neutral` has no effect.

        The draws of the course itself follow them, as "label.step". Raises UserError for a drift
        and for new draws of an entry that is not drawn from a range.
        """
        if course is None:
            return
        columns = np.arange(first, len(self.names))
        key = key_of(",".join(self.names[column] for column in columns))
        if course.every is not None:
            distribution = self.distributions[first]
            if distribution.support[0] == distribution.support[1]:
                got = distribution.describe()
                raise self.error(label, f"only what has a range can be drawn anew; got {got}")
            self.check_interval(label, course.every)
            self.redraws.append(Redraw(columns, distribution, course.every, key))
            return
        ends = np.array([self.distributions[column].support for column in columns])
        low, high = ends.reshape(-1, 2).T
        if course.kind == "drift" and not (np.isfinite(ends).all() and (low < high).all()):
            got = self.distributions[first].describe()
            raise self.error(label, f"a drift stays within the range that is drawn from; got {got}")
        sources = {
            name: self.draws(f"{label}.{name}", [""], distribution, shared=True)[0]
            for name, distribution in course.draws().items()
        }
        values = np.broadcast_to(np.asarray(neutral, dtype=np.float64), columns.shape)
        self.courses.append(Changing(course.kind, columns, values, low, high, sources, key))

    def keys(self) -> tuple[int, ...]:
        """The keys of all draws: those of their names, of their groups, or of the geometry."""
        keys = [key_of(name) for name in self.names]
        for group, entries in self._groups.items():
            for entry in entries:
                keys[entry] = key_of(f"group {group}")
        if self.pool is not None:
            keys[self.pool.columns[0]] = key_of("geometry")  # the number that chooses a variant
        return tuple(keys)

    def coupling(self) -> Coupling | None:
        """The groups and correlations of the domain, once all draws are there."""
        try:
            coupling = bind_coupling(self.names, self._groups, self._correlated)
        except UserError as error:
            raise UserError(f"domain {self.domain_name!r}: {error}") from None
        self._check_when([] if coupling is None else coupling.ties)
        return coupling

    def _check_when(self, ties: Sequence[set[int]]) -> None:
        """UserError where entries that are drawn together are drawn at different times."""
        anew = {column for one in self.redraws for column in one.columns.tolist()}
        pool = [] if self.pool is None else [set(self.pool.columns.tolist())]
        for tie in (*ties, *pool):
            if tie & anew:
                raise self.error(
                    self.names[min(tie & anew)],
                    "it is grouped or correlated, so it cannot be drawn anew within an episode",
                )
            once = tie & {*self.startup}
            often = {c for c in tie - once if not isinstance(self.distributions[c], Constant)}
            if once and often:
                raise self.error(
                    self.names[min(once)],
                    f"it is drawn at startup, and {self.names[min(often)]} at each reset; what is "
                    "grouped, correlated or geometry is drawn at one time",
                )
