"""Measured against simulated: how well a world predicts a log, term by term, step by step."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.identification.checks import Finding, check_log_alone
from sim2real.identification.family import fixed_family
from sim2real.identification.hypotheses import faults
from sim2real.identification.log import Log
from sim2real.identification.predictions import errors, predictions, relative
from sim2real.identification.replay import Replay, Windows
from sim2real.identification.windows import Channels, at_control_step, channels_of, cut
from sim2real.registry import load_task
from sim2real.task import Array, Task, units_of

HORIZON = 15
"""Control steps of the predictions, by default."""
WORLDS = 256
"""Replays that are stepped together."""
WELL = 0.1
"""Share of its change up to which a channel counts as predicted."""


@dataclass(frozen=True)
class ChannelError:
    """How well one channel is predicted.

    `one_step` and `many_steps` are the median absolute errors after one step and at the end of the
    horizon, in the channel's unit; the shares are those of the median change over as many steps: 0
    is exact, 1 as bad as a prediction that nothing changes.
    """

    name: str
    unit: str
    one_step: float
    many_steps: float
    one_step_share: float
    many_steps_share: float


@dataclass(frozen=True)
class Comparison:
    """A log against the world of a domain.

    `errors` by channel; `growth` (horizon, k), the share of its change by which each is missed
    after 1, 2, ... steps. `windows` are the replays, `shown` what they showed, (w, horizon + 1,
    all channels); `measured` are the readings of the log at a control step and `first` the row
    where each window begins, for pictures.
    """

    task: str
    domain: str
    horizon: int
    dt: float
    errors: tuple[ChannelError, ...]
    growth: Array
    findings: tuple[Finding, ...]
    resampling: str
    windows: Windows
    shown: Array
    channels: Channels

    @property
    def sentence(self) -> str:
        """What is predicted worst, in one line."""
        worst = max(self.errors, key=lambda one: one.many_steps_share)
        if worst.many_steps_share <= WELL:
            return (
                f"{self.domain} predicts this log: after {self.horizon} steps every channel within "
                f"{worst.many_steps_share:.1%} of its change"
            )
        missed = [one.name for one in self.errors if one.many_steps_share > WELL]
        by = f"{worst.many_steps:.3g} {worst.unit}".rstrip()
        return (
            f"{self.domain} misses {len(missed)} of {len(self.errors)} channels by more than "
            f"{WELL:.0%} of their change after {self.horizon} steps; worst is {worst.name}, by "
            f"{by}, {worst.many_steps_share:.0%}"
        )

    def plain(self) -> dict[str, Any]:
        """The comparison as JSON."""
        return {
            "task": self.task,
            "domain": self.domain,
            "horizon": self.horizon,
            "windows": len(self.windows),
            "sentence": self.sentence,
            "resampling": self.resampling,
            "errors": [asdict(one) for one in self.errors],
            "growth": self.growth.tolist(),
            "findings": [asdict(one) for one in self.findings],
        }


def compare(
    log: Log,
    task: str | Task,
    domain: str | Domain | None = None,
    horizon: int = HORIZON,
    threads: int = 0,
) -> Comparison:
    """Replay a log in the world of a `domain`, by default the nominal one, and measure the errors.

    The log is cut into windows of `horizon` control steps; each is replayed under the logged
    commands from the state that its first readings show. A domain with ranges stands for the middle
    of each. Raises UserError for a log of another robot, and one that is too short.
    """
    whole_number("horizon", horizon, 2, 10_000)
    loaded = load_task(task)
    replay = Replay(fixed_family(loaded, domain), WORLDS, threads)
    try:
        resampled = at_control_step(log, replay)
        return _compared(log, resampled.log, resampled.sentence, replay, horizon)
    finally:
        replay.close()


def _compared(given: Log, log: Log, resampling: str, replay: Replay, horizon: int) -> Comparison:
    channels = channels_of(log, replay)
    if not channels.used.any():
        raise UserError("no sensor of the log ever changes; allowed: a log of a robot that moves")
    windows = cut(log, replay, channels, horizon)
    shown = predictions(replay, windows)
    used = channels.used
    units = units_of(replay.sensed)
    names = [name for name, one in zip(channels.names, used, strict=True) if one]
    missed, changed = errors(windows, shown, channels)
    growth = relative(missed, changed, np.zeros(used.sum()))[1:]
    found = tuple(
        ChannelError(
            name=name,
            unit=units[channels.names.index(name)],
            one_step=float(missed[1, k]),
            many_steps=float(missed[-1, k]),
            one_step_share=float(growth[0, k]),
            many_steps_share=float(growth[-1, k]),
        )
        for k, name in enumerate(names)
    )
    findings = [*check_log_alone(given), *faults(log, replay)]
    return Comparison(
        task=replay.task.name,
        domain=replay.domain.name,
        horizon=horizon,
        dt=replay.dt,
        errors=found,
        growth=growth,
        findings=tuple(findings),
        resampling=resampling,
        windows=windows,
        shown=shown,
        channels=channels,
    )
