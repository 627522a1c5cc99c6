"""MuJoCo's warnings: which of them mean that a state is lost, and where their text goes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import mujoco

BAD_STATE = [
    int(mujoco.mjtWarning.mjWARN_BADQPOS),
    int(mujoco.mjtWarning.mjWARN_BADQVEL),
    int(mujoco.mjtWarning.mjWARN_BADQACC),
    int(mujoco.mjtWarning.mjWARN_BADCTRL),
]
"""The warnings after which MuJoCo has reset a state, or ignored the controls."""
_log = logging.getLogger("sim2real.mujoco")


@contextlib.contextmanager
def warnings_logged() -> Iterator[None]:
    """MuJoCo's warnings go to the logger "sim2real.mujoco", not to the terminal and a file."""
    handler = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(_log.debug)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(handler)
