"""Show a policy: in MuJoCo's viewer on a screen, as a film where there is none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import mujoco
import numpy as np

from sim2real.config import LAST_SIMULATION_SEED
from sim2real.domains import Domain, load_domain
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.clips import (
    Frames,
    caption,
    frame_seconds,
    frames_of,
    grid,
    moments,
    stride,
    write_clip,
)
from sim2real.evaluation.policy_checks import require_contract
from sim2real.evaluation.rollout import Policy, episode_numbers, simulation_for
from sim2real.registry import load_task
from sim2real.simulation import Simulation
from sim2real.simulation.front_ends.screen import has_screen
from sim2real.simulation.rendering import Renderer, RenderingUnavailable, camera_of, lit_model
from sim2real.task import Task

MOST_PIXELS, MOST_SECONDS = 4096, 100_000
"""Of a side of a film, and simulated seconds of an episode."""
FRAME_S = 1 / 30
"""Simulated seconds between two frames of a film, about."""


def view(
    policy: Policy | Mapping[str, Policy],
    task: str | Task,
    domains: str | Domain | Sequence[str | Domain] = "nominal",
    *,
    episodes: int | Iterable[int] = 1,
    seed: int = 0,
    seconds: float = 20.0,
    size: tuple[int, int] = (640, 480),
    out: Path | str | None = None,
    accept_changes: bool = False,
) -> Path | None:
    """Show the first `episodes` of `seed` in each domain, or those of these numbers.

    Each is left after `seconds`.
    With `out`, a .gif or .mp4, they are written there, `size` (width, height) in pixels, domains
    side by side. Without it they run in MuJoCo's viewer, one domain after the other. They are the
    episodes that `evaluate` runs. Several policies, by the names that captions begin with, are
    shown side by side in one domain, below each other in several. Returns what was written.
    Raises UserError where there is no OpenGL, no screen, or `out` is of another kind, and if the
    policy does not fit `task` (see `evaluate`, for `accept_changes` too).
    """
    numbers = episode_numbers(episodes)
    whole_number("seed", seed, 0, LAST_SIMULATION_SEED)
    for side in size:
        whole_number("size", side, 16, MOST_PIXELS)
    if not 0 < seconds <= MOST_SECONDS:
        raise UserError(f"seconds is {seconds:g}; allowed: more than 0, up to {MOST_SECONDS:,}")
    loaded = load_task(task)
    policies = policy if isinstance(policy, Mapping) else {"": policy}
    for one in policies.values():
        require_contract(one, loaded, accept_changes)
    several = [domains] if isinstance(domains, str | Domain) else list(domains)
    shows = [
        (who, one, simulation_for(one, loaded, load_domain(loaded, domain), seed=seed, threads=1))
        for who, one in policies.items()
        for domain in several
    ]
    if out is None:
        for _, one, simulation in shows:
            _show(one, simulation, numbers, seconds)
        return None
    clips = [_film(*show, numbers, seconds, size) for show in shows]
    frames = grid(clips, len(several) if len(several) > 1 else len(clips))
    write_clip(Path(out), frames, frame_seconds(shows[0][2], FRAME_S))
    return Path(out)


def _film(
    who: str,
    policy: Policy,
    simulation: Simulation,
    episodes: Sequence[int],
    seconds: float,
    size: tuple[int, int],
) -> Frames:
    """Frames (height, width, 3) of some episodes, each with a caption."""
    try:
        renderer = Renderer(simulation, *size)
    except RenderingUnavailable as error:
        raise UserError(
            f"{error}; images need OpenGL: MUJOCO_GL=egl, and on Debian libegl1 and libgl1"
        ) from None
    try:
        shown = moments(policy, simulation, episodes, seconds)
        every = stride(simulation, FRAME_S)
        return list(frames_of(shown, simulation, renderer, every, who=who))
    finally:
        renderer.close()


def _show(policy: Policy, simulation: Simulation, episodes: Sequence[int], seconds: float) -> None:
    """Run episodes in a window at the speed of the clock, until they end or it is closed."""
    if not has_screen():
        raise UserError("there is no screen here; give a file to write: out='film.mp4'")
    import mujoco.viewer  # late: it needs a screen

    model, data = lit_model(simulation), simulation.world_data(0)
    with mujoco.viewer.launch_passive(
        model, data, show_left_ui=False, show_right_ui=False
    ) as window:
        follow(window.cam, simulation, model)
        due = time.perf_counter()
        for moment in moments(policy, simulation, episodes, seconds):
            if not window.is_running():
                return
            with window.lock():
                lit_model(simulation, 0, model)
                simulation.world_data(0, data)
                mujoco.mj_forward(model, data)
            window.set_texts((None, None, "\n".join(caption(simulation, moment)), ""))
            window.sync()
            due += simulation.dt
            time.sleep(max(0.0, due - time.perf_counter()))


def follow(camera: mujoco.MjvCamera, simulation: Simulation, model: mujoco.MjModel) -> None:
    """Make a window's camera that of the task."""
    wanted = camera_of(simulation.task.camera, model)
    for name in ("type", "trackbodyid", "distance", "azimuth", "elevation"):
        setattr(camera, name, getattr(wanted, name))
    camera.lookat[:] = np.asarray(wanted.lookat)
