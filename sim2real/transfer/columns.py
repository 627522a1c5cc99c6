"""Copy tensors where networks observe other columns: other parameters, hidden ones, a history.

The first layer of a network and its normalizer have one column for each number observed. Columns
are matched by name, so that a critic that observes the mass keeps its weights for it, whatever else
is drawn in the target. A column that the target does not have counts as its mean in the source:
a normalized zero. One that is new, or never varied in the source, begins with zero weights:
the critic predicts at first what the source's would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from sim2real.policies.anatomy import Part, anatomy, named_tensors
from sim2real.policies.asymmetric import Asymmetric
from sim2real.policies.build import build_offline, observation_terms
from sim2real.policies.encoders import ENCODING, EncodingExtractor, policy_terms
from sim2real.policies.modifiers import add_structure_of, merge, modifiers_of
from sim2real.policies.normalizer import normalizers
from sim2real.policies.tensors import copy_tensors
from sim2real.runs.contract import terms_of
from sim2real.runs.run import Run
from sim2real.task import ObservationTerm
from sim2real.transfer.manifest import Action

CONSTANT = 1e-12
"""Variance, in units of the squared mean or of 1, up to which a column counts as constant."""
ACTION = "action of a Q function"

Terms = Sequence[ObservationTerm]


def take_along(
    source: BasePolicy, target: BasePolicy, names: Iterable[str], before: Terms | None = None
) -> dict[str, Action]:
    """Copy the tensors `names`, by column where the observations differ; the action for each.

    `before` are the terms that the source observes. By default those of an asymmetric policy;
    others see the policy's columns alone, in both the same. Low-rank adapters of the source are
    merged into its weights.
    """
    source = merge(source) if modifiers_of(source) else source
    before, after = before or _terms(source), _terms(target)
    if before is None and after is None:
        copy_tensors(source, target, names := list(names))
        return dict.fromkeys(names, "copied")
    old = labels(before if before is not None else policy_terms(after or ()))
    new = labels(after if after is not None else policy_terms(before or ()))
    usable = set(old) - _constant(source, before or (), old)
    values, places = named_tensors(source), named_tensors(target)
    action_of: dict[str, Action] = {}
    parts = anatomy(target)
    for name in names:
        if not _has_columns(parts[name], values[name]):
            copy_tensors(source, target, [name])
            action_of[name] = "copied"
            continue
        fresh = 1.0 if name.endswith("running_var") else 0.0
        columns = _read(source, name, old), _read(target, name, new)
        action_of[name] = _move(fresh, values[name], places[name], *columns, usable)
    return action_of


def copy_entropy_coefficient(saved: Tensor | None, algorithm: Any) -> bool:
    """Take over SAC's learned entropy coefficient, if there is one; whether it was copied.

    A coefficient that starts again from 1 would turn a trained actor back into noise.
    """
    own = getattr(algorithm, "log_ent_coef", None)
    if saved is None or own is None:
        return False
    with torch.no_grad():
        own.copy_(saved)
    return True


def labels(terms: Terms) -> list[str]:
    """The name of each column: "position[0]", "context[body_mass]"."""
    return [label for term in terms for label in term.labels]


def in_columns_of(source: Run, env: VecEnv) -> BasePolicy:
    """The source's policy for the observations of `env`, its columns matched by name."""
    recipe = source.config.parsed_recipe()
    own, terms = terms_of(source.task_info), observation_terms(env)
    remembers_as_here = _policy_columns(own) == _policy_columns(terms)
    if _terms(source.policy) is None:
        if remembers_as_here and labels(policy_terms(terms)) == labels(terms):
            return source.policy
        recipe = recipe.model_copy(update={"privileged": True})  # a plain one sees every column
    algorithm = build_offline(recipe, env.observation_space, env.action_space, terms)
    before = None if remembers_as_here else own
    with torch.random.fork_rng(devices=[]):
        add_structure_of(source.policy, algorithm.policy)
    take_along(source.policy, algorithm.policy, list(named_tensors(algorithm.policy)), before)
    algorithm.policy.set_training_mode(False)
    return algorithm.policy


def _policy_columns(terms: Terms) -> int:
    return sum(term.size for term in policy_terms(terms))


def _terms(policy: BasePolicy) -> Terms | None:
    return policy.observation_terms if isinstance(policy, Asymmetric) else None


def _constant(policy: BasePolicy, terms: Terms, columns: Sequence[str]) -> set[str]:
    """The privileged columns that never varied according to the statistics; none without them."""
    still: set[str] = set()
    for one in normalizers(policy):
        scale = one.running_mean.square().clamp(min=1.0)
        found = (one.running_var <= CONSTANT * scale).tolist()
        still |= {columns[at] for at, is_still in zip(one.columns, found, strict=True) if is_still}
    return still & set(labels([term for term in terms if term.group == "privileged"]))


def _read(policy: BasePolicy, name: str, observed: list[str]) -> list[str]:
    """What the tensor `name` reads of the columns `observed`, and of what is made from them.

    Those of a network without an encoder begin with the first column, as many as it has.
    """
    module, encoder, _ = name.partition(".encoder.")
    module = module if encoder else name.rpartition(".")[0]
    if module.endswith(".normalizer"):
        columns = policy.get_submodule(module).columns
        return [observed[column] for column in columns]  # type: ignore[union-attr]
    extractor = policy.get_submodule(module if encoder else _extractor_of(policy, name))
    if not isinstance(extractor, EncodingExtractor):
        return observed
    return extractor.encoded_labels(observed) if encoder else extractor.feature_labels(observed)


def _extractor_of(policy: BasePolicy, name: str) -> str:
    """The features extractor whose features the layer of a tensor reads."""
    if isinstance(policy, ActorCriticPolicy):
        return "vf_features_extractor" if "value_net" in name else "pi_features_extractor"
    return f"{name.partition('.')[0]}.features_extractor"


def _has_columns(part: Part, value: Tensor) -> bool:
    """Whether the tensor has one column for each number observed: not a bias, nor a count."""
    return value.ndim == 1 if part.place == "statistics" else part.reads_input and value.ndim == 2


def _move(
    fresh: float, value: Tensor, place: Tensor, old: list[str], new: list[str], usable: set[str]
) -> Action:
    """Write one tensor of the source into its place in the target; `fresh` where it has none."""
    # A network sees the first columns, as many as it has, and a Q function then the actions
    before, after = _seen(old, value.shape[-1]), _seen(new, place.shape[-1])
    at = {label: index for index, label in enumerate(before)}
    made = (ACTION, ENCODING)  # of no column
    known = [label in at and (label in usable or label.startswith(made)) for label in after]
    columns = [at[label] if is_known else 0 for label, is_known in zip(after, known, strict=True)]
    with torch.no_grad():
        matched = torch.where(torch.tensor(known), value[..., columns], fresh)
        place.copy_(matched)
    return "copied" if before == after and all(known) else "adapted"


def _seen(columns: list[str], width: int) -> list[str]:
    actions = [f"{ACTION} {index}" for index in range(width - len(columns))]
    return columns[:width] + actions
