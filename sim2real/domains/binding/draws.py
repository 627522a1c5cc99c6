"""What an episode draws: names, distributions, keys and courses of the entries of its context."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from sim2real.domains.binding.variants import Pool
from sim2real.domains.distributions.correlation import Correlated, Coupling, bind_coupling
from sim2real.domains.distributions.distribution import Distribution
from sim2real.domains.distributions.draw_keys import key_of
from sim2real.domains.entries.course import Changing, Course
from sim2real.domains.entries.entry import Entry
from sim2real.errors import UserError


class Draws:
    """Collects the entries of the context of the domain `name`; checks each when it is added."""

    def __init__(self, name: str, correlated: Sequence[Correlated]) -> None:
        self.domain_name = name
        self._correlated = correlated
        self.names: list[str] = []
        self.distributions: list[Distribution] = []
        self.courses: list[Changing] = []
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
        """As `draws`, of an entry, whose values take its course."""
        first = len(self.names)
        sources = self.draws(entry.label, elements, entry.distribution, entry.is_shared)
        self.change_entry(entry, first)
        return sources

    def check_new(self, label: str, names: Sequence[str], taken: Collection[str]) -> None:
        """UserError for a name of a draw that is `taken`."""
        for name in names:
            if name in taken:
                raise self.error(label, f"{name!r} is drawn twice; give one of them a 'name'")

    def change_entry(self, entry: Entry, first: int) -> None:
        """As `change`, of an entry; its kind has no effect at its `identity`."""
        self.change(entry.course, entry.label, first, entry.kind.identity or 0.0)

    def change(
        self, course: Course | None, label: str, first: int, neutral: float | Sequence[float]
    ) -> None:
        """Let the context entries from `first` on take a course; `neutral` has no effect.

        The draws of the course itself follow them, as "label.step". Raises UserError for a drift
        of an entry that is not drawn from a range.
        """
        if course is None:
            return
        columns = np.arange(first, len(self.names))
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
        key = key_of(",".join(self.names[column] for column in columns))
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
            return bind_coupling(self.names, self._groups, self._correlated)
        except UserError as error:
            raise UserError(f"domain {self.domain_name!r}: {error}") from None
