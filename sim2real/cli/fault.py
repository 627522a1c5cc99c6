"""A fault of a training, repeated, as a result of a command."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sim2real.cli.output import Outcome, table
from sim2real.files import user_path


def is_fault(path: Path) -> bool:
    """Whether `path` is the folder of a fault."""
    return (user_path(path) / "fault.json").is_file()


def repeated(fault: Path, loading: dict[str, Any]) -> Outcome:
    """Call `sim2real.learning.faults.replay_fault`; exit code 1 if the fault did not come again."""
    from sim2real.learning.faults import replay_fault

    found = replay_fault(fault, **loading)
    shown = {
        "error": found.error,
        "reproduced": found.reproduced,
        "world": found.world,
        "seed": found.seed,
        "control steps replayed": found.steps,
        "control steps of the episode": found.episode_step,
    }
    rows = [{"what": name, "value": value} for name, value in shown.items()]
    rows += [{"what": name, "value": value} for name, value in found.context.items()]
    states = [
        {
            "control_step": k - len(found.qpos) + 1,
            "qpos": qpos.tolist(),
            "qvel": qvel.tolist(),
            "action": action.tolist(),
        }
        for k, (qpos, qvel, action) in enumerate(
            zip(found.qpos, found.qvel, found.actions, strict=True)
        )
    ]
    brief = [
        {k: v if isinstance(v, int) else _numbers(v) for k, v in one.items()} for one in states
    ]
    data = {**shown, "context": found.context, "states": states}
    tables = [table("fault", rows), table("the world before it, 0 is the faulty step", brief)]
    return Outcome(data, tables, code=0 if found.reproduced else 1)


def _numbers(values: Iterable[float]) -> str:
    """The numbers of a row in short."""
    return " ".join(f"{value:.4g}" for value in values)
