"""What a method works with beside the target: phases done once, learners, simulations.

    phases/00-record/   what the first phase returned, and the state after it
    phases/01-adapt/    the checkpoints of a learner

A resumed run calls `adapt` again. A phase that is done returns what it stored, and the worlds, the
meter and the generators continue from the state after it; a learner continues from its last
checkpoint. So a method must be the same function of its seed each time: phases in the same order,
steps of environments only within phases and learners.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.torch
from numpy.typing import ArrayLike
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.config import MOST_STEPS
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError, whole_number
from sim2real.identification.stored import decode, encode
from sim2real.learning.loop import Interrupted, learn
from sim2real.learning.progress import Display, Watch
from sim2real.plain import parse_json
from sim2real.policies.anatomy import named_tensors
from sim2real.policies.build import build_algorithm
from sim2real.policies.modifiers import (
    Frozen,
    Modifier,
    add_structure_of,
    apply_modifiers,
    modifiers_of,
)
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.checked_folder import read_checked, write_checked
from sim2real.runs.run import Run
from sim2real.runs.state import generators, prefixed, restore_generators, without
from sim2real.simulation import Simulation, Transition
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.simulation.observations import Shows
from sim2real.task import BoolArray
from sim2real.transfer.budget import Budget, Meter, MeteredVecEnv
from sim2real.transfer.columns import copy_entropy_coefficient, take_along
from sim2real.transfer.manifest import TensorRow
from sim2real.transfer.parts import MethodParts
from sim2real.transfer.schedule import KeepFrozen
from sim2real.transfer.target import Environments, Target, derived_seed

PHASES = "phases"
VALUE, STATE, TENSORS = "value.json", "state.json", "tensors.safetensors"
T = TypeVar("T")


class CountedSimulation(Simulation):
    """A simulation that adds its control steps to a meter."""

    meter: Meter

    def advance(self, action: ArrayLike, active: BoolArray | None = None) -> Transition:
        """As of a simulation."""
        transition = super().advance(action, active)
        self.meter.add(steps=self.num_envs if active is None else int(np.sum(active)))
        return transition


AnySimulation = TypeVar("AnySimulation", bound=Simulation)


class Work:
    """The phases, learners and source-side simulations of one transfer.

    `begin` makes the run folder, given the action for each tensor; it does nothing
    if there is one.
    `learning` are further arguments of `learn` for a learner that is the run itself.
    """

    def __init__(
        self,
        path: Path,
        seed: int,
        target: Target,
        meter: Meter,
        environments: Environments,
        recipe: AnyRecipe,
        source: Run,
        begin: Callable[..., None],
        learning: dict[str, Any],
    ) -> None:
        self.path, self.seed, self.recipe = path, seed, recipe
        self.generator = np.random.default_rng(seed)
        """For what the method draws itself; its state is saved with each phase."""
        self.meter = Meter(Budget(MOST_STEPS), meter.control_dt)
        """Counts the control steps of source-side simulations, which are free."""
        self._target, self._meter, self._environments = target, meter, environments
        self.parts = MethodParts({}, None)
        """The progress of the method; see `plan`."""
        self.is_complete = False
        """Whether a learner of the whole budget has written all that the run has."""
        self._begin, self._learning, self._source = begin, learning, source
        self._learners: list[Learner] = []
        self._names: list[str] = []

    def once(self, name: str, make: Callable[[], T]) -> T:
        """What `make` returns: made by the first call of a run, then read from its folder.

        It may be numbers, strings, None, arrays, tensors and logs, in lists, tuples and
        dictionaries. Environments opened within `make` are closed after it. Raises UserError
        for a second phase of that name, and for a value that cannot be stored.
        """
        folder = self._folder(name)
        if not folder.is_dir():
            already = len(self._environments)
            value = make()
            self._environments.close(keep=already)
            self._begin(())
            self._write(folder, name, value)
        return self._read(folder)  # type: ignore[no-any-return]

    def env(
        self, domain: str | Domain | None, num_envs: int = 1, privileged: Shows = False
    ) -> MeteredVecEnv:
        """Open `num_envs` worlds of a simulation, whose steps are counted and free.

        Raises UserError for the target: `Target.env` opens that.
        """
        return self._environments.add(
            lambda seed: MeteredVecEnv(
                SimVecEnv(self._make(Simulation, domain, num_envs, seed, privileged)), self.meter
            )
        )

    def simulation(
        self, domain: str | Domain | None, num_envs: int = 1, privileged: Shows = False
    ) -> Simulation:
        """A simulation on the side of the source, whose control steps are counted and free.

        A resumed run restores it like an environment. Raises UserError for the target.
        """

        def make(seed: int) -> SimVecEnv:
            simulation = self._make(CountedSimulation, domain, num_envs, seed, privileged)
            simulation.meter = self.meter
            return SimVecEnv(simulation)

        return self._environments.add(make).simulation

    def _make(
        self,
        kind: type[AnySimulation],
        domain: str | Domain | None,
        num_envs: int,
        seed: int,
        privileged: Shows,
    ) -> AnySimulation:
        """A simulation in which policies give actions, and remember, as in the target."""
        loaded = load_domain(self._target.task, domain)
        if self._target.is_target(loaded):
            raise UserError(f"domain {loaded.name!r} is the target; allowed: target.env, metered")
        options: Any = {"privileged": privileged, "actions": self._target.actions}
        options["history"] = self.recipe.history
        return kind(self._target.task, loaded, num_envs, seed, **options)

    def learner(
        self,
        name: str,
        recipe: AnyRecipe,
        env: VecEnv,
        policy: BasePolicy | None = None,
        modifiers: Sequence[Modifier] = (),
    ) -> Learner:
        """The learner of `recipe` on `env`, with the weights of `policy`, checkpoints in a phase.

        `modifiers` are applied to it then; the run records them. SAC's entropy coefficient
        is copied too if `policy` is the source's or another learner's.
        Raises UserError for a second phase of that name.
        """
        folder = self._folder(name)
        algorithm = build_algorithm(recipe, env, derived_seed(self.seed, zlib.crc32(name.encode())))
        if policy is not None:
            add_structure_of(policy, algorithm.policy)
            take_along(policy, algorithm.policy, list(named_tensors(algorithm.policy)))
            copy_entropy_coefficient(self._coefficient_of(policy), algorithm)
        apply_modifiers(algorithm.policy, modifiers)
        learner = Learner(algorithm, folder, self, recipe)
        self._learners.append(learner)
        return learner

    def prepared_learner(
        self,
        name: str,
        algorithm: BaseAlgorithm,
        rows: Sequence[TensorRow],
    ) -> Learner:
        """A learner that is built already, with its checkpoints in a phase.

        `rows`, the action for each tensor, go into the manifest.
        """
        self._begin(rows, modifiers_of(algorithm.policy))
        learner = Learner(algorithm, self._folder(name), self, self.recipe)
        self._learners.append(learner)
        return learner

    def _coefficient_of(self, policy: BasePolicy) -> Tensor | None:
        if policy is self._source.policy:
            return self._source.checkpoint.training.get("log_ent_coef")
        of = [one.algorithm for one in self._learners if one.algorithm.policy is policy]
        return getattr(of[0], "log_ent_coef", None) if of else None

    def learn(
        self,
        algorithm: BaseAlgorithm,
        rows: Sequence[TensorRow],
        callbacks: Sequence[BaseCallback],
        budget: Budget,
    ) -> BasePolicy:
        """Train for `budget` with the checkpoints, curve and logs of the run itself.

        With less than the budget of the target, the policy that the method returns ends the run.
        """
        self._begin(rows, modifiers_of(algorithm.policy))
        checkpoints.discard_after(self.path, budget.steps)
        checkpoints.restore_last(self.path, algorithm)
        self.is_complete = budget.steps == self._target.budget.steps
        options = dict(self._learning)
        watching = [*callbacks, *options.pop("callbacks")]
        learn(algorithm, self.path, budget.steps, callbacks=watching, **options)
        return algorithm.policy

    def begin_learning(self) -> dict[str, Any]:
        """Make the run folder; return the arguments of `learn` for a learner of a phase."""
        self._begin(())
        names = ("checkpoint_every", "progress", "max_unstable")
        return {name: self._learning[name] for name in names}

    def plan(self, counts: Mapping[str, int]) -> MethodParts:
        """Show the progress on one display: so many parts of each kind, at most; also `parts`."""
        shown = self._learning["progress"]
        self.parts = MethodParts(counts, Display(self._learning["title"]) if shown else None)
        return self.parts

    def report(self, line: str) -> None:
        """Print a line on standard error, where progress is shown."""
        if self._learning["progress"]:
            print(line, file=sys.stderr)

    def _folder(self, name: str) -> Path:
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,60}", name):
            raise UserError(f"phase {name!r}; allowed: small letters, digits, - and _")
        if name in self._names:
            raise UserError(f"there is a phase {name!r} already; phases have different names")
        self._names.append(name)
        return self.folder_of(name)

    def folder_of(self, name: str) -> Path:
        """The folder of a phase that is done."""
        return self.path / PHASES / f"{self._names.index(name):02d}-{name}"

    def _write(self, folder: Path, name: str, value: Any) -> None:
        arrays: dict[str, Tensor] = {}
        plain = encode(value, arrays, f"phase {name!r}")
        worlds, opened = self._environments.capture()
        state, words = generators()
        saved = {
            "environments": opened,
            "generators": state,
            "generator": self.generator.bit_generator.state,
            "target": self._meter.state(),
            "source": self.meter.state(),
        }
        tensors = prefixed("value", arrays) | prefixed("worlds", worlds)
        whole = {key: one.contiguous() for key, one in tensors.items()}
        contents = {
            TENSORS: safetensors.torch.save(whole | prefixed("generators", words)),
            VALUE: (json.dumps(plain, allow_nan=False) + "\n").encode(),
            STATE: (json.dumps(saved, allow_nan=False) + "\n").encode(),
        }
        with checkpoints.refused_if_unwritten(self.path):
            write_checked(folder, contents)

    def _read(self, folder: Path) -> Any:
        """The value of a phase, with everything put back as it was after it."""
        with checkpoints.refused_if_damaged(str(folder)):
            return self._restored(folder)

    def _restored(self, folder: Path) -> Any:
        found = read_checked(folder, (TENSORS, VALUE, STATE))
        tensors = safetensors.torch.load(found[TENSORS])
        saved = parse_json(found[STATE].decode())
        self._environments.restore(without("worlds", tensors), saved["environments"])
        restore_generators(without("generators", tensors), saved["generators"])
        self.generator.bit_generator.state = saved["generator"]
        self._meter.restore(saved["target"])
        self.meter.restore(saved["source"])
        return decode(parse_json(found[VALUE].decode()), without("value", tensors))


class Learner:
    """A stable-baselines3 algorithm whose training is a phase of a method."""

    def __init__(
        self, algorithm: BaseAlgorithm, folder: Path, work: Work, recipe: AnyRecipe
    ) -> None:
        self.algorithm = algorithm
        self._folder, self._work, self._recipe = folder, work, recipe

    def learn(
        self,
        steps: int,
        callbacks: Sequence[BaseCallback] = (),
        schedule_steps: int | None = None,
        report: Callable[[float, str], None] | None = None,
    ) -> BasePolicy:
        """Train until the learner has made `steps` control steps in all; returns its policy.

        May be called again with more steps. Continues from the last checkpoint of a run that is
        resumed. Schedules of the learning rate end at `schedule_steps`, by default at `steps`.
        `report` gets the part that is done, and how it goes in words, instead of a progress bar.
        """
        if schedule_steps is not None:
            whole_number("schedule_steps", schedule_steps, steps, MOST_STEPS)
        self._follow_schedule(schedule_steps or steps)
        options = self._work.begin_learning()
        made = [step for step in checkpoints.steps(self._folder) if step <= steps]
        if made and made[-1] > self.algorithm.num_timesteps:
            saved = checkpoints.read_checkpoint(self._folder, made[-1])
            checkpoints.restore(self.algorithm, saved)
        options |= {"max_unstable": self._recipe.max_unstable}
        watching = [*callbacks]
        if report is not None:
            options["progress"] = False
            watching.append(Watch(steps, report))
        found = (one for one in modifiers_of(self.algorithm.policy) if isinstance(one, Frozen))
        constant = [KeepFrozen(one.names) for one in found]
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            learn(self.algorithm, self._folder, steps, callbacks=[*watching, *constant], **options)
        except Interrupted:
            run = self._work.path
            raise Interrupted(f"stopped; resume with: sim2real resume {run}") from None
        return self.algorithm.policy

    def _follow_schedule(self, steps: int) -> None:
        """Let the learning rate depend on the learner's part of `steps`."""
        algorithm: Any = self.algorithm

        def rate(_: float) -> float:
            return self._recipe.learning_rate_at(max(1.0 - algorithm.num_timesteps / steps, 0.0))

        algorithm.lr_schedule = rate
