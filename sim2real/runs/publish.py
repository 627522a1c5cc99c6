"""Publish a run's policy: its weights, how it was made, and its return in every domain."""

from __future__ import annotations

import re
import shlex
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim2real import files
from sim2real.domains import Domain, load_each, task_domains
from sim2real.evaluation.clips import SHORT_S, SHORT_SEED, encode_gif, short_clip
from sim2real.evaluation.rollout import by_domain, evaluate, simulation_for
from sim2real.evaluation.summary import summary
from sim2real.plain import dump_yaml
from sim2real.policies.recipe import load_recipe
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.answers import answers_of
from sim2real.runs.copies import keep_copies, read_index
from sim2real.runs.load import load_run
from sim2real.runs.pretrained import CARD, new_run_path
from sim2real.runs.run import Run, RunConfig
from sim2real.runs.seal import seal
from sim2real.simulation.rendering import RenderingUnavailable

PICTURE = "picture.gif"
PICTURE_SIZE = (192, 144)
"""Width and height in pixels ..."""
PICTURE_FRAMES, PICTURE_COLORS = 16, 16
"""... of an animation that is to stay below 75 KB."""


def publish(
    run: Run | Path | str,
    out: Path | str,
    *,
    domains: Sequence[str | Domain] | None = None,
    episodes: int = 100,
    seed: int = 1,
) -> Path:
    """Write the policy of `run` to the new folder `out`, with its card; returns the folder.

    It is evaluated for `episodes` episodes of `seed` (another than the training's) in each of
    `domains`, by default every domain beside the task's file. The folder is a run without training
    state: it loads wherever a run is accepted. card.json and card.md contain the figures with their
    95 % intervals over episodes, the command, the seed and the versions that made it; picture.gif
    shows it, if there is OpenGL here.

    Raises UserError if `out` exists or nothing can be evaluated; then nothing is written.
    """
    source = run if isinstance(run, Run) else load_run(run)
    place = new_run_path(out)
    task = source.task
    asked = list(task_domains(task)) if domains is None else list(domains)
    several = load_each(task, asked)
    rows = by_domain(evaluate(source.policy, task, several, episodes=episodes, seed=seed))
    texts = {domain.name: domain.about for domain in several}
    card = {
        **described(source),
        "episodes": episodes,
        "evaluation_seed": seed,
        "domains": [{**summary(name, found), "about": texts[name]} for name, found in rows.items()],
        "versions": _versions(source.path),
    }
    picture = _picture(source)
    with files.new_folder(place) as folder:
        keep_policy(source, folder)
        files.write_json(folder / CARD, card)
        files.write_text(folder / "card.md", _page(card, picture is not None))
        if picture is not None:
            files.write_bytes(folder / PICTURE, picture)
    return place


def described(run: Run) -> dict[str, Any]:
    """The description of a run's policy and of its training, as plain data."""
    config = run.config
    about = (run.task.__doc__ or run.task.name).strip().splitlines()[0]
    return {
        "task": _task_of(config),
        "about": about,
        "kind": config.kind,
        "domain": config.domain,
        "algorithm": config.algorithm,
        "steps": run.step,
        "seed": config.seed,
        "command": command_of(config, run.task.name),
        "parameters": sum(tensor.numel() for tensor in run.checkpoint.policy.values()),
    }


def command_of(config: RunConfig, task: str) -> str:
    """The command that makes a run of `task` again, with what differs from the tuned recipe."""
    if config.kind == "foreign":
        words = ["publish", Path(str(config.source)).name, "--task", _task_of(config)]
        return shlex.join(["sim2real", *words, *_pairs("--task-options", config.task_options)])
    steps = "--steps" if config.kind == "pretrain" else "--budget"
    words = ["sim2real", config.kind]
    words += [_task_of(config)] if config.kind == "pretrain" else [Path(str(config.source)).name]
    words += ["--domain", config.domain]
    if config.kind == "pretrain":
        words += ["--algorithm", config.algorithm]
    elif config.kind == "transfer":
        words += ["--method", str((config.method or {}).get("name"))]
    words += [steps, str(config.steps), "--seed", str(config.seed)]
    if config.kind in ("transfer", "distill"):
        words += _method(config.method or {})
    if config.kind == "pretrain":
        words += _pairs("--task-options", config.task_options)
        words += _randomization(config.randomization)
        usual = load_recipe(config.algorithm, task).model_dump(mode="json")
        own = {name: value for name, value in config.recipe.items() if usual.get(name) != value}
        words += ["--num-envs", str(own.pop("num_envs"))] if "num_envs" in own else []
        words += _pairs("--set", own)
    return shlex.join(words)


def _method(described: dict[str, Any]) -> list[str]:
    """The options of a method: all of them, as the defaults may change."""
    options = {name: value for name, value in described.items() if name != "name" and value != {}}
    worlds = options.pop("num_envs", None)
    return [*([] if worlds is None else ["--num-envs", str(worlds)]), *_pairs("--set", options)]


def _randomization(described: dict[str, Any] | None) -> list[str]:
    if not described:
        return []
    options = {name: value for name, value in described.items() if name != "name"}
    return ["--randomization", described["name"], *_pairs("--randomization-options", options)]


def _task_of(config: RunConfig) -> str:
    """How the task is named, without the folder of a file."""
    return Path(config.task).name if ".py" in config.task else config.task


def _pairs(option: str, values: dict[str, Any]) -> list[str]:
    """The NAME=VALUE words of an option, without values of None."""
    found = [f"{name}={value}" for name, value in values.items() if value is not None]
    return [option, *found] if found else []


def keep_policy(source: Run, folder: Path) -> None:
    """Copy the policy and its configuration into `folder`, without training state and paths."""
    for name in ("task.json", "domains.yaml"):
        shutil.copyfile(source.path / name, folder / name)
    keep_copies(source.path, folder)
    files.write_json(folder / "versions.json", _versions(source.path))
    config = source.config.model_dump(mode="json")
    config["task"] = read_index(source.path).task or config["task"]
    if source.config.source:
        config["source"] = Path(source.config.source).name
    files.write_text(folder / "config.yaml", dump_yaml(config))
    seal(folder)
    saved = source.checkpoint
    kept = {name: saved.training[name] for name in ("log_ent_coef",) if name in saved.training}
    state = {name: saved.state[name] for name in ("spaces",) if name in saved.state}
    state["answers"] = answers_of(source.policy)
    checkpoints.write_checkpoint(folder, saved.step, saved.policy, kept, state)


def _versions(path: Path) -> dict[str, str]:
    """The versions that a run was made with; of the platform, the system and the processor only."""
    found: dict[str, str] = files.read_json(path / "versions.json")
    words = re.match(r"(\w+)-.*?(x86_64|aarch64|arm64|AMD64)", found.get("platform", ""))
    return found | ({"platform": " ".join(words.groups())} if words else {})


def _picture(run: Run) -> bytes | None:
    """An animation of the policy where it learned; None, with a warning, where there is no GL."""
    simulation = simulation_for(run.policy, run.task, run.domain, seed=SHORT_SEED, threads=1)
    try:
        frames = short_clip(
            run.policy, simulation, PICTURE_SIZE, PICTURE_FRAMES, simulation.domain.name
        )
    except RenderingUnavailable as error:
        warnings.warn(f"{error}; the card has no picture", stacklevel=3)
        return None
    return encode_gif(frames, SHORT_S, PICTURE_COLORS)


def _origin(card: dict[str, Any]) -> str:
    """How large the policy is and where it comes from."""
    large = f"A policy of {card['parameters']:,} numbers"
    if card["kind"] == "foreign":
        return f"{large}, trained elsewhere by {card['algorithm'].upper()}:"
    return (
        f"{large}, trained in `{card['domain']}` by {card['algorithm'].upper()} for "
        f"{card['steps']:,} control steps, seed {card['seed']}:"
    )


def _page(card: dict[str, Any], pictured: bool) -> str:
    """The card for people, in Markdown."""
    succeeded = any("success" in domain for domain in card["domains"])
    columns = ["domain", "return", "95 % of this policy", "length", "failed"]
    columns += ["success"] if succeeded else []
    lines = [
        f"# {card['task']}",
        "",
        card["about"],
        "",
        *(["![The policy at work](picture.gif)", ""] if pictured else []),
        _origin(card),
        "",
        f"    {card['command']}",
        "",
        f"{card['episodes']} episodes in each domain, seed {card['evaluation_seed']}. The "
        "intervals are those of this policy over episodes; another training may end elsewhere.",
        "",
        f"| {' | '.join(columns)} | |",
        f"|---|{'---:|' * (len(columns) - 1)}---|",
    ]
    for domain in card["domains"]:
        cells = [
            f"`{domain['domain']}`",
            "–" if domain["mean_return"] is None else f"{domain['mean_return']:,.1f}",
            "–" if domain["low"] is None else f"{domain['low']:,.1f} to {domain['high']:,.1f}",
            f"{domain['mean_length']:,.0f}",
            f"{domain['failed']} ({_percents(domain['failure_interval'])})",
            *([_success(domain)] if succeeded else []),
            domain["about"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for name, version in card["versions"].items())
    return "\n".join([*lines, "", f"Made with {versions}.", ""])


def _success(domain: dict[str, Any]) -> str:
    return f"{100 * domain['success']:.0f} % ({_percents(domain['success_interval'])})"


def _percents(bounds: Sequence[float]) -> str:
    return f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f} %"
