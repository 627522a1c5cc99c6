"""Whether there is a screen to open a window on."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

from sim2real.errors import UserError

_SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
_TIMEOUT_S = 20.0
_PROBE = """
import glfw
assert glfw.init()
glfw.window_hint(glfw.VISIBLE, glfw.FALSE)
assert glfw.create_window(16, 16, "", None, None)
"""


def has_screen() -> bool:
    """Whether a window can be opened here; the first call tries it, in another process."""
    return _opens_a_window(tuple(os.environ.get(name, "") for name in _SCREENS))


def require_screen(render_mode: str | None) -> None:
    """Raise UserError for render_mode "human" where no window can be opened."""
    if render_mode == "human" and not has_screen():
        raise UserError(
            "render_mode 'human' opens a window, and there is no screen here; "
            "allowed without one: 'rgb_array'"
        )


@functools.cache
def _opens_a_window(screens: tuple[str, ...]) -> bool:
    """GLFW may end the process that it fails in, so it is another one."""
    if sys.platform == "linux" and not any(screens):
        return False
    try:
        probe = [sys.executable, "-c", _PROBE]
        done = subprocess.run(probe, capture_output=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
