"""Import the policy of a stranger's stable-baselines3 zip without executing anything in it.

`PPO.load` and its like unpickle the zip's `data`, which runs whatever code was put there (SB3
issue 2281). Here only the weights are read, by Torch's loader for plain tensors; the architecture
follows from their shapes, and the activation from the readable text beside the pickle.
"""

from __future__ import annotations

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sim2real.errors import UserError, unknown
from sim2real.policies.normalizer import CheckedExtractor, NormalizedExtractor
from sim2real.simulation import Simulation
from sim2real.simulation.actions import chosen_map
from sim2real.task import Task
from sim2real.training.recipe import ACTIVATIONS, ALGORITHMS

POLICIES: dict[str, type[BasePolicy]] = {
    "ppo": ActorCriticPolicy,
    "sac": SACPolicy,
    "td3": TD3Policy,
}
MARKS = {
    "ppo": "mlp_extractor.policy_net.0.weight",
    "sac": "actor.latent_pi.0.weight",
    "td3": "actor.mu.0.weight",
}
"""A tensor by which the weights of each algorithm are known."""
USUAL_ACTIVATION = {"ppo": "tanh", "sac": "relu", "td3": "relu"}
"""What stable-baselines3 uses unless told otherwise."""

Weights = Mapping[str, Tensor]


def load_foreign(
    zip_path: Path | str,
    task: Task,
    algorithm: str | None = None,
    *,
    activation: str | None = None,
) -> BasePolicy:
    """The policy in an SB3 zip (PPO, SAC or TD3 with an MLP), on the CPU, in evaluation mode.

    `algorithm` and `activation` ("tanh", "relu" or "elu") are found out unless given. Nothing in
    the file is executed. Its readable text tells the range of the actions that it was trained with:
    the task's own or [-1, 1]; where there is none, it is the task's. Raises UserError for a file
    that is missing, truncated or not such a zip, and for a policy of other spaces than the task's.
    """
    path = Path(zip_path)
    weights, text = _read(path)
    algorithm = _algorithm(path, weights, algorithm)
    activation = activation or _activation(text) or USUAL_ACTIVATION[algorithm]
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    simulation = Simulation(task, num_envs=1, threads=1)
    observation_space, own = simulation.observation_space, simulation.action_range
    _check_sizes(path, weights, algorithm, observation_space, own)
    action_space = _action_space(text, own.shape) or own
    try:
        to_task = chosen_map(action_space, own, own)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    normalized = any("normalizer.running_mean" in name for name in weights)
    options: dict[str, Any] = {
        "net_arch": _layers(weights, algorithm),
        "activation_fn": ACTIVATIONS[activation],
        "features_extractor_class": NormalizedExtractor if normalized else CheckedExtractor,
    }
    if algorithm != "ppo":
        options["n_critics"] = len({name for name in weights if _is_critic(name)})
    with torch.random.fork_rng(devices=[]):
        policy = POLICIES[algorithm](observation_space, action_space, _no_learning, **options)
    try:
        policy.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: not a plain {algorithm} policy with an MLP: {reason}") from None
    policy.action_map = to_task  # type: ignore[assignment]
    policy.set_training_mode(False)
    return policy


def _read(path: Path) -> tuple[Weights, str]:
    """The policy's tensors, and the text of `data`, which is read as text only."""
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with warnings.catch_warnings(action="ignore"):  # of an old or odd file
            _, parameters, _ = load_from_zip_file(path, load_data=False, device="cpu")
        with zipfile.ZipFile(path) as archive:
            named = "data" in archive.namelist()
            text = archive.read("data").decode(errors="replace") if named else ""
    except (ValueError, RuntimeError, EOFError, OSError, KeyError) as error:
        raise _broken(path, error) from None
    except (UnpicklingError, zipfile.BadZipFile, zlib.error) as error:
        raise _broken(path, error) from None
    weights: Any = parameters.get("policy")
    tensors = isinstance(weights, Mapping) and all(isinstance(w, Tensor) for w in weights.values())
    if not tensors:
        # A zip that was cut off may still open as one of the zips within it
        raise _broken(path, ValueError("it holds no weights of a policy"))
    return weights, text


def _broken(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:200]
    return UserError(f"{path} is not a whole stable-baselines3 zip: {reason}")


def _algorithm(path: Path, weights: Weights, given: str | None) -> str:
    if given is not None and given not in ALGORITHMS:
        raise unknown("algorithm", given, ALGORITHMS)
    found = [name for name, mark in MARKS.items() if mark in weights]
    if not found:
        raise UserError(f"{path} holds no policy of {', '.join(ALGORITHMS)} with an MLP")
    if given not in (None, found[0]):
        raise UserError(f"{path} holds a policy of {found[0]}, not of {given}")
    return found[0]


def _activation(text: str) -> str | None:
    """The activation that `data` names beside its pickle, as in "<class '...ReLU'>"."""
    try:
        described = json.loads(text).get("policy_kwargs", {}).get("activation_fn", "")
    except (json.JSONDecodeError, AttributeError):
        return None
    named = re.search(r"\.(\w+)'>$", str(described))
    return named[1].lower() if named else None


def _action_space(text: str, shape: tuple[int, ...]) -> spaces.Box | None:
    """The bounded action space that `data` describes beside its pickle; None where there is none.

    Its bounds stand there as NumPy prints them, "[-2. -2.]".
    """
    try:
        described = json.loads(text)["action_space"]
        bounds = [described[name].strip("[]").split() for name in ("low", "high")]
        low, high = np.array(bounds, dtype=np.float32).reshape(2, *shape)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
        return None
    bounded = np.isfinite([low, high]).all() and (low < high).all()
    return spaces.Box(low, high, dtype=np.float32) if bounded else None


def _sizes(weights: Weights, prefix: str) -> list[int]:
    """Output sizes of the linear layers `prefix`.<number>.weight, in order."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.weight")
    found = {int(m[1]): name for name in weights if (m := pattern.fullmatch(name))}
    return [int(weights[found[number]].shape[0]) for number in sorted(found)]


def _layers(weights: Weights, algorithm: str) -> dict[str, list[int]]:
    """`net_arch` of the policy: the hidden layers of the actor and the critic."""
    if algorithm == "ppo":
        names = {"pi": "mlp_extractor.policy_net", "vf": "mlp_extractor.value_net"}
        return {part: _sizes(weights, prefix) for part, prefix in names.items()}
    critic = _sizes(weights, "critic.qf0")[:-1]
    if algorithm == "sac":
        return {"pi": _sizes(weights, "actor.latent_pi"), "qf": critic}
    return {"pi": _sizes(weights, "actor.mu")[:-1], "qf": critic}


def _check_sizes(
    path: Path, weights: Weights, algorithm: str, observation: spaces.Box, action: spaces.Box
) -> None:
    last = {"ppo": "action_net", "sac": "actor.mu", "td3": f"actor.mu.{_last(weights)}"}[algorithm]
    outputs = weights.get(f"{last}.weight", torch.zeros(0)).shape[0]
    has = (int(weights[MARKS[algorithm]].shape[-1]), int(outputs))
    needed = (int(observation.shape[0]), int(action.shape[0]))
    if has != needed:
        raise UserError(
            f"{path} is of other spaces: it has {has[0]} observations and {has[1]} actions, "
            f"needed are {needed[0]} and {needed[1]}"
        )


def _last(weights: Weights) -> int:
    numbers = [re.fullmatch(r"actor\.mu\.(\d+)\.weight", name) for name in weights]
    return max((int(number[1]) for number in numbers if number), default=0)


def _is_critic(name: str) -> bool:
    return re.fullmatch(r"critic\.qf\d+\.0\.weight", name) is not None


def _no_learning(remaining: float) -> float:
    return 0.0
