"""The one interface of adaptive randomization: an SB3 callback that moves the distributions."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from sim2real.config import Config, parse
from sim2real.domains.distributions.distribution import Distribution
from sim2real.errors import UserError
from sim2real.learning.adaptive.episodes import Episodes
from sim2real.learning.adaptive.space import Space, adaptable
from sim2real.learning.callbacks import simulation_behind
from sim2real.simulation import Simulation
from sim2real.task import Array


class Options(Config):
    """The options of all methods."""

    parameters: tuple[str, ...] = ()
    """Context entries to adapt, or their names before the colon; by default all that can be."""


class AdaptiveRandomization(BaseCallback, abc.ABC):
    """Adapt the distributions of a domain to what the policy can do.

    The simulation's domain is the outer limit. At the end of each rollout the method sees the
    episodes that ended and may move the distributions; episodes that start after that are drawn
    from the new ones. Works on the environments of `make_vec_env`, wrapped or not; with `state`
    and `restore` a resumed training equals an uninterrupted one.

    Writes to TensorBoard, under worlds/randomization/: low/<name> and high/<name>, the present
    range; entropy/<name>, in nats, 0 for the whole of the domain's distribution and negative for
    less; entropy, their sum; and what else the method reports.

    A method defines `Options`, `_begin`, `_update`, `_shares`, `_range`, `_entropies`, and
    `_method_state` with `_restore_method`.
    """

    name: ClassVar[str]
    option_type: ClassVar[type[Options]]
    independent: ClassVar[bool] = True
    """Whether it can adapt only what the domain neither groups nor correlates."""

    options: Options
    space: Space
    episodes: Episodes

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = parse(self.option_type, options, f"{self.name} options")
        self._simulation: Simulation | None = None
        self._saved: Mapping[str, Any] | None = None
        self._logged: dict[str, float] = {}

    # -- what a method defines ---------------------------------------------------------------

    @abc.abstractmethod
    def _begin(self) -> None:
        """Take up the initial distributions of `self.space`."""

    @abc.abstractmethod
    def _update(self) -> Mapping[str, float] | None:
        """Move the distributions by `self.episodes`; what to log besides, None if none moved."""

    @abc.abstractmethod
    def _shares(self) -> Sequence[Distribution]:
        """The present distribution of each entry's share of the domain."""

    @abc.abstractmethod
    def _range(self) -> tuple[Array, Array]:
        """The shares, (d,) each, between which nearly all is drawn."""

    @abc.abstractmethod
    def _entropies(self) -> Array:
        """The entropy of each share, (d,), finite."""

    @abc.abstractmethod
    def _method_state(self) -> dict[str, Any]:
        """The method's own memory, as JSON."""

    @abc.abstractmethod
    def _restore_method(self, state: Mapping[str, Any]) -> None:
        """Go on from a memory."""

    def _ends(self) -> tuple[Sequence[tuple[str, str]], float]:
        """Boundaries on which episodes are placed, and the probability of that."""
        return (), 0.0

    # -- the callback ------------------------------------------------------------------------

    @property
    def simulation(self) -> Simulation:
        """The worlds that are adapted."""
        if self._simulation is None:
            raise UserError(f"{self.name} has not begun: it needs a training")
        return self._simulation

    def attach(self, simulation: Simulation) -> None:
        """Begin with this simulation; a training calls this itself.

        Raises UserError where there is nothing to adapt.
        """
        self.space = adaptable(simulation, self.options.parameters, self.independent)
        self.episodes = Episodes(simulation.num_envs)
        self._begin()
        self._simulation = simulation
        self._apply()

    def state(self) -> dict[str, Any]:
        """The distributions and the episodes gathered so far, as JSON."""
        return {
            "names": list(self.space.names),
            "episodes": self.episodes.state(),
            "method": self._method_state(),
            "told": self._logged,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state once the training starts; UserError then if it does not fit."""
        self._saved = state

    def _on_training_start(self) -> None:
        simulation = simulation_behind(self.training_env, "adaptive randomization")
        if self._simulation is not simulation:
            self.attach(simulation)
        if self._saved is None:
            self.episodes.restart()
        else:
            self._adopt(self._saved)
            self._saved = None
        self._update_logged({})

    def _adopt(self, state: Mapping[str, Any]) -> None:
        if list(state.get("names", ())) != list(self.space.names):
            raise UserError(
                f"the state of {self.name} is of other parameters: "
                f"{', '.join(state.get('names', ())) or 'none'}"
            )
        self.episodes.restore(state["episodes"])
        self._restore_method(state["method"])
        self._logged = dict(state["told"])
        self._apply()

    def _on_step(self) -> bool:
        self.episodes.tick()
        dones = self.locals["dones"]
        if np.any(dones):
            worlds = np.flatnonzero(dones)
            for world in worlds.tolist():
                self.episodes.finish(world, self.locals["infos"][world])
            begun = self.simulation.episode_indices[worlds].tolist()
            self.episodes.begin(worlds, self.simulation.ends_of(begun))
        return True

    def _on_rollout_end(self) -> None:
        found = self._update()
        if found is not None:
            self._apply()
            self._update_logged(found)
        for key, value in self._logged.items():
            # a table on a terminal would have too many rows
            self.logger.record(f"worlds/randomization/{key}", value, exclude=("stdout", "log"))

    def _apply(self) -> None:
        self.simulation.redistribute(self.space.within(self._shares()), *self._ends())

    def _update_logged(self, more: Mapping[str, float]) -> None:
        """Work out what to log until the next update."""
        low, high = (self.space.values(shares) for shares in self._range())
        entropies = self._entropies()
        for name, *values in zip(self.space.names, low, high, entropies, strict=True):
            for kind, value in zip(("low", "high", "entropy"), values, strict=True):
                self._logged[f"{kind}/{name}"] = float(value)
        self._logged["entropy"] = float(np.sum(entropies))
        self._logged |= more
