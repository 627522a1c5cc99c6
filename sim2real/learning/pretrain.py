"""Pretrain a policy in a source domain, and resume what was stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stable_baselines3.common.policies import BasePolicy

from sim2real.config import parse
from sim2real.domains import Domain, default_domain, load_each
from sim2real.errors import UserError
from sim2real.learning.adaptive import build_randomization, checked_randomization
from sim2real.learning.callbacks import Difficulty
from sim2real.learning.curve import CURVE_EPISODES, Curve, measure, schedule
from sim2real.learning.loop import learn, report_rounding, whole
from sim2real.learning.pictures import Pictures
from sim2real.learning.recipe_checks import check_recipe
from sim2real.learning.tensorboard import hyperparameters
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import MAX_UNSTABLE, load_recipe
from sim2real.registry import load_task
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.contract import map_of
from sim2real.runs.copies import read_index
from sim2real.runs.load import CURVE
from sim2real.runs.pretrained import new_run_path
from sim2real.runs.run import (
    Run,
    RunConfig,
    RunFolder,
    at_checkpoint,
    check_policy,
    create_run,
    read_folder,
)
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.vec_env import make_vec_env
from sim2real.task import Task

PICTURES = 5
"""Animations in a training of the usual length ..."""
PICTURES_EVERY = 100_000
"""... and at least this many control steps between two, so that short ones make none."""


def pretrain(
    task: str | Task,
    domain: str | Domain | None = None,
    *,
    algorithm: str = "ppo",
    steps: int,
    seed: int = 0,
    out: Path | str | None = None,
    num_envs: int | None = None,
    history: int | None = None,
    options: Mapping[str, Any] | None = None,
    checkpoint_every: int | None = None,
    keep_checkpoints: int | None = None,
    target: str | Domain | None = None,
    randomization: str | Mapping[str, Any] | None = None,
    pictures_every: int | None = None,
    curve: int | Iterable[int] | None = None,
    curve_episodes: int = CURVE_EPISODES,
    pause: int | None = None,
    progress: bool = True,
) -> Run:
    """Train a policy for `task` in `domain` for `steps` control steps; returns the finished run.

    `domain` is by default `randomized`, or `nominal` for a task that has no such domain. `steps`
    counts all worlds together and is never exceeded: rollouts are cut to end in time, and a rest
    smaller than one step of all worlds is left over. `options` replace parts of the tuned recipe by
    name; `num_envs` and `history` are two of them. `out` is the run folder, by default
    runs/<task>-<domain>-<algorithm>-<seed>.
    `checkpoint_every` and `pictures_every` are control steps; by default ten checkpoints and, in
    trainings of 100,000 steps and more, five animations (0 for none). `keep_checkpoints` keeps the
    last so many and the best of the curve, by default all. `target` is a domain that is
    shown beside the source in each animation; with it there is always one at the end.
    `curve` are control steps at which the policy is evaluated in its domain for `curve_episodes`
    episodes (0 and the end are added), or the number of equal parts; see report/curve.json. With a
    `target` it is evaluated there too, and TensorBoard shows the gap.
    `randomization` lets the domain's distributions follow the policy: "adr", "doraemon" or
    "curriculum", or {"name": "adr", option: value}; by default they stay as they are.

    Raises UserError for anything unknown or impossible and if `out` exists, Interrupted after a
    first Ctrl-C and Paused after `pause` control steps: all is saved and `resume(out)` goes on.
    """
    loaded = load_task(task)
    given = [domain or default_domain(loaded), *([] if target is None else [target])]
    domains = {each.name: each for each in load_each(loaded, given)}
    source = next(iter(domains.values()))
    given_by_name = {"num_envs": num_envs, "history": history}
    more = {name: value for name, value in given_by_name.items() if value is not None}
    recipe = load_recipe(algorithm, loaded.name, {**(options or {}), **more})
    folder = new_run_path(out or f"runs/{loaded.name}-{source.name}-{algorithm}-{seed}")
    asked = {
        "task": loaded.reference,
        "task_options": loaded.options,
        "algorithm": algorithm,
        "recipe": recipe.model_dump(mode="json"),
        "domain": source.name,
        "target": None if target is None else list(domains)[-1],
        "randomization": checked_randomization(randomization, loaded, source),
        "steps": whole(steps, recipe.num_envs),
        "seed": seed,
        "num_envs": recipe.num_envs,
        "checkpoint_every": checkpoint_every,
        "keep_checkpoints": keep_checkpoints,
        "pictures_every": pictures_every,
        "curve": schedule(curve, steps) if curve is not None else None,
        "curve_episodes": curve_episodes,
    }
    if pictures_every is None:
        asked["pictures_every"] = _pictures_every(steps) or (0 if target is None else steps)
    config = parse(RunConfig, asked, "pretrain")
    check_recipe(recipe, loaded, source)
    if target is not None:
        _check_target(loaded, domains[str(config.target)], config)
    if progress:
        report_rounding("steps", steps, recipe.num_envs)
        if recipe.action_rate_penalty or recipe.torque_penalty:
            print("penalties: of the training alone; returns are without them", file=sys.stderr)
        if domain is None and source.name == "nominal":
            beside = loaded.file.with_suffix(".yaml")
            print(f"domain: nominal, as {beside} has no domain 'randomized'", file=sys.stderr)
    create_run(folder, config, loaded, domains)
    return resume_pretraining(read_folder(folder, task=loaded), progress, pause)


def resume_pretraining(folder: RunFolder, progress: bool, pause: int | None = None) -> Run:
    """Train a run from its last good checkpoint, or from the beginning, to its end or `pause`."""
    path, config, domains, task = folder.path, folder.config, folder.domains, folder.task
    recipe = config.parsed_recipe()
    check_policy(folder)
    env = make_vec_env(
        task,
        domains[config.domain],
        config.num_envs,
        config.seed,
        actions=map_of(folder.task_info) or "own",
        **recipe.observed,
    )
    algorithm = build_algorithm(recipe, env, config.seed)
    rise = {"steps": recipe.difficulty_steps, "success": recipe.difficulty_success}
    easier = [Difficulty(env.simulation, **rise)] if any(rise.values()) else []  # type: ignore[arg-type]
    checkpoints.restore_last(path, algorithm)
    adaptive = build_randomization(config.randomization)
    if adaptive is not None:
        adaptive.attach(env.simulation)  # so that the very first episodes are narrow already
    shown = [domains[name] for name in dict.fromkeys((config.domain, config.target)) if name]
    pictures = [Pictures(task, shown, config.pictures_every)] if config.pictures_every else []
    curve = _curve(folder) if config.curve is not None else []
    try:
        learn(
            algorithm,
            path,
            config.steps,
            callbacks=[*([adaptive] if adaptive else []), *easier, *curve, *pictures],
            checkpoint_every=config.checkpoint_every,
            keep_checkpoints=config.keep_checkpoints,
            progress=progress,
            title=f"pretrain {task.name} in {config.domain}",
            hyperparameters=hyperparameters(config, task.name, "pretrain", config.domain),
            max_unstable=config.recipe.get("max_unstable", MAX_UNSTABLE),
            pause=pause,
        )
    finally:
        env.close()
    if progress:
        print(f"run: {path}", file=sys.stderr)
        if (index := read_index(path)).count:
            print(index.describe(), file=sys.stderr)
    return at_checkpoint(folder)


def _check_target(task: Task, target: Domain, config: RunConfig) -> None:
    """UserError for a target that does not fit the task, or that no animation would show."""
    if config.pictures_every == 0:
        raise UserError("a target is shown in pictures; with pictures_every=0 there are none")
    if config.parsed_recipe().privileged_actor:
        raise UserError(
            "a policy that acts on privileged observations cannot act in a target that draws other "
            "parameters; drop the target"
        )
    Simulation(task, target, threads=1).close()


def _curve(folder: RunFolder) -> list[Curve]:
    """The evaluations of a training, in its domain and in its target if it has one."""
    config, task = folder.config, folder.task
    how = {"seed": config.seed, "episodes": config.curve_episodes}

    def in_target(policy: BasePolicy) -> float:
        return float(measure(policy, task, folder.domains[str(config.target)], **how)["mean"])

    return [
        Curve(
            config.curve or (),
            task,
            folder.domain,
            path=folder.path / CURVE,
            side="source",
            other_side=in_target if config.target else None,
            other_domain=folder.domains[config.target] if config.target else None,
            **how,
        )
    ]


def _pictures_every(steps: int) -> int:
    return max(PICTURES_EVERY, steps // PICTURES) if steps >= PICTURES_EVERY else 0
