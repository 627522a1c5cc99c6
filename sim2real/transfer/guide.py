"""Guides: another policy acts in the first control steps of each episode, in fewer and fewer.

    a_k = guide(s_k)  for k < h_t,  else the learner's,    h_t = h_0 max(1 - t / T, 0)

with k the control step of the episode and t that of the training (Uchendu et al. 2022, "Jump-start
reinforcement learning", arXiv:2204.02372). The learner begins where the guide has led it, so that
it finds the reward; the part that it must know itself grows backwards. The paper lowers h after
evaluations; here it falls linearly, as evaluations would use the budget. SAC and TD3 learn from the
guide's steps as well; PPO learns from its own actions alone and is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from sim2real.config import Config, Count
from sim2real.errors import UserError
from sim2real.runs.run import Run
from sim2real.transfer.columns import in_columns_of
from sim2real.transfer.teachers import Teacher


class Guided(Config):
    """The options of a method whose source may lead it into the episodes."""

    guide: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    """Part of the budget in which the source acts in the first control steps of each episode."""
    guide_steps: Count | None = None
    """Of how many control steps at first, before they fall to 0; None: of whole episodes."""

    @model_validator(mode="after")
    def _guides_for_a_while(self) -> Guided:
        if self.guide_steps is not None and not self.guide:
            raise ValueError("guide_steps are those of a guide that acts in no part; set guide")
        return self

    def guides(
        self, source: Run, algorithm: BaseAlgorithm, env: VecEnv, steps: int
    ) -> tuple[BaseCallback, ...]:
        """The guide of a training of `steps` control steps, if there is one.

        Raises UserError for an algorithm that learns from its own actions alone.
        """
        if not self.guide:
            return ()
        if not isinstance(algorithm, OffPolicyAlgorithm):
            raise UserError("guide: PPO learns from its own actions alone; allowed: sac, td3")
        first = self.guide_steps or longest_episode(env)
        return (Guide(in_columns_of(source, env), first, self.guide * steps),)


def longest_episode(env: VecEnv) -> int:
    """Control steps of the longest episode of the task of `env`."""
    steps: float = env.get_attr("task")[0].episode_s / env.get_attr("dt")[0]
    return max(1, round(steps))


class Guide(BaseCallback):
    """Lets `policy` act in the first `first` control steps of episodes, falling to 0 in `steps`."""

    def __init__(self, policy: Teacher, first: int, steps: float) -> None:
        super().__init__()
        self._policy, self._first, self._steps = policy, first, steps
        self._ages = np.zeros(0, int)

    def guided(self, done: int) -> int:
        """Control steps of an episode in which the guide acts, after `done` of the training."""
        return round(self._first * max(1.0 - done / self._steps, 0.0))

    def state(self) -> dict[str, Any]:
        """How old the present episodes are, as JSON."""
        return {"ages": self._ages.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self._ages = np.array(state["ages"], int)

    def _on_training_start(self) -> None:
        model: Any = self.model
        if len(self._ages) != model.n_envs:
            self._ages = np.zeros(model.n_envs, int)
        own = type(model)._sample_action

        def sample(*arguments: Any, **options: Any) -> tuple[Any, Any]:
            action, scaled = own(model, *arguments, **options)
            led = self._ages < self.guided(model.num_timesteps)
            if led.any():
                seen = np.asarray(model._last_obs)
                given = self._policy.predict(seen, deterministic=False)[0]
                scaled = np.where(led[:, None], model.policy.scale_action(given), scaled)
                action = model.policy.unscale_action(scaled)
            return action, scaled

        model._sample_action = sample

    def _on_step(self) -> bool:
        self._ages = np.where(self.locals["dones"], 0, self._ages + 1)
        return True

    def _on_rollout_end(self) -> None:
        self.logger.record("train/guide_steps", self.guided(self.model.num_timesteps))

    def _on_training_end(self) -> None:
        vars(self.model).pop("_sample_action", None)
