"""A domain for any Gymnasium environment that runs on MuJoCo."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium
import mujoco
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from sim2real.domains import Domain, bind
from sim2real.errors import UserError
from sim2real.simulation.context import ContextDraws
from sim2real.simulation.disturbances.disturbances import Disturbances
from sim2real.simulation.front_ends.foreign import (
    AnyEnv,
    Terms,
    check_foreign,
    foreign_domain,
    subject_of,
)
from sim2real.simulation.front_ends.model_writer import ModelWriter
from sim2real.simulation.front_ends.reset_options import (
    EPISODE,
    copy_options,
    episodes_of,
    one_seed,
)
from sim2real.simulation.front_ends.screen import require_screen
from sim2real.simulation.quaternions import find_foreign_quaternions
from sim2real.simulation.randomness import START, Clock, EpisodeGenerators
from sim2real.simulation.signals.imperfections import Imperfections
from sim2real.simulation.warnings import BAD_STATE, warnings_logged
from sim2real.task import Array

_SIZES = ("nq", "nv", "nu", "na", "nbody", "njnt", "ngeom", "nsite", "ntendon", "nsensor", "neq")
"""The sizes that two models with the same elements have in common, besides the names."""

_ONE = np.zeros(1, dtype=np.int64)  # the one world there is


def episode_seed(seed: int, episode: int) -> int:
    """The seed with which episode number `episode` of `seed` resets the environment itself.

    The first episode of a seed is that of the bare environment: `env.reset(seed=seed)`.
    """
    if episode == 0:
        return seed
    return int(EpisodeGenerators(seed).at(episode, START, 0).integers(2**31))


class DomainWrapper(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """`env` in `domain`: `DomainWrapper(gymnasium.make("FetchReach-v4"), "my.yaml:worn")`.

    `env.unwrapped` has `model` (MjModel) and `data` (MjData), as those of Gymnasium,
    gymnasium-robotics and subclasses of `MujocoEnv` do. `domain` is a Domain, its data, or
    "file.yaml:name"; None is the model as it is. Values are computed from the model as it was when
    it was wrapped, and `close` gives it back so.

    `reset(seed=s)` starts the first episode of seed s, every further `reset()` the next one, and
    `reset(options={"episode": k})` the k-th; the seed is 0 if none was ever given. All draws of an
    episode depend on its seed and number alone, the environment's own among them (`episode_seed`).
    `info["context"]` has the draws; `info["unstable"]` marks a step after which MuJoCo reset the
    state or ignored the controls: such an episode is terminated, with a reward of 0 and the last
    observation that was good.

    An environment may make its model anew when it is reset, with the same elements: the domain then
    changes that one, and its first observation is the one that the environment computed before.

    Raises UserError for an environment without a model, for a domain that does not fit it, and
    where the environment makes an observation or a reward that is not finite of sound physics.
    """

    def __init__(self, env: AnyEnv, domain: Domain | Mapping[str, Any] | str | None = None) -> None:
        self.domain = foreign_domain(domain)
        plain = {"name": self.domain.name, **self.domain.plain()}
        RecordConstructorArgs.__init__(self, domain=plain)
        gymnasium.Wrapper.__init__(self, env)
        require_screen(env.render_mode)
        check_foreign(self.domain)
        self._context: dict[str, float] = {}
        self._observation: Any = None
        self._generators = EpisodeGenerators(0)
        self._episode = -1
        self._steps = np.zeros(1, dtype=np.int64)
        self._terms = Terms(env.observation_space)
        self._bind(env)

    def _bind(self, env: AnyEnv) -> None:
        """Take up the model that the environment has at present."""
        subject = dataclasses.replace(subject_of(env), quaternions=self._quaternions(env))
        self._model: mujoco.MjModel = env.unwrapped.model  # type: ignore[attr-defined]
        self._data: mujoco.MjData = env.unwrapped.data  # type: ignore[attr-defined]
        plan = bind(self.domain, self._model, subject)
        self._names = plan.names
        self._draws = ContextDraws(plan)
        self._writer = ModelWriter(self._model, plan)
        self._dt = subject.control_dt
        self._disturbances = Disturbances(plan, 1, self._dt, _OneWorld(self._data))
        self._imperfections = Imperfections(plan, 1, self._dt)
        self._acts, self._senses = bool(plan.actuation), bool(plan.sensing)
        self._delays_reward = bool(plan.reward)
        self._late = [
            e.sources for e in plan.actuation if e.stage.name == "delay" and len(e.sources)
        ]

    @property
    def context_names(self) -> tuple[str, ...]:
        """The names of the values that the domain draws for an episode."""
        return self._names

    @property
    def context(self) -> dict[str, float]:
        """The draws of the present episode, by name; empty before the first."""
        return dict(self._context)

    @property
    def episode(self) -> int:
        """The number of the present episode under its seed; -1 before the first."""
        return self._episode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start the next episode; with `seed` its first; with options["episode"] that one.

        What else is among the options goes to the environment.
        """
        given = copy_options(options)
        seed = one_seed(seed)
        if seed is not None:
            self._generators = EpisodeGenerators(seed)
        following = 0 if seed is not None else self._episode + 1
        asked = episodes_of(given, 1)
        given.pop(EPISODE, None)
        self._episode = following if asked is None else int(asked[0])
        self._steps[:] = 0
        draws = self._begin()
        own = episode_seed(self._generators.seed, self._episode)
        with warnings_logged():
            observation, info = self.env.reset(seed=own, options=given or None)
        if self.env.unwrapped.model is not self._model:  # type: ignore[attr-defined]
            draws = self._bind_anew()
        self._disturbances.begin(self._clock, _ONE, draws)
        self._check("reset", observation)
        self._observation = self._seen_first(observation)
        return self._observation, info | {"context": dict(self._context)}

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """One control step. Raises UserError for an action that is not finite."""
        if not np.isfinite(action).all():
            raise UserError(f"an action must be finite, got {np.asarray(action).tolist()}")
        self._disturbances.write(self._clock)
        self._forget_warnings()
        with warnings_logged():
            truth, reward, terminated, truncated, info = self.env.step(self._command(action))
        self._steps += 1
        unstable = not self._sound()
        if unstable:
            reward, terminated = 0.0, True
        else:
            self._check("step", truth, reward)
            self._observation = self._seen(truth)
        reward = self._delayed(reward, terminated or truncated)
        more = {"context": dict(self._context), "unstable": unstable}
        return self._observation, reward, terminated, truncated, info | more

    def close(self) -> None:
        """Give the model back as it was found, and close the environment."""
        self._writer.restore()
        super().close()

    def _bind_anew(self) -> Array:
        """Change the model that the environment has made in its reset; the episode's draws.

        Raises UserError where its elements are not those of the last one.
        """
        unwrapped: Any = self.env.unwrapped
        differ = [
            f"{name} is {getattr(unwrapped.model, name)}, not {getattr(self._model, name)}"
            for name in _SIZES
            if getattr(unwrapped.model, name) != getattr(self._model, name)
        ]
        if unwrapped.model.names != self._model.names or differ:
            raise UserError(
                f"{type(unwrapped).__name__} makes another model when it is reset; a domain needs "
                f"one with the same elements: {', '.join(differ) or 'names differ'}"
            )
        self._bind(self.env)
        draws = self._begin()
        mujoco.mj_forward(self._model, self._data)
        return draws

    def _quaternions(self, env: AnyEnv) -> tuple[int, ...]:
        """The first columns of the quaternions in the observation, as far as it can be tried."""
        unwrapped: Any = env.unwrapped

        def observe() -> Array:
            return self._terms.numbers(unwrapped._get_obs())

        return find_foreign_quaternions(unwrapped, observe, self._terms.terms, self.domain)

    def _begin(self) -> Array:
        """Draw the episode's context, (1, entries), and write it into the model."""
        if not self._names:
            return np.zeros((1, 0))
        draws = self._draws.draw(self._generators, [self._episode])
        for sources in self._late:  # the environment takes one action a control step
            draws[:, sources] = np.rint(draws[:, sources] / self._dt) * self._dt
        self._context = dict(zip(self._names, draws[0].tolist(), strict=True))
        self._writer.write(draws[0])
        self._imperfections.draw(_ONE, draws)
        return draws

    # -- the imperfections; where there are none, what is passed is the same object -----------

    @property
    def _clock(self) -> Clock:
        return Clock(self._generators, np.array([self._episode]), self._steps)

    def _command(self, action: Any) -> Any:
        if not self._acts:
            return action
        return self._imperfections.command(np.asarray(action)[None], self._clock)[0]

    def _seen_first(self, truth: Any) -> Any:
        rest = np.zeros((1, int(np.prod(self.action_space.shape or 0))))
        numbers = self._terms.numbers(truth)
        seen = self._imperfections.begin(numbers[None], rest, _ONE, self._clock)
        return self._terms.with_numbers(truth, seen[0]) if self._senses else copy.deepcopy(truth)

    def _seen(self, truth: Any) -> Any:
        if not self._senses:
            return copy.deepcopy(truth)  # the environment may write into it in the next step
        seen = self._imperfections.observe(self._terms.numbers(truth)[None], self._clock)
        return self._terms.with_numbers(truth, seen[0])

    def _delayed(self, reward: SupportsFloat, over: bool) -> SupportsFloat:
        if not self._delays_reward:
            return reward
        arrived = self._imperfections.delay_reward(
            np.array([float(reward)]), np.array([over]), self._clock
        )
        return float(arrived[0])

    def _forget_warnings(self) -> None:
        """Set the counts to 0: the engine's own reset makes them 1, whatever they were."""
        for kind in BAD_STATE:
            self._data.warning[kind].number = 0

    def _sound(self) -> bool:
        """Whether MuJoCo has not reset the state since `_forget_warnings`, and accepts it."""
        warned = any(self._data.warning[kind].number for kind in BAD_STATE)
        state = np.concatenate([self._data.qpos, self._data.qvel, self._data.act])
        return not warned and bool((np.abs(state) <= mujoco.mjMAXVAL).all())  # false for NaN

    def _check(self, method: str, observation: Any, reward: Any = 0.0) -> None:
        """UserError for what the environment makes non-finite of sound physics."""
        for what, given in (("observation", observation), ("reward", reward)):
            if not _finite(given):
                raise UserError(
                    f"{type(self.env.unwrapped).__name__}: {method}: the {what} is not finite at "
                    f"step {int(self._steps[0])} of episode {self._episode}, though the physics is"
                )


class _OneWorld:
    """MjData as a batch of one world: its fields are views, with the world first."""

    def __init__(self, data: mujoco.MjData) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Array:
        field: Array = getattr(self._data, name)[None]
        return field


def _finite(given: Any) -> bool:
    """Whether all numbers of an observation or a reward are finite."""
    parts = given.values() if isinstance(given, Mapping) else [given]
    return all(_all_finite(np.asarray(part)) for part in parts)


def _all_finite(values: NDArray[Any]) -> bool:
    return not np.issubdtype(values.dtype, np.floating) or bool(np.isfinite(values).all())
