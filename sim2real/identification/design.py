"""Exploration that tells more: noise on the actions under which a log determines the unknowns best.

The information of a log about the unknowns, with the start states of its windows eliminated, is
that of the local stage (`fit.equations_at`): finite differences of replays in the batch. Here the
log is one that the policy makes in the nominal world, and the residuals are the noise expected
there. The best excitation has the largest

    G = - mean_i 1/2 log (P_ii [(P + n/m sum_w I_w)^-1]_ii)

with the information I_w of w = 1..m windows of n and that of the prior, P: the mean over the d
unknowns of how many nats their standard deviations shrink (an A-optimal design on a logarithmic
scale; Atkinson, Donev and Tobias 2007, "Optimum Experimental Designs, with SAS"; for robots:
Swevers et al. 1997, "Optimal robot excitation and identification"). A cross-entropy search
(Rubinstein and Kroese 2004) varies the size for each action and the correlation time. An excitation
with more failures than white noise of the usual size has is not allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from sim2real.config import LAST_SEED
from sim2real.domains import Domain
from sim2real.domains.distributions.distribution import Constant
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.rollout import Policy
from sim2real.identification.excitation import Excitation
from sim2real.identification.family import family_of
from sim2real.identification.fit import equations_at, start
from sim2real.identification.identify import CALIBRATED, horizon_of
from sim2real.identification.log import Log
from sim2real.identification.problem import Problem
from sim2real.identification.record import MOST_RECORDED, record
from sim2real.identification.replay import Replay
from sim2real.identification.slopes import principal_directions
from sim2real.identification.windows import channels_of, cut
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.actions import Choice
from sim2real.task import Array, Task

USUAL = 0.2
"""Standard deviation of the white noise that designs are compared with, in halves of the range."""
NOISE = 0.05
"""Noise expected of a channel, as a share of its change in a step with the usual excitation."""
WORLDS = 4
"""Worlds that make a log together."""
GENERATIONS, CANDIDATES, ELITES = 4, 8, 3
SPREAD = 0.7
"""Standard deviation of the logarithms of the first generation."""
LEAST = 0.1
"""Smallest size of an action's noise, as a part of the largest one allowed."""
SHORTEST, LONGEST = 0.3, 0.5
"""Correlation times: the shortest one in control steps, the longest one in s."""
TOO_MANY = 1e6
"""What a fall beyond the allowed ones counts, in nats."""
WINDOWS, REPLAYED = 24, 1_280
"""Windows whose information is computed, and replays that are stepped together."""


@dataclass(frozen=True)
class Effect:
    """What a log with an excitation would tell, as the nominal world predicts it.

    `gain` in nats; `std` (d,) the standard deviations of the unknowns, as shares of the prior's;
    `falls` the failures in the log. `gain` is -inf where episodes are too short to identify.
    """

    excitation: Excitation
    gain: float
    std: Array
    falls: int

    def merit(self, allowed: int) -> float:
        """The gain; for more falls than `allowed`, less than any gain, and less for each fall."""
        return self.gain if self.falls <= allowed else -TOO_MANY * (self.falls - allowed)


@dataclass(frozen=True)
class Design:
    """The best excitation found, the usual one, and what logs with them would tell.

    `names` (d,) are the unknowns; `simulated_steps` the control steps of all simulations.
    """

    names: tuple[str, ...]
    best: Effect
    usual: Effect
    simulated_steps: int

    @property
    def excitation(self) -> Excitation:
        """The excitation to record with."""
        return self.best.excitation

    @property
    def shrink(self) -> dict[str, float]:
        """The standard deviation of each unknown, relative to that with the usual noise."""
        ratio = self.best.std / self.usual.std
        return dict(zip(self.names, ratio.tolist(), strict=True))

    @property
    def sentence(self) -> str:
        """The design in one line."""
        sizes = ", ".join(f"{one:.2g}" for one in self.excitation.std)
        ratio = float(np.median(list(self.shrink.values())))
        return (
            f"noise of {sizes} halves of the range, correlated over {self.excitation.time:.2g} s: "
            f"standard deviations {ratio:.2f} times those with white noise of {USUAL:g} (median)"
        )


def design_excitation(
    task: str | Task,
    policy: Policy,
    steps: int,
    family: str | Domain | None = None,
    *,
    actions: Choice = "own",
    most: float = 0.5,
    falls: int | None = None,
    seed: int = 0,
    threads: int = 0,
    report: Callable[[float], None] | None = None,
) -> Design:
    """Find the noise on the actions of `policy` with which `steps` control steps tell most.

    What may differ is a `family` as in `identify`; `actions` says how the policy gives actions, as
    in a Simulation. `most` is the largest size of the noise, in
    halves of the range of an action; `falls` the most failures in a log of that length in the
    nominal world, by default those with the usual white noise. All steps are simulated. `report`
    gets the part that is done. Raises UserError for a family without ranges, and where no
    excitation has so few failures, or leaves episodes that are long enough.
    """
    whole_number("steps", steps, WORLDS, MOST_RECORDED)
    whole_number("seed", seed, 0, LAST_SEED)
    if not 0.0 < most <= 1.0:
        raise UserError(f"most is {most:g}; allowed: above 0, to 1 half of the range")
    loaded = load_task(task)
    found = family_of(loaded, family)
    replay = Replay(found, REPLAYED, threads)
    try:
        predict = _Predictor(replay, policy, actions, steps, seed)
        return _searched(predict, most, falls, np.random.default_rng(seed), report or _silent)
    finally:
        replay.close()


def _searched(
    predict: _Predictor,
    most: float,
    falls: int | None,
    rng: np.random.Generator,
    report: Callable[[float], None],
) -> Design:
    """Cross-entropy search over the logarithms of the sizes and of the correlation time."""
    usual = best = predict.usual
    allowed = usual.falls if falls is None else falls
    sizes = [min(USUAL, most)] * predict.actions
    mean, std = np.log([*sizes, predict.dt]), np.full(predict.actions + 1, SPREAD)
    low = np.log([*[LEAST * most] * predict.actions, SHORTEST * predict.dt])
    high = np.log([*[most] * predict.actions, LONGEST])
    for number in range(GENERATIONS):
        points = mean + std * rng.standard_normal((CANDIDATES, len(mean)))
        points = np.clip(points, low, high)
        effects = []
        for place, point in enumerate(np.exp(points)):
            effects.append(predict(Excitation(tuple(point[:-1].tolist()), float(point[-1]))))
            report((number * CANDIDATES + place + 1) / (GENERATIONS * CANDIDATES))
        order = np.argsort([-one.merit(allowed) for one in effects], kind="stable")
        best = max(best, effects[order[0]], key=lambda one: one.merit(allowed))
        elites = points[order[:ELITES]]
        mean, std = elites.mean(axis=0), elites.std(axis=0)
    if best.falls > allowed:
        raise UserError(f"every excitation leads to {best.falls} falls or more; allowed: {allowed}")
    if not np.isfinite(best.gain):
        raise UserError("no excitation leaves episodes that are long enough to identify from")
    return Design(predict.family.names, best, usual, predict.simulated_steps)


class _Predictor:
    """What logs of a policy in the nominal world of a family tell, by their excitation."""

    def __init__(
        self, replay: Replay, policy: Policy, actions: Choice, steps: int, seed: int
    ) -> None:
        self.family, self.dt = replay.family, replay.dt
        self._options: Any = {"actions": actions, "history": getattr(policy, "history", 1)}
        self._replay, self._policy, self._steps, self._seed = replay, policy, steps, seed
        names, values = self.family.names, self.family.nominal_values.tolist()
        constants = {name: Constant(one) for name, one in zip(names, values, strict=True)}
        self._world = self.family.with_distributions(constants, "nominal")
        with closing(self._worlds()) as worlds:
            self.actions = int(np.prod(worlds.action_space.shape))
        self._recorded = 0
        usual = Excitation((USUAL,))
        log = self._log(usual)
        self._noise = NOISE * channels_of(log, replay).scale
        self._horizon = horizon_of([log], replay)
        self._directions: Array | None = None
        self.usual = self(usual)

    def __call__(self, excitation: Excitation) -> Effect:
        log = self._log(excitation)
        assert log.terminated is not None
        falls = int(log.terminated.sum())
        precision = np.diag(self.family.prior_information(self.family.nominal))
        try:
            information = precision + self._information(log)
        except UserError:  # too few windows
            return Effect(excitation, -np.inf, np.ones(len(precision)), falls)
        std = np.sqrt(np.diag(np.linalg.inv(information)) * np.diag(precision))
        return Effect(excitation, float(-np.log(std).mean()), std, falls)

    def _log(self, excitation: Excitation) -> Log:
        """The same episodes each time, but for the excitation."""
        self._recorded += self._steps
        with closing(self._worlds()) as worlds:
            return record(worlds, self._policy, self._steps, excitation, self._seed)

    def _worlds(self) -> Simulation:
        task, seed = self.family.task, self._seed
        return Simulation(task, self._world, WORLDS, seed, threads=1, **self._options)

    @property
    def simulated_steps(self) -> int:
        """Control steps of all logs and replays so far."""
        return self._recorded + self._replay.simulated

    def _information(self, log: Log) -> Array:
        """The information of the log about the shares, as the posterior counts it, (d, d)."""
        channels = channels_of(log, self._replay)
        windows = cut(log, self._replay, channels, self._horizon)
        count = min(WINDOWS, len(windows))
        some = windows.take(np.linspace(0, len(windows) - 1, count).astype(np.intp))
        problem = Problem(self._replay, some, channels)
        used = channels.used
        fit = start(problem, self.family.nominal)
        noise = np.broadcast_to(self._noise[used] / channels.scale[used], fit.noise.shape)
        fit = dataclasses.replace(fit, noise=noise, directions=self._directions)
        found = equations_at(problem, fit).tempered(CALIBRATED).total
        if self._directions is None:
            prior = np.diag(self.family.precision(fit.shares))
            self._directions = principal_directions(problem, prior + found, fit.shares)
        return found * (len(windows) / count)


def _silent(done: float) -> None:
    """Report nothing."""
