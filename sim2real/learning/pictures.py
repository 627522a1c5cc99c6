"""Animations of the policy in TensorBoard: the source, and the target beside it."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

from sim2real.domains import Domain
from sim2real.evaluation.clips import (
    Frames,
    beside,
    encode_gif,
    frame_seconds,
    frames_of,
    moments,
    stride,
)
from sim2real.evaluation.rollout import Policy, simulation_for
from sim2real.learning.callbacks import AtRollouts
from sim2real.learning.tensorboard import add_summary, image_summary, writers
from sim2real.simulation import Simulation
from sim2real.simulation.rendering import Renderer, RenderingUnavailable
from sim2real.task import Task

CLIP_S = 3.0
"""Simulated seconds of an animation."""


class Pictures(AtRollouts):
    """Every `every` steps, show one episode of the deterministic policy in each of `domains`.

    The episodes are the same each time, so that the animations can be compared. Without OpenGL it
    warns once and makes none.
    """

    def __init__(self, task: Task, domains: Sequence[Domain], every: int) -> None:
        super().__init__()
        self._task = task
        self._domains = domains
        self._every = every
        self._scenes: list[tuple[Simulation, Renderer]] = []
        self._last = 0
        self._possible = True

    def _on_training_start(self) -> None:
        self._last = self.model.num_timesteps

    def _on_rollout_start(self) -> None:
        if self.model.num_timesteps // self._every > self._last // self._every:
            self._show()

    def _on_training_end(self) -> None:
        if self.model.num_timesteps > self._last:
            self._show()
        for _, renderer in self._scenes:
            renderer.close()
        self._scenes = []

    def _show(self) -> None:
        self._last = self.model.num_timesteps
        if self._possible and not self._scenes:
            self._open()
        if not self._scenes:
            return
        clips = [
            clip(self.model.policy, simulation, renderer) for simulation, renderer in self._scenes
        ]
        frames = beside(clips)
        data = encode_gif(frames, frame_seconds(self._scenes[0][0]))
        about = " | ".join(domain.name for domain in self._domains)
        height, width = frames[0].shape[:2]
        summary = image_summary("rollout/animation", data, height, width, about)
        for writer in writers(self.logger):
            add_summary(writer, summary, self._last)

    def _open(self) -> None:
        try:
            for domain in self._domains:
                simulation = simulation_for(self.model.policy, self._task, domain, threads=1)
                self._scenes.append((simulation, Renderer(simulation, 320, 240)))
        except RenderingUnavailable as error:
            self._possible, self._scenes = False, []
            warnings.warn(f"{error}; training goes on without pictures", stacklevel=2)


def clip(policy: Policy, simulation: Simulation, renderer: Renderer) -> Frames:
    """Frames (height, width, 3) of the policy in the first episodes of the simulation's seed."""
    simulation.reseed(simulation.seed)
    shown_moments, title = moments(policy, simulation), simulation.domain.name
    shown = frames_of(shown_moments, simulation, renderer, stride(simulation), title)
    return list(itertools.islice(shown, round(CLIP_S / frame_seconds(simulation))))
