"""Everything a training needs to go on exactly where it was, as tensors and plain JSON values.

An algorithm is captured between two rollouts. What is restored makes the next rollouts, updates
and logged values equal, bit for bit, to those of a training that never stopped: weights,
optimizers, the three global random generators that stable-baselines3 draws from, the generator of
the action space, counters, the last observations, the replay buffer and the simulation.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.errors import UserError
from sim2real.runs.answers import answers_of

COUNTERS = ("num_timesteps", "_episode_num", "_n_updates", "_current_progress_remaining")
BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")

Tensors = dict[str, Tensor]
State = dict[str, Any]


class Companion(Protocol):
    """What an algorithm learns with beside its policy: `algorithm.companion`, where it has one."""

    def capture(self) -> tuple[Tensors, State]:
        """Its state between two rollouts, as tensors and JSON."""

    def restore(self, tensors: Tensors, state: State) -> None:
        """Continue from a captured state."""


def capture(algorithm: BaseAlgorithm) -> tuple[Tensors, State]:
    """The training state of `algorithm` besides the policy's own tensors."""
    tensors: Tensors = {}
    state: State = {
        "spaces": describe_spaces(algorithm),
        "answers": answers_of(algorithm.policy),
        "counters": {name: getattr(algorithm, name, 0) for name in COUNTERS},
        "episodes": [_plain(episode) for episode in algorithm.ep_info_buffer or ()],
        "successes": [bool(one) for one in algorithm.ep_success_buffer or ()],
        "optimizers": {},
    }
    for name, optimizer in optimizers(algorithm).items():
        moments, groups = capture_optimizer(optimizer)
        tensors |= prefixed(f"optimizer/{name}", moments)
        state["optimizers"][name] = groups
    state["generators"], words = generators()
    state["generators"]["action_space"] = _integers(_action_generator(algorithm).state)
    tensors |= prefixed("generator", words)
    if algorithm._last_obs is not None:
        last = {"observation": algorithm._last_obs, "start": algorithm._last_episode_starts}
        tensors |= prefixed("last", {name: _tensor(value) for name, value in last.items()})
    log_ent_coef = getattr(algorithm, "log_ent_coef", None)
    if log_ent_coef is not None:
        tensors["log_ent_coef"] = log_ent_coef.detach().clone()
    replay = getattr(algorithm, "replay_buffer", None)
    if replay is not None:
        filled, state["replay"] = capture_replay(replay)
        tensors |= prefixed("replay", filled)
    if algorithm.env is not None:
        arrays, state["worlds"] = capture_worlds(algorithm.env)
        tensors |= prefixed("worlds", arrays)
    if (companion := companion_of(algorithm)) is not None:
        beside, state["companion"] = companion.capture()
        tensors |= prefixed("companion", beside)
    return tensors, state


def restore(
    algorithm: BaseAlgorithm,
    policy: Mapping[str, Tensor],
    tensors: Mapping[str, Tensor],
    state: State,
) -> None:
    """Put a captured state back into an algorithm built from the same recipe.

    Raises UserError if the algorithm has other spaces or other networks.
    """
    load_policy(algorithm, policy, state["spaces"])
    for name, optimizer in optimizers(algorithm).items():
        moments = without(f"optimizer/{name}", tensors)
        restore_optimizer(name, optimizer, moments, state["optimizers"].get(name, ()))
    if algorithm.env is not None:
        restore_worlds(algorithm.env, without("worlds", tensors), state["worlds"])
    for name, value in state["counters"].items():
        setattr(algorithm, name, value)
    algorithm.ep_info_buffer = deque(state["episodes"], maxlen=algorithm._stats_window_size)
    successes = state.get("successes", ())  # a checkpoint of an older version has none
    algorithm.ep_success_buffer = deque(successes, maxlen=algorithm._stats_window_size)
    last = without("last", tensors)
    if last:
        algorithm._last_obs = last["observation"].numpy().copy()
        algorithm._last_episode_starts = last["start"].numpy().copy()
    if "log_ent_coef" in tensors:
        with torch.no_grad():
            cast(Any, algorithm).log_ent_coef.copy_(tensors["log_ent_coef"])
    replay = getattr(algorithm, "replay_buffer", None)
    if replay is not None:
        restore_replay(replay, without("replay", tensors), state["replay"])
    if (companion := companion_of(algorithm)) is not None:
        companion.restore(without("companion", tensors), state["companion"])
    restore_generators(without("generator", tensors), state["generators"])
    _action_generator(algorithm).state = state["generators"]["action_space"]


def companion_of(algorithm: BaseAlgorithm) -> Companion | None:
    """What the algorithm learns with beside its policy."""
    companion: Companion | None = vars(algorithm).get("companion")
    return companion


def load_policy(algorithm: BaseAlgorithm, tensors: Mapping[str, Tensor], spaces: Any) -> None:
    """Put a checkpoint's weights into the policy; UserError for other spaces or networks."""
    if (own := describe_spaces(algorithm)) != spaces:
        raise UserError(
            f"the checkpoint is of other spaces: it has {word_spaces(spaces)}, "
            f"needed are {word_spaces(own)}"
        )
    try:
        algorithm.policy.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"the checkpoint is of another network: {reason}") from None


def describe_spaces(algorithm: BaseAlgorithm) -> dict[str, Any]:
    """Shape and type of an observation and of an action, as JSON."""
    spaces = {"observation": algorithm.observation_space, "action": algorithm.action_space}
    return {
        name: {"shape": list(space.shape or ()), "dtype": str(space.dtype)}
        for name, space in spaces.items()
    }


def word_spaces(spaces: Any) -> str:
    """Spaces in words: "observation (11,) float32, action (3,) float32"."""
    try:
        words = [f"{name} {tuple(one['shape'])} {one['dtype']}" for name, one in spaces.items()]
    except (AttributeError, KeyError, TypeError):  # a damaged file
        return "none that can be read"
    return ", ".join(words)


def optimizers(algorithm: BaseAlgorithm) -> dict[str, torch.optim.Optimizer]:
    """Every optimizer of a PPO, SAC or TD3 algorithm by name."""
    found = {
        "policy": getattr(algorithm.policy, "optimizer", None),
        "actor": getattr(getattr(algorithm, "actor", None), "optimizer", None),
        "critic": getattr(getattr(algorithm, "critic", None), "optimizer", None),
        "ent_coef": getattr(algorithm, "ent_coef_optimizer", None),
    }
    return {name: optimizer for name, optimizer in found.items() if optimizer is not None}


def layers(env: VecEnv) -> Iterator[VecEnv]:
    """`env` and what it wraps, from the outside in."""
    layer: VecEnv | None = env
    while layer is not None:
        yield layer
        layer = vars(layer).get("venv")


def all_layers(env: VecEnv) -> Iterator[VecEnv]:
    """The `layers`, with the hidden `__venv` of a closed one, or its parts, in its place."""
    for layer in layers(env):
        hidden = [value for name, value in vars(layer).items() if name.endswith("__venv")]
        inside = hidden or vars(layer).get("parts", ())
        for one in inside:
            yield from all_layers(one)
        if not inside:
            yield layer


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors under the names prefix/name."""
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def without(prefix: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """The tensors whose names begin with prefix/, without it."""
    start = f"{prefix}/"
    return {
        name.removeprefix(start): tensor
        for name, tensor in tensors.items()
        if name.startswith(start)
    }


def _tensor(array: Any) -> Tensor:
    """A tensor with a copy of an array; strings and objects are refused, as Torch has none."""
    return torch.from_numpy(np.array(array))


def _plain(episode: Mapping[str, Any]) -> dict[str, Any]:
    """An episode's entry ("r", "l", "t") with Python numbers instead of NumPy's."""
    return {name: np.asarray(value).item() for name, value in episode.items()}


def capture_optimizer(
    optimizer: torch.optim.Optimizer,
) -> tuple[Tensors, list[dict[str, Any]]]:
    """The moments of an optimizer and the options of its groups."""
    state = optimizer.state_dict()
    moments = {
        f"{index}/{name}": torch.as_tensor(value)
        for index, entry in state["state"].items()
        for name, value in entry.items()
    }
    return moments, state["param_groups"]


def restore_optimizer(
    name: str,
    optimizer: torch.optim.Optimizer,
    moments: Tensors,
    groups: Sequence[Mapping[str, Any]],
) -> None:
    """Make an optimizer continue from captured moments and options."""
    entries: dict[int, dict[str, Tensor]] = {}
    for key, tensor in moments.items():
        index, _, moment = key.partition("/")
        entries.setdefault(int(index), {})[moment] = tensor.clone()
    options = [
        {key: tuple(value) if key == "betas" else value for key, value in group.items()}
        for group in groups
    ]
    try:
        optimizer.load_state_dict({"state": entries, "param_groups": options})
    except ValueError as error:
        raise UserError(
            f"the checkpoint's {name} optimizer is of another network: {error}"
        ) from None


def _action_generator(algorithm: BaseAlgorithm) -> Any:
    """The generator from which the action space draws."""
    return algorithm.action_space.np_random.bit_generator


def generators() -> tuple[State, Tensors]:
    """The state of the global generators of Python, NumPy and Torch."""
    version, words, gauss = random.getstate()
    legacy = np.random.get_state(legacy=False)  # noqa: NPY002
    state = {
        "python": [version, gauss],
        "numpy": [legacy["state"]["pos"], legacy["has_gauss"], legacy["gauss"]],
    }
    tensors = {
        "python": torch.tensor(words, dtype=torch.int64),
        "numpy": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
        "torch": torch.random.get_rng_state(),
    }
    return state, tensors


def restore_generators(tensors: Mapping[str, Tensor], state: State) -> None:
    """Make the global generators continue from a captured state."""
    version, gauss = state["python"]
    random.setstate((version, tuple(tensors["python"].tolist()), gauss))
    pos, has_gauss, cached = state["numpy"]
    key = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", key, pos, has_gauss, cached))  # noqa: NPY002
    torch.random.set_rng_state(tensors["torch"].clone())


def _integers(state: Any) -> Any:
    """The state of a bit generator (PCG64: integers of 128 bits) as JSON."""
    if isinstance(state, Mapping):
        return {key: _integers(value) for key, value in state.items()}
    return state if isinstance(state, str) else int(state)


def capture_replay(buffer: ReplayBuffer) -> tuple[Tensors, State]:
    """The filled part of a replay buffer."""
    filled = buffer.buffer_size if buffer.full else buffer.pos
    tensors = {name: _tensor(getattr(buffer, name)[:filled]) for name in BUFFER}
    return tensors, {"pos": int(buffer.pos), "full": bool(buffer.full)}


def restore_replay(buffer: ReplayBuffer, tensors: Tensors, state: State) -> None:
    """Fill a replay buffer with what another one held."""
    filled = len(tensors["rewards"])
    if filled > buffer.buffer_size or tensors["rewards"].shape[1] != buffer.n_envs:
        raise UserError(
            f"the checkpoint's replay buffer is {tuple(tensors['rewards'].shape)}, "
            f"the algorithm's is {(buffer.buffer_size, buffer.n_envs)}"
        )
    for name in BUFFER:
        getattr(buffer, name)[:filled] = tensors[name].numpy()
    buffer.pos, buffer.full = state["pos"], state["full"]


def capture_worlds(env: VecEnv) -> tuple[Tensors, State]:
    """The state behind the algorithm: the simulation's arrays, and the counts of a meter."""
    tensors: Tensors = {}
    state: State = {}
    for depth, layer in enumerate(all_layers(env)):
        simulation, meter = vars(layer).get("simulation"), vars(layer).get("meter")
        if simulation is not None:
            arrays: Mapping[str, NDArray[Any]] = simulation.snapshot()
            tensors |= prefixed(
                str(depth), {name: _tensor(value) for name, value in arrays.items()}
            )
            state[f"{depth}/reset"] = {"begun": simulation.begun, "seeds": layer._seeds}
        if meter is not None:
            state[str(depth)] = meter.state()
    return tensors, state


def restore_worlds(env: VecEnv, tensors: Mapping[str, Tensor], state: State) -> None:
    """Make the simulation and the meter behind `env` continue from a captured state."""
    for depth, layer in enumerate(all_layers(env)):
        simulation, meter = vars(layer).get("simulation"), vars(layer).get("meter")
        if simulation is not None:
            arrays = without(str(depth), tensors)
            simulation.restore({name: tensor.numpy().copy() for name, tensor in arrays.items()})
            if (reset := state.get(f"{depth}/reset")) is not None:  # absent in older runs
                simulation.begun, layer._seeds = reset["begun"], reset["seeds"]
        if meter is not None:
            meter.restore(state[str(depth)])
