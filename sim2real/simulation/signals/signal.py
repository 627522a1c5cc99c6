"""The stages of a signal: from the policy to the actuators, from the state to the observation, and
from the reward to the learner."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from sim2real.domains.distributions.distribution import Distribution, Normal, Uniform
from sim2real.domains.entries.delays import EngineJitter
from sim2real.domains.entries.stage import Effect, Moment, Rows, Stage, StepDraws
from sim2real.domains.entries.stages import Length, Unit
from sim2real.simulation.randomness import Clock
from sim2real.task import Array, BoolArray, IntArray

BLOCK = 32
"""Control steps whose random numbers are drawn at once, so that no step loops over the worlds."""

_Kind = TypeVar("_Kind")


class StepNumbers:
    """Random numbers of every control step, drawn in blocks of `BLOCK` steps a world.

    Those of control step s of an episode are in row s % BLOCK of the block s // BLOCK of the
    `stream`, lane after lane. Each of the `draws`, with what it is drawn from, has a generator
    under its own key, so what else is drawn changes none of its numbers.
    """

    def __init__(
        self, draws: Sequence[tuple[StepDraws, Distribution]], num_envs: int, stream: int
    ) -> None:
        self._stream = stream
        lanes = [distribution for draw, distribution in draws for _ in range(draw.count)]
        self._values = np.zeros((num_envs, len(lanes), BLOCK))
        ends = np.cumsum([draw.count for draw, _ in draws]).tolist()
        parts = [
            (draw.key, isinstance(distribution, Normal), slice(end - draw.count, end))
            for (draw, distribution), end in zip(draws, ends, strict=True)
        ]
        self._parts = [
            [(key, normal, row[part]) for key, normal, part in parts] for row in self._values
        ]
        shifts, factors = np.array([_affine(one) for one in lanes]).T
        self._factors = factors
        self._shifts = shifts if shifts.any() else None
        others = [None if isinstance(one, Normal | Uniform) else one for one in lanes]
        self._others = [(one, part) for one, part in _runs(others) if one is not None]

    def refill(self, ids: IntArray, clock: Clock) -> None:
        """Draw the blocks that the worlds `ids` are in."""
        if not len(ids):
            return
        for world in ids.tolist():
            episode, block = clock.episodes.item(world), clock.steps.item(world) // BLOCK
            for key, normal, values in self._parts[world]:
                generator = clock.generators.at(episode, self._stream, block, key)
                fill = generator.standard_normal if normal else generator.random
                fill(out=values)
        for distribution, part in self._others:
            self._values[ids, part] = distribution.quantile(self._values[ids, part])

    def at(self, ids: IntArray, steps: IntArray, clock: Clock) -> Array:
        """The numbers of the present control step, (m, lanes), which of the worlds `ids` is (m,)
        `steps`."""
        row = steps % BLOCK
        self.refill(ids[row == 0], clock)
        numbers: Array = self._values[ids, :, row]
        numbers *= self._factors
        if self._shifts is not None:
            numbers += self._shifts
        return numbers


def _runs(kinds: Sequence[_Kind]) -> Iterator[tuple[_Kind, slice]]:
    """The lanes side by side that are of one kind."""
    first = 0
    for kind, run in itertools.groupby(kinds):
        part = slice(first, first + len(list(run)))
        yield kind, part
        first = part.stop


def _affine(distribution: Distribution) -> tuple[float, float]:
    """The shift and factor that make its draws of standard normal or of uniform numbers."""
    if isinstance(distribution, Normal):
        return distribution.mean, distribution.std
    if isinstance(distribution, Uniform):
        return distribution.low, distribution.high - distribution.low
    return 0.0, 1.0


class SignalPath:
    """The stages of one signal in n worlds, in the order of its `effects`.

    Made from those of a plan, which may be none. `delays` are the engine's own delays of
    the signal, (n, columns), where a jitter changes them.
    """

    def __init__(
        self,
        effects: Sequence[Effect],
        num_envs: int,
        control_dt: float,
        stream: int,
        delays: Array | None = None,
    ) -> None:
        self._all = np.arange(num_envs)
        draws: list[tuple[StepDraws, Distribution]] = []
        places: dict[type[Stage], list[tuple[Effect, IntArray]]] = {}
        lanes = 0
        for effect in effects:
            first = 0 if effect.random is None else lanes
            places.setdefault(effect.stage, []).append((effect, first + effect.lanes))
            if effect.random is not None:
                draws += [(draw, effect.random) for draw in effect.draws]
                lanes += sum(draw.count for draw in effect.draws)
        sources = {kind: [effect.sources for effect, _ in places[kind]] for kind in places}
        self._sources = np.concatenate([*itertools.chain(*sources.values()), self._all[:0]])
        self._magnitudes = np.zeros((num_envs, len(self._sources)))
        self._stages: dict[str, Stage] = {}
        self._parts: dict[str, slice] = {}
        first = 0
        for kind in places:
            part = slice(first, first + sum(map(len, sources[kind])))
            first = part.stop
            found = [effect for effect, _ in places[kind]]
            lane = np.concatenate([lane for _, lane in places[kind]])
            magnitudes = self._magnitudes[:, part]
            self._stages[kind.name] = kind(found, lane, magnitudes, control_dt)
            self._parts[kind.name] = part
        self._numbers = StepNumbers(draws, num_envs, stream) if draws else None
        for stage in self._stages.values():
            if isinstance(stage, EngineJitter) and delays is not None:
                stage.delays = delays
            length = self._stages.get(Length.name)
            if isinstance(stage, Unit) and isinstance(length, Length):
                stage.before = length

    def __bool__(self) -> bool:
        return bool(self._stages)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, in the order in which the signal passes them."""
        return tuple(self._stages.values())

    def draw(self, ids: IntArray, context: Array) -> None:
        """Take what the episodes of the worlds `ids` have drawn, (m, entries)."""
        if not len(self._sources):
            return
        drawn = context[:, self._sources]
        self._magnitudes[ids] = drawn
        for kind, stage in self._stages.items():
            stage.draw(ids, drawn[:, self._parts[kind]])

    def rest(self, ids: IntArray, values: Array) -> None:
        """Let the signal of the worlds `ids` have been `values`, (m, columns), always."""
        for stage in self._stages.values():
            stage.start(ids, values)

    def begin(self, values: Array, ids: IntArray, clock: Clock) -> Array:
        """Begin at `rest`, and change the first values, (m, columns), of an episode in place."""
        if not self._stages:
            return values
        moment = self._moment(ids, ids, clock)
        for stage in self._stages.values():
            stage.begin(values, moment)
        return values

    def apply(self, values: Array, clock: Clock, active: BoolArray | None = None) -> Array:
        """Pass the present values (n, columns) of all worlds; new ones.

        Worlds that are not `active` (n,) keep their memories, and their values as they are.
        """
        if not self._stages:
            return values
        passed = np.array(values, dtype=np.float64)
        if active is None or active.all():
            self._apply(passed, self._moment(slice(None), self._all, clock))
            return passed
        ids = np.flatnonzero(active)
        if len(ids):
            some = passed[ids]
            self._apply(some, self._moment(ids, ids, clock))
            passed[ids] = some
        return passed

    def _apply(self, values: Array, moment: Moment) -> None:
        for stage in self._stages.values():
            stage.apply(values, moment)

    def _moment(self, rows: Rows, ids: IntArray, clock: Clock) -> Moment:
        steps = clock.steps[rows]
        if self._numbers is None:
            return Moment(rows, ids, steps, np.zeros((len(ids), 0)))
        return Moment(rows, ids, steps, self._numbers.at(ids, steps, clock))

    # -- all of it, to save and to restore ---------------------------------------------------

    def snapshot(self) -> dict[str, Array]:
        """Copies of all memories, by name; what an episode has drawn is not among them."""
        return {
            f"{kind}.{name}": values.copy()
            for kind, stage in self._stages.items()
            for name, values in stage.memory.items()
        }

    def restore(self, memories: Mapping[str, Array], clock: Clock) -> None:
        """Take up the `memories` of a snapshot at the control steps of the `clock`."""
        for kind, stage in self._stages.items():
            for name, values in stage.memory.items():
                values[...] = memories[f"{kind}.{name}"]
        if self._numbers is not None:
            self._numbers.refill(self._all, clock)


class DelayedRewards:
    """Delayed rewards; at the end of an episode all that is outstanding arrives."""

    def __init__(self, path: SignalPath, num_envs: int) -> None:
        self._path = path
        self._outstanding = np.zeros(num_envs)

    def begin(self, ids: IntArray) -> None:
        """Nothing is outstanding at the start of an episode."""
        if self._path:
            self._outstanding[ids] = 0.0
            self._path.rest(ids, np.zeros((len(ids), 1)))

    def apply(
        self, reward: Array, over: BoolArray, clock: Clock, active: BoolArray | None = None
    ) -> Array:
        """The rewards that arrive, (n,); all outstanding ones where the episode is `over`, (n,)."""
        if not self._path:
            return reward
        outstanding = self._outstanding + reward
        delayed = self._path.apply(reward[:, None], clock, active)[:, 0]
        arrived = np.where(over, outstanding, delayed)
        left = outstanding - arrived
        self._outstanding = left if active is None else np.where(active, left, self._outstanding)
        return arrived

    def snapshot(self) -> dict[str, Array]:
        """A copy of what is outstanding; the path has its own snapshot."""
        return {"owed": self._outstanding.copy()} if self._path else {}

    def restore(self, memories: Mapping[str, Array]) -> None:
        """Continue from a snapshot of the rewards that are not given yet."""
        if self._path:
            self._outstanding[...] = memories["owed"]
