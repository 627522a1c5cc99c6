"""A log on one page: its episodes, rate and channels, and what is wrong with them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sim2real.identification.checks import Finding, channels, check_log_alone
from sim2real.identification.log import EVEN, Log


@dataclass(frozen=True)
class ChannelInfo:
    """One column of a log: its range, its typical change in a row, and what was found in it."""

    name: str
    unit: str
    low: float
    high: float
    change: float
    found: tuple[str, ...]


@dataclass(frozen=True)
class Info:
    """A log on one page.

    `step_s` is the median time between rows, `shortest_s` and `longest_s` the extremes; `jitter` is
    the 90th percentile of the difference from the median, as a share.
    """

    episodes: int
    fallen: int
    steps: int
    seconds: float
    control_dt: float
    step_s: float
    shortest_s: float
    longest_s: float
    jitter: float
    channels: tuple[ChannelInfo, ...]
    findings: tuple[Finding, ...]

    @property
    def even(self) -> bool:
        """Whether all rows come one control step apart, so that nothing is resampled."""
        steps = np.array([self.shortest_s, self.longest_s])
        return bool(np.abs(steps - self.control_dt).max() <= EVEN * self.control_dt)

    def plain(self) -> dict[str, Any]:
        """The page as JSON."""
        return asdict(self) | {"even": self.even}


def info(log: Log) -> Info:
    """Episodes, steps, rate, jitter, and the range of each channel of a log, with what is odd."""
    steps = np.concatenate([np.diff(log.times[rows]) for rows in log.episodes])
    typical = float(np.median(steps))
    findings = check_log_alone(log)
    assert log.terminated is not None
    return Info(
        episodes=len(log.starts),
        fallen=int(log.terminated.sum()),
        steps=log.steps,
        seconds=float(steps.sum()),
        control_dt=log.control_dt,
        step_s=typical,
        shortest_s=float(steps.min()),
        longest_s=float(steps.max()),
        jitter=float(np.quantile(np.abs(steps / typical - 1), 0.9)),
        channels=tuple(
            ChannelInfo(
                name=name,
                unit=log.units.get(name.partition("[")[0], ""),
                low=float(values.min()),
                high=float(values.max()),
                change=_change(log, values),
                found=tuple(dict.fromkeys(f.check for f in findings if f.channel == name)),
            )
            for name, values in channels(log)
        ),
        findings=findings,
    )


def _change(log: Log, values: Any) -> float:
    """The root mean square change between rows."""
    changes = np.concatenate([np.diff(values[rows]) for rows in log.episodes])
    return float(np.sqrt(np.mean(changes**2)))
