"""Rapid motor adaptation: a student estimates its teacher's encoding of what it cannot observe.

    teacher: a = pi(o_t, z_t),  z_t = mu(p_t),    p: the privileged columns
    student: a = pi(o_t, phi(o_t-n+1, ..., o_t)),    minimize E |phi - z_t|^2

(Kumar et al. 2021, "RMA: rapid motor adaptation for legged robots", arXiv:2107.04034.) The network
pi is the teacher's and stays so; phi learns by regression, in the states that the student reaches
itself. The observations of the past hold what was commanded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from sim2real.errors import UserError
from sim2real.policies.anatomy import anatomy
from sim2real.policies.encoders import EncodingExtractor, policy_terms
from sim2real.policies.modifiers import Frozen, apply_modifiers
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.contract import terms_of
from sim2real.runs.run import Run
from sim2real.simulation.history import newest_of
from sim2real.transfer.columns import take_along
from sim2real.transfer.manifest import Action

HISTORY = 20
"""Control steps that a student observes, by default."""
AS_TEACHER = ("encoder", "encoding", "net_arch", "critic_net_arch", "activation")
"""Options that follow from the teacher."""


def adapted_recipe(
    source: AnyRecipe, history: int | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What a student's recipe has in place of its teacher's, of which `given` is the user's.

    Raises UserError for a teacher without an encoding or with a memory, and for a student without.
    """
    if source.context_encoder is None:
        raise UserError(
            "student 'rma' learns its teacher's encoding, and the source has none; pretrain it "
            "with privileged_actor=true context_encoder=64x8"
        )
    if source.history > 1:
        raise UserError(f"history of the teacher of an rma student is {source.history}; allowed: 1")
    for name in AS_TEACHER:
        if name in given:
            raise UserError(f"recipe: the {name} of an rma student follows from its teacher")
    steps = HISTORY if history is None else history
    if steps == 1:
        raise UserError("history is 1; an rma student needs at least 2 control steps")
    return {"history": steps, "encoder": "conv", "encoding": source.context_encoder[-1]}


def require_present(source: Run, asking: str) -> None:
    """UserError for a teacher of what is `asking` that observes more than one control step."""
    for term in policy_terms(terms_of(source.task_info)):
        if len(newest_of(term)) < term.size:
            raise UserError(
                f"{asking}: the teacher observes several control steps of {term.name!r}; "
                "allowed: a teacher that observes the present alone"
            )


def adopt(source: Run, student: BasePolicy) -> tuple[dict[str, Action], tuple[str, ...]]:
    """Give `student` all networks of its teacher, and freeze the actor but for the encoder.

    Returns the action for each tensor, and which are frozen. What a memory shows besides, such as
    the last action, has zero weights.
    """
    parts = anatomy(student)
    taken = [name for name in parts if ".encoder." not in name]
    action_of = take_along(source.policy, student, taken)
    kept = [n for n in taken if parts[n].role == "actor" or parts[n].place == "statistics"]
    apply_modifiers(student, [Frozen(names=tuple(kept))])
    return action_of | dict.fromkeys(kept, "frozen"), tuple(kept)


def encoding_error(
    teacher: BasePolicy, student: BasePolicy, seen: Tensor, observations: Tensor
) -> Tensor:
    """Squared distance of the teacher's encoding of what it has `seen` and of the student's.

    Shape: (m, all columns) twice -> (m,).
    """
    target = _encoder_of(teacher).encode(seen).detach()
    return (_encoder_of(student).encode(observations) - target).square().sum(dim=1)


def _encoder_of(policy: Any) -> EncodingExtractor:
    """The extractor of the actor."""
    actor = policy if isinstance(policy, ActorCriticPolicy) else policy.actor
    extractor = actor.features_extractor
    assert isinstance(extractor, EncodingExtractor)
    return extractor
