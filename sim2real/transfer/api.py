"""Transfer a run into a target domain within a budget, and resume what was stopped."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.utils import set_random_seed

from sim2real import files
from sim2real.config import parse
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.files import write_json
from sim2real.learning.curve import CURVE_EPISODES, Curve, measure, schedule
from sim2real.learning.loop import report_rounding
from sim2real.learning.pictures import Pictures
from sim2real.learning.tensorboard import hyperparameters
from sim2real.policies.build import build_offline, terms_for
from sim2real.policies.modifiers import Modifier, apply_modifiers, modifiers_of
from sim2real.policies.recipe import MAX_UNSTABLE, AnyRecipe
from sim2real.registry import load_task
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.contract import (
    Contract,
    compare,
    map_of,
    require_fit,
    warn_of_changes,
)
from sim2real.runs.load import CURVE, is_zip, load_run
from sim2real.runs.pretrained import new_run_path
from sim2real.runs.publish import keep_policy
from sim2real.runs.rescaling import normalized
from sim2real.runs.run import (
    Run,
    RunConfig,
    RunFolder,
    at_checkpoint,
    check_policy,
    create_run,
)
from sim2real.runs.seal import rewrite_config
from sim2real.runs.state import capture, describe_spaces, load_policy
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.task import Task
from sim2real.torch_settings import one_thread
from sim2real.transfer.budget import Budget, BudgetExceeded
from sim2real.transfer.choice import REPORT as CHOICE
from sim2real.transfer.choice import choose_for
from sim2real.transfer.conditioned import in_mean_context
from sim2real.transfer.find import describe_method, load_method, method_of
from sim2real.transfer.fitting import actions_in, fitted_for
from sim2real.transfer.manifest import Manifest, TensorRow, result_rows
from sim2real.transfer.memory import compare_memory
from sim2real.transfer.method import Method
from sim2real.transfer.target import Environments, contract_in, open_target
from sim2real.transfer.work import Work

SOURCE = "source"
"""Folder inside a transfer's run that keeps what it started from, so that it can be resumed."""

Create = Callable[[Sequence[TensorRow], Sequence[Modifier]], None]

SOURCE_STEPS = "report/source_steps.json"
"""What a method with a loop of its own used of simulations; counted, not limited."""


def transfer(
    run: Run | Path | str,
    domain: str | Domain,
    *,
    method: str | Mapping[str, Any] | Method | None = None,
    budget: int,
    seed: int = 0,
    out: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
    num_envs: int | None = None,
    curve: int | Iterable[int] | None = None,
    curve_episodes: int = CURVE_EPISODES,
    checkpoint_every: int | None = None,
    keep_checkpoints: int | None = None,
    pictures_every: int = 0,
    task: str | Task | None = None,
    progress: bool = True,
    accept_changes: bool = False,
) -> Run:
    """Move a run's policy into `domain`, using at most `budget` control steps of it.

    `method` is a name of `METHODS`, "module:Class", or a mapping with "name"; `options` are the
    method's. Without one it is chosen (see `choice`); report/choice.json gives the reason.
    The new run is in `out`, by default beside the source. `curve`, target steps, and the three that
    follow it are as in `pretrain`; evaluations are not charged to the budget. report/curve.json has
    them, report/budget.json what was used, report/manifest.json the action for every tensor.
    `pictures_every` are control steps between two animations in the target (0 for none). `task` is
    the target's, by default that of the run; for other observations or actions the option `match`
    says which are the source's. `run` may be an SB3 model's .zip. `accept_changes`: see `load_run`.

    Raises UserError for what is unknown or impossible, if the target has other spaces (naming the
    terms that differ) and if `out` exists; Interrupted after a first Ctrl-C, when all is saved and
    `resume(out)` goes on.
    """
    source = _source(run, task, accept_changes)
    worlds = {} if num_envs is None else {"num_envs": num_envs}
    choice = None
    if method is None:
        choice = choose_for(source, budget, options or {})
        method, options = choice.method, {**choice.options, **(options or {})}
    chosen = load_method(method, {**(options or {}), **worlds} or None)
    chosen.require_algorithm(source.config.algorithm)
    loaded = source.task if task is None else load_task(task)
    target = load_domain(loaded, domain)
    allowance = Budget(budget)
    recipe = chosen.target_recipe(source.config.parsed_recipe(), allowance)
    worlds_in_target = chosen.target_worlds(recipe)
    allowance.usable(worlds_in_target)
    folder = new_run_path(out or f"{source.results}-{chosen.name}-{target.name}-{seed}")
    asked = {
        "kind": "distill" if chosen.name == "distill" else "transfer",
        "task": loaded.reference,
        "task_options": loaded.options,
        "algorithm": recipe.algorithm,
        "recipe": recipe.model_dump(mode="json"),
        "domain": target.name,
        "steps": budget,
        "seed": seed,
        "num_envs": recipe.num_envs,
        "checkpoint_every": checkpoint_every,
        "keep_checkpoints": keep_checkpoints,
        "pictures_every": pictures_every,
        "method": describe_method(chosen),
        "source": source.reference,
        "accept_changes": source.loading.accept_changes,
        "curve": schedule(curve, budget) if curve is not None else None,
        "curve_episodes": curve_episodes,
    }
    config = parse(RunConfig, asked, "transfer")
    session = _Session(config, chosen, recipe, normalized(source), loaded, target)
    if task is not None and loaded.name == source.task_info.get("name"):
        warn_of_changes(source.path, source.task_info, loaded)

    def create(rows: Sequence[TensorRow], modifiers: Sequence[Modifier]) -> None:
        manifest = Manifest(chosen.name, session.differences, tuple(rows), session.matching)
        if progress and choice is not None:
            print(f"method {choice.method}: {choice.reason}", file=sys.stderr)
        if progress:
            manifest.print(Console(stderr=True, markup=False, emoji=False))

        def add(new: Path) -> None:
            (new / SOURCE).mkdir()
            keep_policy(source, new / SOURCE)
            write_json(new / "report" / "manifest.json", manifest.to_json())
            if choice is not None:
                write_json(new / CHOICE, choice.plain())

        modified = config.with_modifiers(modifiers, manifest.frozen)
        methods, actions = [type(chosen)], session.actions
        create_run(folder, modified, loaded, {target.name: target}, methods, actions, add)

    if progress:
        report_rounding("budget", budget, worlds_in_target)
    session.adapt(folder, create, progress)
    return load_run(folder, task=loaded)


def _source(run: Run | Path | str, task: str | Task | None, accept_changes: bool) -> Run:
    """The run, or the policy of a zip, which acts in the task of the target."""
    if not isinstance(run, Run):
        run = load_run(run, task=task) if is_zip(run) else load_run(run)
    if not accept_changes:
        return run
    return replace(run, loading=replace(run.loading, accept_changes=True))


def distill(
    run: Run | Path | str,
    domain: str | Domain,
    *,
    student: str | Iterable[int] = "small",
    history: int | None = None,
    budget: int,
    options: Mapping[str, Any] | None = None,
    **others: Any,
) -> Run:
    """Train a student of size `student` to act in `domain` as the run's policy does.

    `student` is "small" (32x32), "same", "rma" (its teacher with an estimate of the encoding), or
    the sizes of the hidden layers; it observes `history` control steps, by default as many as the
    teacher. All else as in `transfer`, of which this is the method "distill".
    """
    size = student if isinstance(student, str) else tuple(student)
    merged = {"student": size, "history": history, **(options or {})}
    return transfer(run, domain, method="distill", budget=budget, options=merged, **others)


def resume_transfer(folder: RunFolder, progress: bool) -> Run:
    """Continue a transfer from its last good checkpoint; a finished one is returned as it is."""
    path, config = folder.path, folder.config
    if config.method is None:
        raise UserError(f"{path / 'config.yaml'}: a {config.kind} needs a method")
    check_policy(folder)
    accepted = config.accept_changes or folder.loading.accept_changes
    trusted = folder.loading.trust_code
    source = load_run(path / SOURCE, accept_changes=accepted, trust_code=trusted)
    files.remove_unfinished(path)
    session = _Session(
        config,
        method_of(folder, config.method),
        config.parsed_recipe(),
        source if map_of(folder.task_info) is None else normalized(source),
        folder.task,
        folder.domain,
    )
    session.adapt(path, lambda rows, modifiers: None, progress)
    return at_checkpoint(replace(folder, config=session.config))


class _Session:
    """A transfer: the method, and the target that it adapts to."""

    def __init__(
        self,
        config: RunConfig,
        method: Method,
        recipe: AnyRecipe,
        source: Run,
        task: Task,
        domain: Domain,
    ) -> None:
        self.config, self.method, self.recipe = config, method, recipe
        self.task, self.domain, self.origin = task, domain, source
        self.source, self.matching = fitted_for(method, source, task, domain)
        source = self.source
        self.actions = actions_in(task, source)
        self.environments = Environments(config.seed)
        self.target, self.meter = open_target(
            task,
            domain,
            Budget(config.steps),
            self.environments,
            actions=self.actions,
            rewarded=method.reward,
            **recipe.observed,
        )
        acts_on_all = source.config.parsed_recipe().privileged_actor and not method.fixes_context
        if acts_on_all and not recipe.needs_privileged:
            raise UserError(
                "the source's actor reads privileged columns, which the target does not show; "
                "distill it, show them with the option recipe: {privileged_actor: true}, or, if it "
                "acts on the context alone, use the method universal"
            )
        before = source.config.parsed_recipe().history
        steps = compare_memory(before, recipe.history, method)
        seen = recipe.observed | {"history": before}
        shown = contract_in(task, domain, self.actions, **seen) if steps else self.target.contract
        own = Contract.of(self.origin.task_info, acts_on_all)
        if self.matching is None:
            seen_alike = replace(own, observations=shown.observations, commanded=shown.commanded)
            fits = seen_alike if method.source_may_differ else own
            require_fit(fits, shown, source.loading.accept_changes)
        self.differences = (*compare(own, shown), *steps)

    def adapt(self, path: Path, create: Create, progress: bool) -> None:
        """Run the method to its end, or until Ctrl-C; writes what was used either way.

        `create` makes the run folder, before anything is written into it.
        """
        if _is_finished(path):
            return

        def begin(rows: Sequence[TensorRow], modifiers: Sequence[Modifier] = ()) -> None:
            if not path.exists():
                create(rows, modifiers)

        work = Work(
            path,
            self.config.seed,
            self.target,
            self.meter,
            self.environments,
            self.recipe,
            self.source,
            begin,
            self._learning(path, progress),
        )
        set_random_seed(self.config.seed)
        try:
            with one_thread():
                policy = self.method.adapt(self.source, self.target, work)
            begin(())
            if not work.is_complete:
                self._write(path, policy, work)
        except BudgetExceeded as error:
            raise UserError(f"method {self.method.name}: {error}") from None
        finally:
            self.environments.close()
            if path.exists():
                report, privileged = path / "report", self.recipe.needs_privileged
                self.meter.write(
                    report / "budget.json",
                    privileged=privileged,
                    source_steps=work.meter.usage.steps,
                )

    def _learning(self, path: Path, progress: bool) -> dict[str, Any]:
        """The arguments of `learn` for a learner that is the run itself."""
        config = self.config
        callbacks: list[BaseCallback] = [self._curve(path)] if config.curve else []
        if config.pictures_every:
            callbacks.append(Pictures(self.task, [self.domain], config.pictures_every))
        return {
            "callbacks": callbacks,
            "checkpoint_every": config.checkpoint_every,
            "keep_checkpoints": config.keep_checkpoints,
            "progress": progress,
            "title": f"{self.method.name} {self.task.name} in {self.domain.name}",
            "hyperparameters": hyperparameters(
                config, self.task.name, self.method.name, self.origin.config.domain
            ),
            "max_unstable": config.recipe.get("max_unstable", MAX_UNSTABLE),
        }

    def _curve(self, path: Path) -> Curve:
        config, source = self.config, self.origin
        how = {"seed": config.seed, "episodes": config.curve_episodes}

        @functools.cache
        def in_source() -> float:
            """The mean return of the source's policy in the source, compared with the target's."""
            return float(measure(source.policy, self.task, source.domain, **how)["mean"])

        asked = (source.config.task, source.config.task_options)
        same_task = asked == (self.task.reference, self.task.options)
        return Curve(
            config.curve or (),
            self.task,
            self.domain,
            path=path / CURVE,
            side="target",
            other_side=(lambda _: in_source()) if same_task else None,
            other_domain=source.domain if same_task else None,
            **how,
        )

    def _write(self, path: Path, policy: BasePolicy, work: Work) -> None:
        """The checkpoint, curve and counts of a method that has a loop of its own."""
        steps = self.target.usage.steps
        algorithm = self._with_weights_of(policy)
        if self.config.curve:
            curve = self._curve(path)
            curve.resume(steps)
            if not curve.rows:
                fixes = self.method.fixes_context
                curve.measure(in_mean_context(self.source) if fixes else self.source.policy, 0)
            curve.measure(algorithm.policy, steps)
        self.config = self.config.with_modifiers(modifiers_of(policy))
        rewrite_config(path, self.config)
        rows = result_rows(self.source.policy, algorithm.policy, self.config.frozen)
        manifest = Manifest(self.method.name, self.differences, rows, self.matching)
        write_json(path / "report" / "manifest.json", manifest.to_json())
        training, state = capture(algorithm)
        checkpoints.discard_after(path, steps - 1)
        checkpoints.write_checkpoint(path, steps, algorithm.policy.state_dict(), training, state)
        write_json(path / SOURCE_STEPS, work.meter.state())

    def _with_weights_of(self, policy: BasePolicy) -> BaseAlgorithm:
        """The algorithm of the run's recipe with the policy that the method has returned."""
        simulation = Simulation(
            self.task,
            self.domain,
            threads=1,
            actions=self.actions,
            **self.recipe.observed,
        )
        env = SimVecEnv(simulation)
        terms = terms_for(self.recipe, env)
        spaces = env.observation_space, env.action_space
        algorithm = build_offline(self.recipe, *spaces, terms)
        algorithm.action_space.seed(self.config.seed)
        with torch.random.fork_rng(devices=[]):
            apply_modifiers(algorithm.policy, modifiers_of(policy))
        load_policy(algorithm, policy.state_dict(), describe_spaces(algorithm))
        algorithm.policy.action_map = simulation.action_map  # type: ignore[assignment]
        env.close()
        return algorithm


def _is_finished(path: Path) -> bool:
    """Whether a method with a loop of its own is done: this is written last."""
    return (path / SOURCE_STEPS).is_file() and bool(checkpoints.steps(path))
