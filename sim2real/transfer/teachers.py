"""Teachers: policies whose actions a student learns, of any algorithm or of an exported file.

A teacher of the student's algorithm answers with the distribution of its actions. Of any other,
and of an ONNX file, the deterministic actions alone are compared: the normal of PPO and the
squashed one of SAC have no divergence in closed form.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor

from sim2real.errors import UserError
from sim2real.evaluation.rollout import Policy
from sim2real.policies.encoders import policy_terms
from sim2real.runs.contract import Contract, compare, in_words, terms_of
from sim2real.runs.load import is_zip, load_run
from sim2real.runs.onnx_file import OnnxPolicy, onnx_in
from sim2real.runs.rescaling import normalized
from sim2real.runs.run import Run
from sim2real.transfer.columns import in_columns_of
from sim2real.transfer.gaussians import DiagonalGaussian, actor_gaussian
from sim2real.transfer.target import contract_in

FAMILIES = (ActorCriticPolicy, SACPolicy, TD3Policy)


Teacher = Policy
"""What can be asked for actions in [-1, 1]: (n, k) -> (n, nu)."""


def teacher_of(path: str, source: Run, history: int, env: VecEnv) -> Teacher:
    """The policy of a run, of the zip of a model, or of an ONNX file, for what `env` shows.

    `env` shows `history` control steps of the task of `source`. Raises UserError for a teacher that
    acts on what is privileged, and for one that observes or commands something else.
    """
    task, domain = source.task, source.domain
    place = onnx_in(path)
    if place is not None:
        exported = OnnxPolicy(place)
        _require_fit(path, exported.contract, _unnamed(contract_in(task, domain, history=history)))
        return exported
    run = normalized(load_run(path, task=task) if is_zip(path) else load_run(path))
    recipe = run.config.parsed_recipe()
    if recipe.privileged_actor:
        raise UserError(
            f"teacher {path}: its actor observes privileged columns, which differ from domain to "
            "domain; allowed: its student, or the teacher as the source"
        )
    seen = min(recipe.history, history)
    own = replace(Contract.of(run.task_info), observations=policy_terms(terms_of(run.task_info)))
    _require_fit(path, own, contract_in(task, domain, history=seen))
    return in_columns_of(run, env)


def _require_fit(path: str, teacher: Contract, student: Contract) -> None:
    wrong = [one for one in compare(teacher, student) if not one.fits]
    if wrong:
        words = in_words(wrong, "for the teacher", "for the student")
        raise UserError(f"teacher {path} does not fit: {words}; allowed: the student's spaces")


def _unnamed(contract: Contract) -> Contract:
    """The contract without the names of single numbers, which an exported policy does not tell."""
    terms = tuple(replace(term, columns=()) for term in contract.observations)
    return replace(contract, observations=terms)


def is_kind_of(teacher: Teacher, student: BasePolicy) -> bool:
    """Whether both are of one family: PPO, SAC or TD3."""
    return any(isinstance(teacher, one) and isinstance(student, one) for one in FAMILIES)


def label(teacher: Teacher, observations: Tensor, student: BasePolicy) -> DiagonalGaussian:
    """What `teacher` answers to `observations` (m, k), without gradients.

    The distribution of its actions if it is a kind of `student`; else its actions alone.
    """
    with torch.no_grad():
        if is_kind_of(teacher, student):
            return actor_gaussian(teacher, observations)  # type: ignore[arg-type]
        actions, _ = teacher.predict(observations.numpy(), deterministic=True)
    return DiagonalGaussian(torch.as_tensor(actions, dtype=torch.float32), None)
