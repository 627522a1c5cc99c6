"""Distillation: the student acts, the teacher labels its states, the student learns the labels.

    s ~ d_student,    minimize  E_s [ KL( teacher(. | s) || student(. | s) ) ]

over all states seen so far (DAgger: Ross, Gordon & Bagnell 2011, arXiv:1011.0686; policy
distillation: Rusu et al. 2015, arXiv:1511.06295; the student acting: Czarnecki et al. 2019,
arXiv:1902.02186). The divergence of the two diagonal Gaussians has a closed form, nothing is
sampled; for SAC it is that of the Gaussians before the squash, which a bijection leaves as it is.
TD3's actor is deterministic and gets the squared error of the actions, as does `loss: mse`. Other
losses: `reverse_kl`, KL(student || teacher), which stays within one of several modes; `nll` of
actions drawn from the teacher; `huber`, which outliers pull less.

After the first rounds the teacher may act with a probability that falls, beta, beta^2, ... (section
3.1 of DAgger). With `teachers` each teacher labels the states of its own domain (Rusu et al. 2015,
section 3.2): runs, zips of models, or exported ONNX files. One of another algorithm, and a file,
tell their actions alone, which are compared by the squared error.

The critic is distilled too: PPO's values by regression on the teacher's at the same states, the
Q functions of SAC and TD3 at the states and actions that were played. The student may be
smaller or larger; observation statistics are the teacher's and stay so. It may observe more
control steps than its teacher (`history`); the statistics are then its own. A teacher whose actor
sees what only a simulator knows (`privileged_actor`) is asked with it, and the student learns to
do without (Chen et al. 2019, "Learning by cheating", arXiv:1912.12294). Any other teacher may be
asked with the true observation (`teacher_sees: truth`), without noise, bias and delay of the
target's sensors; what the student learns is then also to filter. The student `rma` estimates
the encoding of a teacher with a `context_encoder` (see `sim2real.transfer.rma`).

It assumes of the target that it may be acted in, not that it gives rewards; and that the teacher
is worth imitating there: at best the student acts as the teacher does. To compress a policy,
distill in the domains that it was trained in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field, model_validator
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import History
from sim2real.domains import load_domain
from sim2real.errors import UserError
from sim2real.learning.recipe_checks import check_estimates
from sim2real.policies.anatomy import anatomy
from sim2real.policies.build import build_algorithm
from sim2real.policies.recipe import AnyRecipe
from sim2real.runs.contract import terms_of
from sim2real.runs.run import Run
from sim2real.transfer.budget import Budget
from sim2real.transfer.columns import copy_entropy_coefficient, in_columns_of, take_along
from sim2real.transfer.distillation import Distillation, Teaching
from sim2real.transfer.manifest import Action
from sim2real.transfer.method import LearnerMethod, Prepared, learn_beside, rows_of
from sim2real.transfer.rma import adapted_recipe, adopt, require_present
from sim2real.transfer.schedule import KeepFrozen
from sim2real.transfer.target import Target
from sim2real.transfer.teachers import Teacher, teacher_of
from sim2real.transfer.work import Work

SMALL = (32, 32)
NUM_ENVS = 16


class Distill(Teaching, LearnerMethod):
    """Make a student of another size act as the source's policy does."""

    name: ClassVar[str] = "distill"
    may_remember_more: ClassVar[bool] = True
    needs_reward: ClassVar[bool] = False

    history: History | None = None
    """Control steps that the student observes, at least the teacher's; by default as many, for rma
    20."""
    teachers: dict[str, str] = Field(default_factory=dict)
    """Further teachers by the domain that each teaches in: a run, the zip of a model, or an ONNX
    file. That of the target takes the source's place; the worlds of the others are free."""

    @model_validator(mode="after")
    def _knows_its_teachers(self) -> Distill:
        if self.teachers and (self.student == "rma" or self.teacher_sees != "sensed"):
            raise ValueError(
                "teachers: what is privileged differs from domain to domain; allowed with them: "
                "another student than rma, and teacher_sees sensed"
            )
        return self

    @property
    def source_may_differ(self) -> bool:
        """A teacher that finds its terms by name may be of another task."""
        return self.teacher_sees == "privileged"

    def target_recipe(self, source: AnyRecipe, budget: Budget) -> AnyRecipe:
        """The source's recipe with the student's layers."""
        worlds: dict[str, Any] = {"num_envs": NUM_ENVS, "estimate": {}}
        if self.history is not None:
            worlds["history"] = self.history
        if self.teacher_sees != "sensed":
            worlds["privileged"] = True
        if source.privileged_actor:  # for the teacher; the student acts without
            context_alone = source.privileged == "context" and self.teacher_sees == "sensed"
            shown = "context" if context_alone else True
            worlds |= {"privileged": shown, "privileged_actor": False}
        if self.student == "rma":
            worlds |= adapted_recipe(source, self.history, self.recipe)
        if self.student in ("same", "rma"):
            return self.resized(source, **worlds)
        layers = SMALL if self.student == "small" else self.student
        return self.resized(source, **worlds, net_arch=layers, critic_net_arch=None)

    def scheduled(self, source: AnyRecipe, budget: Budget) -> object:
        """Nothing: all counts are of rounds and minibatches."""
        return None

    def of_learner(self, recipe: AnyRecipe) -> AnyRecipe:
        """Rollouts of its own length, at a constant rate."""
        length = "n_steps" if recipe.algorithm == "ppo" else "train_freq"
        return recipe.model_copy(update={length: self.rollout, "lr_schedule": "constant"})

    def learned(self, source: Run, target: Target, work: Work, budget: Budget) -> BasePolicy:
        """The student; with `teachers` it learns from each in its own domain."""
        if not self.teachers:
            return super().learned(source, target, work, budget)
        if work.recipe.needs_privileged:
            raise UserError(
                "teachers: what is privileged differs from domain to domain; allowed with them: "
                "a source and a student without it"
            )
        here = [name for name in self.teachers if target.is_target(load_domain(target.task, name))]
        if len(here) > 1:
            raise UserError(f"teachers: {' and '.join(here)} are both the target; allowed: one")
        others = [name for name in self.teachers if name not in here]
        worlds, history = work.recipe.num_envs, work.recipe.history
        beside = [work.env(name, worlds) for name in others]

        def prepare(env: VecEnv, whole: Budget) -> Prepared:
            named = [self.teachers[name] for name in (*here, *others)]
            asked = [teacher_of(path, source, history, env) for path in named]
            faculty = asked if here else [in_columns_of(source, env), *asked]
            return self._prepared(source, work.recipe, env, faculty, work.seed)

        return learn_beside(target, work, budget, beside, prepare)

    def prepare(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, budget: Budget, seed: int
    ) -> Prepared:
        """A fresh student with the teacher's statistics, and the loop that teaches it."""
        own = self.teacher_sees == "privileged"
        teacher = source.policy if own else in_columns_of(source, env)
        return self._prepared(source, recipe, env, [teacher], seed)

    def _prepared(
        self, source: Run, recipe: AnyRecipe, env: VecEnv, teachers: Sequence[Teacher], seed: int
    ) -> Prepared:
        """The student of `teachers`, each of which has as many of the worlds of `env`."""
        check_estimates(recipe)
        if self.student == "rma":
            require_present(source, "student 'rma'")
        if self.teacher_sees == "truth":
            require_present(source, "teacher_sees 'truth'")
        if self.teacher_sees == "privileged" and source.config.parsed_recipe().needs_privileged:
            raise UserError(
                "teacher_sees 'privileged': networks of the teacher observe what is privileged in "
                "its own task; allowed: a teacher that was trained without"
            )
        student = build_algorithm(recipe, env, seed)
        if self.student == "rma":
            action_of, constant = adopt(source, student.policy)
        else:
            other = self.teacher_sees == "privileged"
            action_of, constant = _with_statistics(source, recipe, student.policy, other)
        if copy_entropy_coefficient(source.checkpoint.training.get("log_ent_coef"), student):
            action_of["log_ent_coef"] = "copied"
        taught = terms_of(source.task_info)
        loop = Distillation(student, teachers, self, seed, taught)
        return Prepared(loop, rows_of(loop, action_of), (KeepFrozen(constant),))


def _with_statistics(
    source: Run, recipe: AnyRecipe, student: BasePolicy, sees_other_terms: bool
) -> tuple[dict[str, Action], tuple[str, ...]]:
    """Give a student its teacher's noise, and its statistics if it sees what the teacher does.

    Returns the action for each tensor, and which are constant.
    """
    parts, teacher = anatomy(student), source.config.parsed_recipe()
    same = (recipe.history, recipe.encoder) == (teacher.history, teacher.encoder)
    same &= not sees_other_terms
    places = ("statistics", "noise") if same else ("noise",)  # of other sizes than the layers'
    taken = [name for name, part in parts.items() if part.place in places]
    action_of = take_along(source.policy, student, taken)
    statistics = [name for name in taken if parts[name].place == "statistics"]
    action_of |= {name: "frozen" for name in statistics if action_of[name] == "copied"}
    return action_of, tuple(statistics)
