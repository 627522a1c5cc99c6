"""The policy of a stable-baselines3 zip, as a policy or as a run, without executing anything in it.

The architecture follows from the shapes of the tensors; the activation, the bounds of the actions
and more from the readable text beside the pickle.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from sim2real import files
from sim2real.config import parse
from sim2real.domains import load_domain
from sim2real.errors import UserError, unknown
from sim2real.evaluation.provenance import content, key_of
from sim2real.evaluation.references import cached
from sim2real.policies import ALGORITHMS
from sim2real.policies.build import build_offline
from sim2real.policies.recipe import ACTIVATIONS, AnyRecipe, load_recipe
from sim2real.registry import load_task
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.answers import answers_of
from sim2real.runs.run import Run, RunConfig, at_checkpoint, create_run, read_folder
from sim2real.runs.sb3_zip import Zip, read_zip
from sim2real.runs.state import describe_spaces
from sim2real.runs.vec_normalize import Statistics, read_statistics
from sim2real.simulation import ActionMap, Simulation
from sim2real.simulation.actions import Choice, chosen_map, describe_range
from sim2real.task import Task

MARKS = {
    "ppo": "mlp_extractor.policy_net.0.weight",
    "sac": "actor.latent_pi.0.weight",
    "td3": "actor.mu.0.weight",
}
"""A tensor by which the weights of each algorithm are known."""
USUAL_ACTIVATION = {"ppo": "tanh", "sac": "relu", "td3": "relu"}
"""The defaults of stable-baselines3."""
CRITICS = 2

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Foreign:
    """A policy of a zip that fits a task: what it is built of, and what was saved beside it."""

    zip: Zip
    recipe: AnyRecipe
    observation_space: spaces.Box
    action_space: spaces.Box
    action_map: ActionMap | None
    statistics: Statistics | None

    def build(self) -> BaseAlgorithm:
        """The SB3 algorithm with the policy's weights and no environment."""
        algorithm = build_offline(self.recipe, self.observation_space, self.action_space)
        policy = algorithm.policy
        try:
            policy.load_state_dict(self._weights(policy.state_dict()))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            what = f"not a plain {self.recipe.algorithm} policy with an MLP"
            raise UserError(f"{self.zip.path}: {what}: {reason}") from None
        policy.action_map = self.action_map  # type: ignore[assignment]
        policy.set_training_mode(False)
        return algorithm

    def _weights(self, own: Weights) -> dict[str, Tensor]:
        """The zip's tensors, with the statistics where the policy keeps them."""
        weights = dict(self.zip.weights)
        if self.recipe.algorithm != "ppo":
            weights = _two_critics(weights)
        if self.statistics is None:
            return weights
        found = {
            "running_mean": torch.as_tensor(self.statistics.mean),
            "running_var": torch.as_tensor(self.statistics.variance),
            "count": torch.tensor(self.statistics.count, dtype=torch.float64),
        }
        places = [name for name in own if ".normalizer." in f".{name}"]
        return weights | {name: found[name.rpartition(".")[2]] for name in places}


def read_foreign(
    path: Path | str,
    task: Task,
    algorithm: str | None = None,
    *,
    activation: str | None = None,
    normalization: Path | str | None = None,
) -> Foreign:
    """A policy in an SB3 zip (PPO, SAC or TD3 with an MLP) for `task`.

    `algorithm` and `activation` ("tanh", "relu" or "elu") are found out unless given.
    `normalization` is the file of a VecNormalize or an .npz (see `normalization`). Nothing in the
    files is executed. The zip's readable text tells the range of the actions that it was trained
    with: the task's own or [-1, 1]; where there is none, it is the task's. Raises UserError for a
    file that is missing, truncated or not such a zip, and for a policy of other spaces than the
    task's; warns where statistics are missing.
    """
    zip_ = read_zip(path)
    name = _algorithm(zip_, algorithm)
    chosen = activation or _activation(zip_.values) or USUAL_ACTIVATION[name]
    if chosen not in ACTIVATIONS:
        raise unknown("activation", chosen, ACTIVATIONS)
    simulation = Simulation(task, num_envs=1, threads=1)
    own = simulation.action_range
    actor, critic = _layers(zip_, name)
    _check_sizes(zip_, name, simulation.observation_space, own)
    described = _action_space(zip_.values, own.shape)
    if described is None:
        _warn_of_missing(zip_, own)
    action_space = described or own
    try:
        action_map = chosen_map(action_space, own, own)
    except UserError as error:
        raise UserError(f"{zip_.path}: {error}") from None
    normalized = any("normalizer.running_mean" in one for one in zip_.weights)
    statistics = _statistics(zip_, normalization, normalized, simulation.observation_space)
    options = {
        "net_arch": actor,
        "critic_net_arch": critic,
        "activation": chosen,
        "normalize_observations": normalized or statistics is not None,
        "reward_scale": 1.0,
        "history": 1,
        "privileged": False,
        "privileged_actor": False,
        "estimate": {},
        "difficulty_steps": None,
        "difficulty_success": None,
    }
    recipe = load_recipe(name, task.name, options)
    return Foreign(zip_, recipe, simulation.observation_space, action_space, action_map, statistics)


def foreign_run(
    path: Path | str,
    task: str | Task | None,
    task_options: Mapping[str, Any] | None = None,
    algorithm: str | None = None,
    **options: Any,
) -> Run:
    """The policy in an SB3 zip as a run, which can be transferred, distilled and published.

    The run is kept in the user's cache; what comes of it is written beside the zip. Arguments are
    those of `read_foreign`. Raises UserError where no task is given, too.
    """
    if task is None:
        raise UserError(f"{path} does not name its task; add --task NAME")
    loaded = load_task(task, **(task_options or {}))
    found = read_foreign(path, loaded, algorithm, **options)
    domain = load_domain(loaded, "nominal")
    details = {
        "zip": files.sha256(found.zip.path),
        "recipe": found.recipe.model_dump(mode="json"),
        "statistics": _plain(found.statistics),
    }
    key = key_of(content(loaded, domain, [__name__], kind="foreign", **details))
    folder = cached("foreign", key, lambda folder: _write(folder, found, loaded))
    run = at_checkpoint(read_folder(folder / "run"))
    config = run.config.model_copy(update={"source": str(found.zip.path.resolve())})
    return replace(run, config=config, loading=replace(run.loading, task=loaded))


def _write(folder: Path, found: Foreign, task: Task) -> None:
    """Write the run of a zip into `folder`."""
    steps = found.zip.values.get("num_timesteps")
    steps = steps if isinstance(steps, int) and 0 < steps < 2**63 else 1
    asked = {
        "kind": "foreign",
        "task": task.reference,
        "task_options": task.options,
        "algorithm": found.recipe.algorithm,
        "recipe": found.recipe.model_dump(mode="json"),
        "domain": "nominal",
        "steps": steps,
        "num_envs": found.recipe.num_envs,
    }
    actions: Choice = found.action_map or "own"
    domains = {"nominal": load_domain(task, "nominal")}
    config = parse(RunConfig, asked, str(found.zip.path))
    create_run(folder / "run", config, task, domains, actions=actions)
    algorithm = found.build()
    coefficient = found.zip.variables.get("log_ent_coef")
    kept = {} if coefficient is None else {"log_ent_coef": coefficient}
    state = {"spaces": describe_spaces(algorithm), "answers": answers_of(algorithm.policy)}
    weights = algorithm.policy.state_dict()
    checkpoints.write_checkpoint(folder / "run", steps, weights, kept, state)


def _plain(statistics: Statistics | None) -> Any:
    if statistics is None:
        return None
    return [statistics.mean.tolist(), statistics.variance.tolist(), statistics.count]


def _statistics(
    zip_: Zip, file: Path | str | None, normalized: bool, observation_space: spaces.Box
) -> Statistics | None:
    """The statistics in `file`; a warning if there is none and the zip shows that there was."""
    if file is not None:
        if normalized:
            raise UserError(f"{zip_.path} has observation statistics of its own; leave out {file}")
        return read_statistics(file, observation_space.shape[0])
    if not normalized and zip_.values.get("_last_original_obs") is not None:
        warnings.warn(
            f"{zip_.path} was trained behind VecNormalize, whose statistics are not in the zip; "
            "if it normalized observations, give its file with --normalization",
            stacklevel=4,
        )
    return None


def _warn_of_missing(zip_: Zip, own: spaces.Box) -> None:
    """Warn of what could not be compared, as the readable text of the zip lacks it."""
    what = "the range of its actions" if zip_.values else "its spaces and hyper-parameters"
    warnings.warn(
        f"{zip_.path} says nothing of {what}, so they were not compared with the task's; its "
        f"actions are taken in {describe_range(own)}",
        stacklevel=4,
    )


def _action_space(values: Mapping[str, Any], shape: tuple[int, ...]) -> spaces.Box | None:
    """The bounded action space that `data` describes beside its pickle; None where there is none.

    Its bounds stand there as NumPy prints them, "[-2. -2.]".
    """
    try:
        described = values["action_space"]
        bounds = [described[name].strip("[]").split() for name in ("low", "high")]
        low, high = np.array(bounds, dtype=np.float32).reshape(2, *shape)
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    bounded = np.isfinite([low, high]).all() and (low < high).all()
    return spaces.Box(low, high, dtype=np.float32) if bounded else None


def _algorithm(zip_: Zip, given: str | None) -> str:
    if given is not None and given not in ALGORITHMS:
        raise unknown("algorithm", given, ALGORITHMS)
    found = [name for name, mark in MARKS.items() if mark in zip_.weights]
    if not found:
        raise UserError(f"{zip_.path} holds no policy of {', '.join(ALGORITHMS)} with an MLP")
    if given not in (None, found[0]):
        raise UserError(f"{zip_.path} holds a policy of {found[0]}, not of {given}")
    return found[0]


def _activation(values: Mapping[str, Any]) -> str | None:
    """The activation that `data` names beside its pickle, as in "<class '...ReLU'>"."""
    kwargs = values.get("policy_kwargs")
    described = kwargs.get("activation_fn", "") if isinstance(kwargs, dict) else ""
    named = re.search(r"\.(\w+)'>$", str(described))
    return named[1].lower() if named else None


def _chain(zip_: Zip, prefix: str) -> list[int]:
    """Output sizes of the linear layers `prefix`.<number>.weight, in order.

    Raises UserError unless each takes what the one before gives, so that the network is no larger
    than what is stored.
    """
    pattern = re.compile(re.escape(prefix) + r"\.(\d{1,4})\.weight")
    found = {int(m[1]): name for name in zip_.weights if (m := pattern.fullmatch(name))}
    layers = [zip_.weights[found[number]] for number in sorted(found)]
    shapes = [tuple(layer.shape) for layer in layers]
    for before, after in zip([shapes[0], *shapes], shapes, strict=False) if shapes else ():
        if len(after) != 2 or (after is not before and after[1] != before[0]):
            raise UserError(f"{zip_.path}: the layers {prefix} have shapes {shapes}: no MLP")
    return [int(shape[0]) for shape in shapes]


def _layers(zip_: Zip, algorithm: str) -> tuple[list[int], list[int]]:
    """The hidden layers of the actor and the critic."""
    if algorithm == "ppo":
        names = ("mlp_extractor.policy_net", "mlp_extractor.value_net")
        actor, critic = (_chain(zip_, name) for name in names)
        return actor, critic
    critic = _chain(zip_, "critic.qf0")[:-1]
    if algorithm == "sac":
        return _chain(zip_, "actor.latent_pi"), critic
    return _chain(zip_, "actor.mu")[:-1], critic


def _check_sizes(zip_: Zip, algorithm: str, observation: spaces.Box, action: spaces.Box) -> None:
    last = {"ppo": "action_net", "sac": "actor.mu", "td3": f"actor.mu.{_last(zip_.weights)}"}
    outputs = zip_.weights.get(f"{last[algorithm]}.weight", torch.zeros(0)).shape[:1]
    has = (int(zip_.weights[MARKS[algorithm]].shape[-1]), int(outputs[0]) if outputs else 0)
    needed = (int(observation.shape[0]), int(action.shape[0]))
    if has != needed:
        raise UserError(
            f"{zip_.path} is of other spaces: it has {has[0]} observations and {has[1]} actions, "
            f"needed are {needed[0]} and {needed[1]}"
        )


def _last(weights: Weights) -> int:
    numbers = [re.fullmatch(r"actor\.mu\.(\d+)\.weight", name) for name in weights]
    return max((int(number[1]) for number in numbers if number), default=0)


def _two_critics(weights: Weights) -> dict[str, Tensor]:
    """The weights with two Q functions: the first two, or the only one twice."""
    pattern = re.compile(r"(critic(?:_target)?\.qf)(\d+)(\..*)")
    kept = {name: tensor for name, tensor in weights.items() if not pattern.fullmatch(name)}
    for name, tensor in weights.items():
        match = pattern.fullmatch(name)
        if match and int(match[2]) < CRITICS:
            kept[name] = tensor
            kept.setdefault(f"{match[1]}{CRITICS - 1}{match[3]}", tensor)
    return kept
