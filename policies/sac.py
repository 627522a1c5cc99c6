"""SAC that learns its entropy coefficient with the optimizer of its policy."""

from __future__ import annotations

import stable_baselines3
import torch


class SAC(stable_baselines3.SAC):
    """stable-baselines3's SAC, whose entropy coefficient has the class of optimizer of its policy.

    That of stable-baselines3 is always torch's Adam; `policies.adam` says what that costs.
    """

    def _setup_model(self) -> None:
        learned = self.ent_coef == "auto"
        self.ent_coef = 1.0 if learned else self.ent_coef
        super()._setup_model()
        if learned:
            self.ent_coef = "auto"
            self.log_ent_coef = torch.zeros(1, device=self.device, requires_grad=True)
            make = self.policy.optimizer_class
            self.ent_coef_optimizer = make([self.log_ent_coef], lr=self.lr_schedule(1))  # type: ignore[call-arg,assignment]
