"""The imperfections of n worlds: of their actuators, their sensors and their rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from sim2real.domains.plan import Plan
from sim2real.simulation.randomness import ACTUATION, SENSING, Clock
from sim2real.simulation.signals.signal import DelayedRewards, SignalPath
from sim2real.task import Array, BoolArray, IntArray


class Imperfections:
    """The imperfections between a policy and `num_envs` worlds, bound by a `plan`.

    `delays` are the engine's own actuator delays in s, (n, nu), where it has them. It knows neither
    batch nor model: a foreign environment is one world.
    """

    def __init__(
        self, plan: Plan, num_envs: int, control_dt: float, delays: Array | None = None
    ) -> None:
        self._actuation = SignalPath(plan.actuation, num_envs, control_dt, ACTUATION, delays)
        self._sensing = SignalPath(plan.sensing, num_envs, control_dt, SENSING)
        late = SignalPath(plan.reward, num_envs, control_dt, SENSING)
        self._rewards = DelayedRewards(late, num_envs)
        self._paths = {"actuation": self._actuation, "sensing": self._sensing, "reward": late}

    def draw(self, ids: IntArray, context: Array) -> None:
        """Take what the episodes of the worlds `ids` have drawn, (m, entries)."""
        for path in self._paths.values():
            path.draw(ids, context)

    def begin(self, truth: Array, commanded: Array, ids: IntArray, clock: Clock) -> Array:
        """Start the episodes of the worlds `ids`; return their first observations, (m, k).

        The actuators had always the command `commanded` (m, nu), no reward is outstanding, and the
        sensors have always seen the first state, `truth` (m, k); it is changed.
        """
        if self._actuation:
            self._actuation.rest(ids, commanded)
        self._rewards.begin(ids)
        return self._sensing.begin(truth, ids, clock)

    def command(
        self, action: NDArray[Any], clock: Clock, active: BoolArray | None = None
    ) -> NDArray[Any]:
        """The command that the actuators get from an `action` (n, nu)."""
        return self._actuation.apply(action, clock, active)

    def observe(self, truth: Array, clock: Clock, active: BoolArray | None = None) -> Array:
        """The readings of the sensors for the `truth` (n, k)."""
        return self._sensing.apply(truth, clock, active)

    def observe_first(self, truth: Array, ids: IntArray, clock: Clock) -> Array:
        """The readings in worlds `ids` that were put into another state: the sensors begin anew."""
        return self._sensing.begin(truth, ids, clock)

    def delay_reward(
        self, reward: Array, over: BoolArray, clock: Clock, active: BoolArray | None = None
    ) -> Array:
        """The rewards that arrive, (n,); all outstanding ones where the episode is `over`."""
        return self._rewards.apply(reward, over, clock, active)

    # -- all of it, to save and to restore ---------------------------------------------------

    def snapshot(self) -> dict[str, Array]:
        """Copies of all memories, by name; what an episode has drawn is not among them."""
        memories = {
            f"{name}.{key}": values
            for name, path in self._paths.items()
            for key, values in path.snapshot().items()
        }
        return memories | self._rewards.snapshot()

    def restore(self, memories: Mapping[str, NDArray[Any]], clock: Clock) -> None:
        """Take up the `memories` of a snapshot at the control steps of the `clock`."""
        for name, path in self._paths.items():
            start = f"{name}."
            own = {key[len(start) :]: memories[key] for key in memories if key.startswith(start)}
            path.restore(own, clock)
        self._rewards.restore(memories)
