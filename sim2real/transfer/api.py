"""Transfer a run into a target domain within a budget, and resume what was stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from sim2real.config import parse
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError
from sim2real.files import require_writable, write_json
from sim2real.learning.curve import CURVE_EPISODES, Curve, schedule
from sim2real.learning.loop import learn, tell_rest
from sim2real.learning.pictures import Pictures
from sim2real.policies.recipe import MAX_UNSTABLE, AnyRecipe
from sim2real.registry import load_task
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.contract import Contract, compare, contract_of, map_of, require_fit
from sim2real.runs.load import load_run
from sim2real.runs.publish import keep_policy
from sim2real.runs.rescaling import normalized
from sim2real.runs.run import Run, RunConfig, RunFolder, at_checkpoint, check_policy, create_run
from sim2real.simulation import Simulation
from sim2real.simulation.actions import Choice
from sim2real.simulation.front_ends.vec_env import SimVecEnv
from sim2real.task import Task
from sim2real.transfer.budget import Budget, Meter, MeteredVecEnv
from sim2real.transfer.manifest import Manifest
from sim2real.transfer.method import (
    Prepared,
    TransferMethod,
    describe_method,
    load_method,
    load_method_of_file,
)

SOURCE = "source"
"""Folder inside a transfer's run that keeps what it started from, so that it can be resumed."""


def transfer(
    run: Run | Path | str,
    domain: str | Domain,
    *,
    method: str | Mapping[str, Any] | TransferMethod = "fine_tune",
    budget: int,
    seed: int = 0,
    out: Path | str | None = None,
    options: Mapping[str, Any] | None = None,
    num_envs: int | None = None,
    curve: int | Iterable[int] | None = None,
    curve_episodes: int = CURVE_EPISODES,
    checkpoint_every: int | None = None,
    pictures_every: int = 0,
    task: str | Task | None = None,
    progress: bool = True,
) -> Run:
    """Move a run's policy into `domain`, using at most `budget` control steps of it.

    `method` is a name of `METHODS`, "module:Class", or a mapping with "name"; `options` are the
    method's. The new run is in `out`, by default beside the source. `curve` are target steps at
    which the policy is evaluated in the target (0 and the end are added), or the number of equal
    parts; the evaluations of `curve_episodes` episodes are not charged to the budget and stand in
    report/curve.json, what was used of the budget in report/budget.json, the fate of every tensor
    in report/manifest.json. `pictures_every` are control steps between two animated pictures of
    the policy in the target (0 for none). `task` is the task of the target, by default the run's.
    `run` may be the .zip of a stable-baselines3 model, if `task` is given.

    Raises UserError for what is unknown or impossible, if the target has other spaces (naming the
    terms that differ) and if `out` exists; Interrupted after a first Ctrl-C, when all is saved and
    `resume(out)` goes on.
    """
    source = run if isinstance(run, Run) else _load(run, task)
    worlds = {} if num_envs is None else {"num_envs": num_envs}
    chosen = load_method(method, {**(options or {}), **worlds} or None)
    loaded = source.task if task is None else load_task(task)
    target = load_domain(loaded, domain)
    allowance = Budget(budget)
    recipe = chosen.target_recipe(source.config.parsed_recipe(), allowance)
    allowance.usable(recipe.num_envs)
    folder = Path(out or f"{source.results}-{chosen.name}-{target.name}-{seed}")
    if folder.exists():
        raise UserError(f"{folder} exists already; choose another name or remove it")
    require_writable(folder.parent)
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
        "pictures_every": pictures_every,
        "method": describe_method(chosen),
        "source": source.reference,
        "curve": schedule(curve, budget) if curve is not None else None,
        "curve_episodes": curve_episodes,
    }
    config = parse(RunConfig, asked, "transfer")
    started = _Start(config, chosen, recipe, normalized(source), loaded, target)
    try:
        if progress:
            tell_rest("budget", budget, recipe.num_envs)
            started.manifest.print(Console(stderr=True))
        frozen = config.model_copy(update={"frozen": started.manifest.frozen})

        def add(new: Path) -> None:
            (new / SOURCE).mkdir()
            keep_policy(source, new / SOURCE)
            write_json(new / "report" / "manifest.json", started.manifest.to_json())

        methods, actions = [type(chosen)], started.actions
        create_run(folder, frozen, loaded, {target.name: target}, methods, actions, add)
        started.learn(folder, progress)
    finally:
        started.env.close()
    return load_run(folder, task=loaded)


def _load(run: Path | str, task: str | Task | None) -> Run:
    """The run, or the policy of a zip, which acts in the task of the target."""
    return load_run(run, task=task) if str(run).endswith(".zip") else load_run(run)


def distill(
    run: Run | Path | str,
    domain: str | Domain,
    *,
    student: str | Iterable[int] = "small",
    budget: int,
    options: Mapping[str, Any] | None = None,
    **others: Any,
) -> Run:
    """Train a student of size `student` to act in `domain` as the run's policy does.

    `student` is "small" (32x32), "same", or the sizes of the hidden layers. All else as in
    `transfer`, of which this is the method "distill".
    """
    size = student if isinstance(student, str) else tuple(student)
    merged = {"student": size, **(options or {})}
    return transfer(run, domain, method="distill", budget=budget, options=merged, **others)


def resume_transfer(folder: RunFolder, progress: bool) -> Run:
    """Continue a transfer from its last good checkpoint; a finished one is returned as it is."""
    path, config = folder.path, folder.config
    if config.method is None:
        raise UserError(f"{path / 'config.yaml'}: a {config.kind} needs a method")
    check_policy(folder)
    source = load_run(path / SOURCE, accept_changes=folder.loading.accept_changes)
    started = _Start(
        config,
        _method_of(folder, config.method),
        config.parsed_recipe(),
        source if map_of(folder.task_info) is None else normalized(source),
        folder.task,
        folder.domain,
    )
    try:
        checkpoints.restore_last(path, started.prepared.algorithm)
        started.learn(path, progress)
    finally:
        started.env.close()
    return at_checkpoint(folder)


def _method_of(folder: RunFolder, described: Mapping[str, Any]) -> TransferMethod:
    """The method of a run: a shipped one, the run's copy, or code elsewhere that is trusted."""
    where, trust_code = str(folder.path / "config.yaml"), folder.loading.trust_code
    copied = folder.method_source()
    if copied is None:
        return load_method_of_file(described, where, trust_code)
    return load_method(copied, {key: value for key, value in described.items() if key != "name"})


class _Start:
    """A transfer before its first step: the metered target and the learner."""

    def __init__(
        self,
        config: RunConfig,
        method: TransferMethod,
        recipe: AnyRecipe,
        source: Run,
        task: Task,
        domain: Domain,
    ) -> None:
        self.config, self.task, self.domain = config, task, domain
        privileged = recipe.needs_privileged
        self.actions: Choice = map_of(source.task_info) or "own"
        simulation = Simulation(
            task,
            domain,
            config.num_envs,
            config.seed,
            privileged=privileged,
            actions=self.actions,
        )
        acts_on_all = source.config.parsed_recipe().privileged_actor
        sides = Contract.of(source.task_info, acts_on_all), contract_of(simulation)
        differences = compare(*sides)
        require_fit(differences)
        budget = Budget(config.steps)
        self.meter = Meter(budget, simulation.dt)
        self.env = MeteredVecEnv(SimVecEnv(simulation), self.meter)
        self.prepared: Prepared = method.prepare(source, recipe, self.env, budget, config.seed)
        self.manifest = Manifest(method.name, differences, self.prepared.rows)

    def learn(self, path: Path, progress: bool) -> None:
        """Train to the end of the budget, or until Ctrl-C; writes what was used either way."""
        curve = Curve(
            self.config.curve or (),
            self.task,
            self.domain,
            seed=self.config.seed,
            episodes=self.config.curve_episodes,
            path=path / "report" / "curve.json",
        )
        callbacks = [*self.prepared.callbacks]
        if self.config.curve:
            callbacks.append(curve)
        if self.config.pictures_every:
            callbacks.append(Pictures(self.task, [self.domain], self.config.pictures_every))
        title = f"{self.manifest.method} {self.task.name} in {self.domain.name}"
        try:
            learn(
                self.prepared.algorithm,
                path,
                self.config.steps,
                callbacks=callbacks,
                checkpoint_every=self.config.checkpoint_every,
                progress=progress,
                title=title,
                hyperparameters={
                    "task": self.task.name,
                    "domain": self.domain.name,
                    "method": self.manifest.method,
                    "budget": self.config.steps,
                    "seed": self.config.seed,
                    **self.config.recipe,
                },
                max_unstable=self.config.recipe.get("max_unstable", MAX_UNSTABLE),
            )
        finally:
            self.meter.write(path / "report" / "budget.json")
