"""What each tensor of a policy is: of the actor or the critic, trunk or head, statistics or noise.

One description for PPO, SAC and TD3, with and without an asymmetric critic and a normalizer, by
the names of `policy.state_dict()`:

    PPO   mlp_extractor.policy_net, action_net, log_std | mlp_extractor.value_net, value_net
    SAC   actor.latent_pi, actor.mu, actor.log_std      | critic.qf0, critic.qf1, critic_target.*
    TD3   actor.mu, actor_target.mu                     | critic.qf0, critic.qf1, critic_target.*

The statistics are those of the normalizers in `*features_extractor`; an `encoder` there has layers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn

Role = Literal["actor", "critic", "shared"]
Place = Literal["trunk", "head", "residual", "statistics", "noise"]

_CRITIC = re.compile(r"(mlp_extractor\.value_net|value_net|vf_features_extractor|critic\w*)\.")
_TARGET = re.compile(r"(actor|critic)_target\.(.*)")
_LAYER = re.compile(r"(.*\b(?:policy_net|value_net|latent_pi|encoder|(mu|qf\d+)))\.(\d+)\.\w+")
"""A layer of a stack. Group 2: the stack ends with the head, otherwise the head is a module."""
_ENCODER = "features_extractor.encoder."
_RESIDUAL = re.compile(r".*\.residual\.(\d+)\.\w+")
"""A layer of a residual policy, added to the head."""


@dataclass(frozen=True)
class Part:
    """What one tensor of a policy is."""

    role: Role
    """The network it belongs to; `shared`: one tensor that both actor and critic read."""
    place: Place
    """`trunk`: a hidden layer; `head`: the last layer, SAC's log_std layer included; `residual`: of
    a network that is added to the head; `statistics`: of the observations; `noise`: exploration
    noise that does not depend on the observation."""
    reads_input: bool = False
    """Whether it is of the layer that reads the observation."""
    follows: str = ""
    """The tensor of which this one, in a target network, is the moving average."""


def named_tensors(policy: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer by its `state_dict` name; the tensors themselves, no copies."""
    return dict(policy.state_dict(keep_vars=True))


def anatomy(policy: BasePolicy) -> dict[str, Part]:
    """The part of every tensor of the policy of PPO, SAC or TD3, by name."""
    tensors = named_tensors(policy)
    layers = {name: found for name in tensors if (found := _LAYER.fullmatch(name))}
    last = {found[1]: int(found[3]) for found in layers.values()}  # in the order of the layers
    roles: dict[int, set[Role]] = {}
    for name, tensor in tensors.items():
        roles.setdefault(id(tensor), set()).add(_role(name))
    hidden = (name for name, found in layers.items() if not found[2] and _ENCODER not in name)
    deep = {_role(name) for name in hidden}
    parts: dict[str, Part] = {}
    for name, tensor in tensors.items():
        of = roles[id(tensor)]
        role: Role = "shared" if len(of) > 1 else next(iter(of))
        layer = layers.get(name)
        place = _place(name, layer, last)
        first = layer[3] == "0" if layer else place == "head" and role not in deep
        if added := _RESIDUAL.fullmatch(name):
            first = added[1] == "0"
        first &= not name.endswith((".lora_B", ".weight_hh_l0"))  # these read what is inside
        parts[name] = Part(role, place, first, follower_of(name))
    return parts


def _role(name: str) -> Role:
    return "critic" if _CRITIC.match(name) else "actor"


def _place(name: str, layer: re.Match[str] | None, last: dict[str, int]) -> Place:
    if layer is not None:
        return "head" if layer[2] and int(layer[3]) == last[layer[1]] else "trunk"
    if _RESIDUAL.fullmatch(name):
        return "residual"
    if "features_extractor." in name:
        return "statistics"
    return "noise" if name == "log_std" else "head"


def follower_of(name: str) -> str:
    """The tensor or layer that `name`, in a target network, follows; "" for all others."""
    target = _TARGET.fullmatch(name)
    return f"{target[1]}.{target[2]}" if target else ""


def actor_parameters(policy: BasePolicy) -> list[nn.Parameter]:
    """The parameters that decide the action, target networks left out."""
    parts = anatomy(policy)
    return [
        parameter
        for name, parameter in policy.named_parameters()
        if parts[name].role != "critic" and not parts[name].follows
    ]


def actor_layers(policy: BasePolicy) -> list[list[nn.Parameter]]:
    """The parameters that decide the action by layer, the last one first, without the noise.

    The heads are one layer, together with a residual policy.
    """
    parts, layers = anatomy(policy), dict[str, list[nn.Parameter]]()
    for name, parameter in policy.named_parameters():
        part = parts[name]
        if part.role != "critic" and not part.follows and part.place != "noise":
            layer = name.rpartition(".")[0] if part.place == "trunk" else "head"
            layers.setdefault(layer, []).append(parameter)
    heads = layers.pop("head")
    return [heads, *reversed(layers.values())]


def optimizer_owners(policy: BasePolicy) -> dict[str, Any]:
    """The modules that have an optimizer, by name: the policy (PPO), its actor and critic."""
    if isinstance(policy, ActorCriticPolicy):
        return {"policy": policy}
    return {name: getattr(policy, name) for name in ("actor", "critic")}
