"""Pretrain a policy in randomized worlds, transfer it to a shifted one, measure the gap.

The public names are imported when they are first used, so that `import sim2real` is quick:

>>> import sim2real as s2r
>>> sorted(s2r.__all__)[:4]
['Domain', 'DomainWrapper', 'Log', 'LogWriter']
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

from sim2real.registration import register_tasks

if TYPE_CHECKING:
    from sim2real.domains import Domain, load_domain
    from sim2real.errors import UserError
    from sim2real.evaluation.audit import audit
    from sim2real.evaluation.rollout import evaluate
    from sim2real.evaluation.statistics import compare, interval
    from sim2real.evaluation.view import view
    from sim2real.identification.identify import identify
    from sim2real.identification.log import Log
    from sim2real.identification.writer import LogWriter
    from sim2real.learning.pretrain import pretrain
    from sim2real.policies.freezing import freeze
    from sim2real.registry import load_task, task_names
    from sim2real.runs.load import load_run
    from sim2real.runs.publish import publish
    from sim2real.runs.run import Run
    from sim2real.simulation import Simulation
    from sim2real.simulation.front_ends.domain_wrapper import DomainWrapper
    from sim2real.simulation.front_ends.vec_env import make_vec_env
    from sim2real.studies.study import study
    from sim2real.task import Task
    from sim2real.transfer.api import distill, transfer
    from sim2real.transfer.resume import resume

__version__ = "0.1.0"

_HOME = {  # public name -> module that defines it
    "Domain": "sim2real.domains",
    "DomainWrapper": "sim2real.simulation.front_ends.domain_wrapper",
    "Log": "sim2real.identification.log",
    "LogWriter": "sim2real.identification.writer",
    "Run": "sim2real.runs.run",
    "Simulation": "sim2real.simulation",
    "Task": "sim2real.task",
    "UserError": "sim2real.errors",
    "audit": "sim2real.evaluation.audit",
    "compare": "sim2real.evaluation.statistics",
    "distill": "sim2real.transfer.api",
    "evaluate": "sim2real.evaluation.rollout",
    "freeze": "sim2real.policies.freezing",
    "identify": "sim2real.identification.identify",
    "interval": "sim2real.evaluation.statistics",
    "load_domain": "sim2real.domains",
    "load_run": "sim2real.runs.load",
    "load_task": "sim2real.registry",
    "make_vec_env": "sim2real.simulation.front_ends.vec_env",
    "pretrain": "sim2real.learning.pretrain",
    "publish": "sim2real.runs.publish",
    "resume": "sim2real.transfer.resume",
    "study": "sim2real.studies.study",
    "task_names": "sim2real.registry",
    "transfer": "sim2real.transfer.api",
    "view": "sim2real.evaluation.view",
}

__all__ = [
    "Domain",
    "DomainWrapper",
    "Log",
    "LogWriter",
    "Run",
    "Simulation",
    "Task",
    "UserError",
    "audit",
    "compare",
    "distill",
    "evaluate",
    "freeze",
    "identify",
    "interval",
    "load_domain",
    "load_run",
    "load_task",
    "make_vec_env",
    "pretrain",
    "publish",
    "resume",
    "study",
    "task_names",
    "transfer",
    "view",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'sim2real' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _prefer_egl() -> None:
    """Render without a display; MuJoCo reads the variable when it is first imported."""
    if sys.platform == "linux" and not os.environ.get("DISPLAY") and "mujoco" not in sys.modules:
        os.environ.setdefault("MUJOCO_GL", "egl")


def _fix_other_libraries() -> None:
    """Fix gymnasium-robotics, where it was imported before this."""
    if "gymnasium_robotics" in sys.modules:
        from sim2real.compatibility import fix_gymnasium_robotics

        fix_gymnasium_robotics()


_prefer_egl()
register_tasks(
    "sim2real.simulation.front_ends.env:Sim2RealEnv",
    "sim2real.simulation.front_ends.vector_env:Sim2RealVectorEnv",
)
_fix_other_libraries()
