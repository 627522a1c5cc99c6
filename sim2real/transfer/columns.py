"""Copy tensors where networks observe or command something else: other parameters, other sensors.

The first layer of a network and its normalizer have one column for each number observed. Columns
are matched by name, so that a critic that observes the mass keeps its weights for it, whatever else
is drawn in the target. A column that the target does not have counts as its mean in the source:
a normalized zero. One that is new, or never varied in the source, begins with zero weights:
the critic predicts at first what the source's would. It has statistics of its own.

So it is with actions, by the names of actuators. A Q function reads them as columns. The last layer
of an actor has a row for each: a new action has mean 0, the middle of its range, and the mean of
the source's log standard deviations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.preprocessing import get_action_dim
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
from sim2real.transfer.matching import Matching

CONSTANT = 1e-12
"""Variance, in units of the squared mean or of 1, up to which a column counts as constant."""
ACTION = "action of a Q function"
_RESIDUAL = re.compile(r"(.*\.residual)\.(\d+)\.\w+")
"""A tensor of a residual policy: its network, and the number of its layer."""

Terms = Sequence[ObservationTerm]


@dataclass(frozen=True)
class Labels:
    """Names of what two policies observe and command, in the words of the source."""

    before: list[str]
    """The columns of the source's observation."""
    after: list[str]
    usable: set[str]
    """Columns of the source that are worth copying."""
    actions_before: list[str]
    actions_after: list[str]

    @property
    def has_new(self) -> bool:
        """Whether the target observes what the source does not."""
        return not {*self.after} <= {*self.before}


def take_along(
    source: BasePolicy,
    target: BasePolicy,
    names: Iterable[str],
    before: Terms | None = None,
    matching: Matching | None = None,
) -> dict[str, Action]:
    """Copy the tensors `names`, by column where the observations differ; the action for each.

    `before` are the terms that the source observes. By default those of an asymmetric policy;
    others see the policy's columns alone, in both the same. `matching` says what is the source's
    where the target is another task. Low-rank adapters of the source are merged into its weights.
    """
    source = merge(source) if modifiers_of(source) else source
    given = _labels(source, target, before) if matching is None else _matched(source, matching)
    if given is None:
        _count_alike(source, target)
        copy_tensors(source, target, names := list(names))
        return dict.fromkeys(names, "copied")
    _count_alike(source, target, each=matching is not None and given.has_new)
    values, places = named_tensors(source), named_tensors(target)
    parts, of_actions = anatomy(target), _gives_actions(target)
    action_of: dict[str, Action] = {}
    for name in names:
        value, is_same = values[name], True
        if _has_columns(parts[name], places[name]):
            value, is_same = _in_columns(name, value, places[name], (source, target), given)
        if name in of_actions:
            value, same_rows = _in_rows(name, value, given)
            is_same &= same_rows
        with torch.no_grad():
            places[name].copy_(value)
        action_of[name] = "copied" if is_same else "adapted"
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


def _labels(source: BasePolicy, target: BasePolicy, before: Terms | None) -> Labels | None:
    """The names in one task; None where both observe the same."""
    before, after = before or _terms(source), _terms(target)
    if before is None and after is None:
        return None
    old = labels(before if before is not None else policy_terms(after or ()))
    new = labels(after if after is not None else policy_terms(before or ()))
    usable = set(old) - _constant(source, before or (), old)
    actions = [str(index) for index in range(get_action_dim(target.action_space))]
    return Labels(old, new, usable, actions, actions)


def _matched(source: BasePolicy, matching: Matching) -> Labels:
    """The names in two tasks."""
    terms = matching.source.terms
    old, actions = labels(terms), list(matching.source.actuators)
    usable = set(old) - _constant(source, terms, old)
    return Labels(old, matching.labels(), usable, actions, matching.action_labels())


def _count_alike(source: BasePolicy, target: BasePolicy, each: bool = False) -> None:
    """Count the observations of each column in the target where the source does, or for `each`."""
    if each or any(one.count.ndim for one in normalizers(source)):
        for one in normalizers(target):
            one.count_each()


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


def _has_columns(part: Part, place: Tensor) -> bool:
    """Whether a tensor of the target has one column for each number observed: no bias, no count."""
    return place.ndim == 1 if part.place == "statistics" else part.reads_input and place.ndim > 1


def _gives_actions(policy: BasePolicy) -> set[str]:
    """The names of the tensors that have a row for each action."""
    parts = anatomy(policy)
    last: dict[str, int] = {}
    for name in parts:
        if found := _RESIDUAL.fullmatch(name):
            last[found[1]] = max(last.get(found[1], 0), int(found[2]))
    return {
        name
        for name, part in parts.items()
        if (part.place == "head" and part.role != "critic")
        or part.place == "noise"
        or ((found := _RESIDUAL.fullmatch(name)) and last[found[1]] == int(found[2]))
    }


def _in_columns(
    name: str,
    value: Tensor,
    place: Tensor,
    policies: tuple[BasePolicy, BasePolicy],
    given: Labels,
) -> tuple[Tensor, bool]:
    """A tensor of the source with the columns of the target, and whether they are the same.

    Columns are the second dimension of a layer's weight, the only one of statistics.
    """
    dim = min(place.ndim - 1, 1)
    old = _read(policies[0], name, given.before)
    if name.endswith(".count"):
        value = value.expand(len(old))
    # A network sees the first columns, as many as it has, and a Q function then the actions
    before = _seen(old, value.shape[dim], given.actions_before)
    after = _seen(_read(policies[1], name, given.after), place.shape[dim], given.actions_after)
    at = {label: index for index, label in enumerate(before)}
    made = (ACTION, ENCODING)  # of no column
    known = [one in at and (one in given.usable or one.startswith(made)) for one in after]
    columns = [at[label] if is_known else 0 for label, is_known in zip(after, known, strict=True)]
    shape = [-1 if index == dim else 1 for index in range(value.ndim)]
    kept = torch.tensor(known).view(shape)
    fresh = 1.0 if name.endswith("running_var") else 0.0
    moved = torch.where(kept, value.detach().index_select(dim, torch.tensor(columns)), fresh)
    return moved, before == after and all(known)


def _in_rows(name: str, value: Tensor, given: Labels) -> tuple[Tensor, bool]:
    """A tensor of the source with the rows of the target's actions, and whether they are the same.

    A new action has mean 0, and the mean of the source's log standard deviations.
    """
    before, after = given.actions_before, given.actions_after
    if before == after:
        return value, True
    rows = value.detach()
    fresh = rows.mean(dim=0) if "log_std" in name.split(".") else torch.zeros_like(rows[0])
    moved = [rows[before.index(one)] if one in before else fresh for one in after]
    return torch.stack(moved), False


def _seen(columns: list[str], width: int, actions: list[str]) -> list[str]:
    more = [f"{ACTION} {one}" for one in actions[: max(width - len(columns), 0)]]
    return columns[:width] + more
