"""A method of a user: the student imitates the mean action of several teachers."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3.common.policies import BasePolicy

from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.gaussians import actor_gaussian
from sim2real.transfer.method import Method
from sim2real.transfer.target import Target
from sim2real.transfer.work import Work


class Teachers(Method):
    """The source's policy, trained on recorded states to act as the mean of the teachers.

    Assumes that the teachers have the spaces of the source; fails where their mean is a bad action.
    """

    name: ClassVar[str] = "two_teachers"

    teachers: tuple[str, ...]
    """Folders of runs; their own code must be trusted, as in `load_run`."""
    record: int = 40
    updates: int = 40

    def adapt(self, source: Run, target: Target, work: Work) -> BasePolicy:
        """One phase that records, and one that teaches."""
        log = work.once("record", lambda: target.record(source.policy, self.record))
        seen = np.concatenate(list(log.observations.values()), axis=1)
        student = copy.deepcopy(source.policy)
        student.load_state_dict(work.once("teach", lambda: self._teach(student, seen)))
        return student

    def _teach(self, student: BasePolicy, seen: Any) -> dict[str, torch.Tensor]:
        teachers = [load_run(path).policy for path in self.teachers]
        label = np.mean([one.predict(seen, deterministic=True)[0] for one in teachers], axis=0)
        optimizer = torch.optim.Adam(student.parameters(), 1e-2)
        for _ in range(self.updates):
            mean = actor_gaussian(student, torch.as_tensor(seen)).mean
            loss = (mean - torch.as_tensor(label)).square().mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return dict(student.state_dict())
