"""The metadata keys of mjlab's exporter, for runners that read those.

Names and numbers are separated by commas, limits by a semicolon. mjlab writes three decimals; here
numbers have full precision. Keys of joints are there only where each action is the target of one
joint, as in mjlab.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

UNLIMITED = f"{-math.inf};{math.inf}"


def runner_keys(contract: dict[str, Any], run: str) -> dict[str, str]:
    """The keys by name. A history of one control step is 0, as mjlab has it."""
    action, terms = contract["action"], contract["observation"]["terms"]
    found = {
        "run_path": run,
        "observation_names": _row(term["name"] for term in terms),
        "observation_terms_scale": _row(1.0 for _ in terms),
        "observation_terms_clip": _row(UNLIMITED for _ in terms),
        "observation_terms_history_length": _row(
            term["history"] if term["history"] > 1 else 0 for term in terms
        ),
        "observation_terms_flatten_history_dim": _row(1 for _ in terms),
        "command_names": _row(term["name"] for term in terms if term["commanded"]),
    }
    servos = all(
        joint and kp for joint, kp in zip(action["joints"], action["stiffness"], strict=True)
    )
    if not servos or action["command"] is None or action["command"]["steps_from"]:
        return found
    return found | {
        "joint_names": _row(action["joints"]),
        "joint_stiffness": _row(action["stiffness"]),
        "joint_damping": _row(action["damping"]),
        "default_joint_pos": _row(action["command"]["offset"]),
        "action_scale": _row(action["command"]["scale"]),
    }


def _row(values: Iterable[Any]) -> str:
    return ",".join(str(value) for value in values)
