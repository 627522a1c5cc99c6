"""Identify a target: check the log, search the family, refine, and say what is known."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from sim2real.config import LAST_SEED
from sim2real.domains import Domain
from sim2real.errors import UserError, whole_number
from sim2real.identification.evidence import Evidence, behind, evidence_of
from sim2real.identification.family import Family, family_of
from sim2real.identification.fit import STATE_PARTS, equations_at, start, start_from
from sim2real.identification.hypotheses import faults
from sim2real.identification.known import check_known, with_known
from sim2real.identification.log import Log
from sim2real.identification.parts import worst
from sim2real.identification.phases import Phases, folder_for
from sim2real.identification.posterior import Misfit, misfit_of_logs, posterior_of
from sim2real.identification.problem import Fit, Problem
from sim2real.identification.refine import refined, with_restarts, with_states
from sim2real.identification.replay import Replay, Windows, joined
from sim2real.identification.residual import Residual, fit_residual
from sim2real.identification.result import (
    Best,
    Identification,
    Row,
    Validation,
    point_domain,
    posterior_domain,
    rows_of,
)
from sim2real.identification.score import Missing, missing, named
from sim2real.identification.search import CANDIDATES, WINDOWS, effects, generations
from sim2real.identification.windows import (
    Channels,
    at_control_step,
    channels_of,
    cut,
)
from sim2real.registry import load_task
from sim2real.task import Array, BoolArray, Task

HORIZON_S, FEWEST_STEPS, MOST_STEPS = 0.3, 5, 15
"""Seconds of a window, and its control steps, at least and at most."""
GENERATIONS = 16
"""Generations of the search, at most."""
SHORT = 0.25
"""Share of the episodes that may be too short for a window."""
FITTED, HELD_OUT = 960, 0.2
"""Control steps of the windows on which the fit is searched for, about, and the share of all
windows that is held out."""
REPLAYED, LAST_STEPS = 200_000, 2
"""Control steps that one Gauss-Newton step on all windows replays, at most, about, and such steps
after each restart of the start states."""
CALIBRATED = 0.25
"""Part of the likelihood of a log that the posterior takes (a tempered posterior, Holmes and Walker
2017, Biometrika 104), so that standard deviations are doubled. The cost has many local minima where
there are contacts: fits of one log with small changes of the method differed by 2 to 4 standard
deviations of the whole likelihood. Calibrated on five logs of four robots (docs/howto/identify.md).
"""
EFFECT = 1e-3
"""Change of the readings, in units of their change in a step, that counts as an effect."""
NOISY = 0.002
"""Noise, as a share of a channel's change in a step, that is worth a line in a domain."""
STARTS = 2
"""Searches, from different candidates, where the first does not explain the log."""

Report = Callable[[str, float], None]
"""What is being done, and the part of it that is done."""


def identify(
    log: Log | Path | str | Sequence[Log | Path | str],
    task: str | Task,
    family: str | Domain | None = None,
    seed: int = 0,
    horizon: int | None = None,
    threads: int = 0,
    report: Report | None = None,
    residual: bool = False,
    known: Sequence[Mapping[str, float]] = (),
    phases: Path | str | None = None,
) -> Identification:
    """Find the world of a `family` that moves as a `log` of `task` does, from the log alone.

    `log` is a Log, a file of one, or several; all are of one target. `family` is a domain with
    ranges, by default the task's `randomized` domain with wider ones. The log is cut into windows
    of `horizon` control steps, by default about 0.3 s, less where episodes are short. Every window
    starts from a state estimated from its observations, and is replayed under the logged commands:
    first by a cross-entropy search over the whole family, then by Gauss-Newton over the unknowns
    and the start states together. A fifth of the windows is held out to validate. A log of another
    rate, or an uneven one, is resampled, and a note says so. With `residual`, forces of the driven
    joints are fitted to what the family does not explain; the domains get them where they predict
    the windows held out better. `known` has, for each log, the values of unknowns that are known of
    it, such as the gain that it was recorded with; all logs have the same names, and the table
    reports them as without effect. `report` is called with what is being done. In the folder
    `phases` each finished phase is kept: after an interruption the same call continues after it, to
    the same result, bit for bit. Phases of other logs, options or code are not used.

    Raises UserError for a log of another robot or of a much lower rate, a log that is too short or
    in which nothing of the family shows, and a family without ranges.
    """
    whole_number("seed", seed, 0, LAST_SEED)
    if horizon is not None:
        whole_number("horizon", horizon, 2, 10_000)
    loaded = load_task(task)
    logs = [one if isinstance(one, Log) else Log.load(one) for one in _several(log)]
    found = family_of(loaded, family)
    check_known(known, found, len(logs))
    replay = Replay(found, CANDIDATES * WINDOWS, threads)
    try:
        steps = horizon or horizon_of(logs, replay)
        options = {"seed": seed, "horizon": steps, "residual": residual}
        folder = (
            None if phases is None else folder_for(phases, logs, found, known, __name__, **options)
        )
        study = _Study(replay, logs, steps, seed, report or _silent, threads, known, folder)
        return study.identification(residual)
    finally:
        replay.close()


def horizon_of(logs: Sequence[Log], replay: Replay) -> int:
    """Control steps of a window: about 0.3 s, and no more than three quarters of the episodes have.

    In longer windows a contact that the replay misses hides what comes after it.
    """
    lengths = [rows.stop - rows.start for log in logs for rows in log.episodes]
    usual = min(max(round(HORIZON_S / replay.dt), FEWEST_STEPS), MOST_STEPS)
    short = int(np.quantile(lengths, SHORT)) - replay.rows_before - 1
    return max(min(usual, short), FEWEST_STEPS)


def _several(log: Log | Path | str | Sequence[Log | Path | str]) -> Sequence[Log | Path | str]:
    several = [log] if isinstance(log, Log | Path | str) else list(log)
    if not several:
        raise UserError("there is no log; allowed: one or more")
    return several


def _silent(what: str, done: float) -> None:
    """Report nothing."""


class _Study:
    """The stages of one identification, in the order in which they are called."""

    def __init__(
        self,
        replay: Replay,
        logs: Sequence[Log],
        horizon: int,
        seed: int,
        report: Report,
        threads: int = 0,
        known: Sequence[Mapping[str, float]] = (),
        phases: Path | None = None,
    ) -> None:
        self.replay, self.family, self.report = replay, replay.family, report
        self.threads, self.known = threads, known
        self.rng = np.random.default_rng(seed)
        self.phases = Phases(phases, self.rng, replay)
        self.logs, self.steps = logs, sum(log.steps for log in logs)
        resampled = [at_control_step(log, replay) for log in logs]
        self.resampling = [one.sentence for one in resampled if one.changed]
        logs = [one.log for one in resampled]
        self.first = logs[0]
        self.channels = _channels(logs, replay)
        self.before = np.cumsum([0, *map(len, logs)])
        starts = [log.starts + at for log, at in zip(logs, self.before.tolist(), strict=False)]
        self.starts = np.concatenate([*starts, self.before[-1:]])
        cuts = [cut(log, replay, self.channels, horizon) for log in logs]
        cuts = [with_known(*one) for one in zip(cuts, known, strict=True)] if known else cuts
        windows = joined(
            [behind(one, at) for one, at in zip(cuts, self.before.tolist(), strict=False)]
        )
        order = self.rng.permutation(len(windows))
        held_out = max(1, round(HELD_OUT * len(windows)))
        self.held_out = windows.take(order[:held_out])
        fitted = order[held_out:]
        self.problem = self._problem(windows.take(fitted[: FITTED // horizon]))
        self.whole = self._problem(windows.take(fitted[: self._most_windows(horizon)]))

    def _most_windows(self, horizon: int) -> int:
        """The windows of the last steps: all, as far as one step replays no more than REPLAYED."""
        replays = 2 * len(self.family.names) + 2 * self.replay.model.nv + len(STATE_PARTS)
        each = replays * (horizon + self.replay.simulated_fill)
        return int(max(REPLAYED // each, FITTED // horizon))

    def _problem(self, windows: Windows) -> Problem:
        return Problem(self.replay, windows, self.channels)

    def identification(self, residual: bool) -> Identification:
        """All stages, that of a `residual` if asked for."""
        self.report("checking what the log shows", 0.0)
        once = self.phases.once
        effective = once("effects", lambda: effects(self.problem)) > EFFECT
        if not effective.any():
            raise UserError(
                f"no unknown of family {self.family.domain.name!r} has an effect on this log: "
                "nothing moves in it"
            )
        best = once("fit", lambda: self._on_all(self._best(effective)))
        table = rows_of(self.family, best.posterior, effective)
        noise = self._noise(best.misfit)
        lacking = once("missing", lambda: self._missing(best))
        self.report("validating on windows held out", 0.0)
        held_out = self._problem(self.held_out)
        predicted = [start(held_out, one) for one in (self.family.nominal, best.fit.shares)]
        validation = _validation(predicted)
        suspect = bool(best.misfit.noticed) and validation.failed
        faulty = once("faults", self._faults) if suspect else []
        learned = once("residual", lambda: self._residual(best)) if residual else None
        values = {row.name: (row.nominal, row.low, row.high, row.value) for row in table}
        evidence = evidence_of(
            self.problem,
            held_out,
            predicted,
            best.fit,
            best.posterior,
            values,
            self.logs,
            self.starts,
        )
        point = point_domain(self.family, table, noise)
        posterior = posterior_domain(self.family, table, best.posterior, noise)
        return Identification(
            domain=point if learned is None else learned.added_to(point),
            posterior=posterior if learned is None else learned.added_to(posterior),
            table=table,
            misfit=best.misfit,
            validation=validation,
            notes=(
                *self.resampling,
                *_notes(table, best, self.channels),
                *_lacking(best, lacking),
                *_where(best, evidence),
                *faulty,
                *([] if learned is None else [learned.sentence]),
            ),
            steps=self.steps,
            simulated_steps=self.replay.simulated,
            seconds=self.phases.seconds,
            missing=lacking,
            residual=learned,
            together=tuple(self.family.names[k] for k in best.posterior.together.tolist()),
            evidence=evidence,
        )

    def _residual(self, best: Best) -> Residual | None:
        """Forces of the driven joints, fitted to what the family does not explain."""
        self.report("fitting residual forces", 0.0)
        return fit_residual(self.problem, self.held_out, best.fit, self._other_worlds, self.rng)

    def _other_worlds(self, family: Family) -> Replay:
        return Replay(family, self.replay.num_envs, self.threads)

    def _faults(self) -> list[str]:
        """What may be wrong with the first log, a line each."""
        self.report("looking for wrong units, axes and clocks", 0.0)
        replay = Replay(self.family, WINDOWS)
        try:
            known = self.known[0] if self.known else {}
            return [str(finding) for finding in faults(self.first, replay, known)]
        finally:
            replay.close()

    def _best(self, effective: BoolArray) -> Best:
        """The best of several searches; one, where it explains the log."""
        best = self._attempt(effective, 0)
        for attempt in range(1, STARTS):
            if not best.misfit.noticed:
                break
            other = self._attempt(effective, attempt)
            best = other if other.fit.cost < best.fit.cost else best
        return best

    def _attempt(self, effective: BoolArray, number: int) -> Best:
        """The fit of one search."""
        once = self.phases.once
        shares = once(f"search-{number}", lambda: self._searched(effective, number))
        return once(f"refine-{number}", lambda: self._refined(shares))

    def _on_all(self, best: Best) -> Best:
        """The best fit after some steps on all windows, with the posterior and the misfit of all.

        Its states and residuals are those of the first windows, on which it was found.
        """
        count = len(best.fit.offsets)
        if len(self.whole.windows) == count:
            return best
        at_start = start(self.whole, best.fit.shares)
        offsets = np.concatenate([best.fit.offsets, at_start.offsets[count:]])
        fit = start_from(self.whole, best.fit.shares, offsets)
        fit = dataclasses.replace(fit, directions=best.fit.directions)
        fit = with_states(self.whole, fit)
        fit = with_restarts(self.whole, fit, LAST_STEPS, self._refining)
        equations = equations_at(self.whole, fit).tempered(CALIBRATED)
        posterior = posterior_of(self.whole, fit, equations, self.rng)
        misfit = self._misfit(self.whole, fit)
        return Best(fit.of_first(count), posterior, misfit)

    def _searched(self, effective: BoolArray, attempt: int) -> Array:
        """The shares at which the cross-entropy search ends, (d,)."""
        found = generations(self.problem, effective, self.rng)
        for number in range(1, GENERATIONS + 1):
            generation = next(found)
            self.report(_stage("searching the family", attempt), number / GENERATIONS)
            if generation.is_narrow(effective):
                break
        return generation.mean

    def _refined(self, shares: Array) -> Best:
        """The fit at which Gauss-Newton ends, from the `shares`."""
        fit, equations = refined(self.problem, start(self.problem, shares), self._refining)
        posterior = posterior_of(self.problem, fit, equations.tempered(CALIBRATED), self.rng)
        return Best(fit, posterior, self._misfit(self.problem, fit))

    def _misfit(self, problem: Problem, fit: Fit) -> Misfit:
        """The misfit of all logs, or of the one log that is of another world."""
        logs = np.searchsorted(self.before, problem.windows.first, side="right")
        return misfit_of_logs(self.channels, fit, logs)

    def _refining(self, done: float) -> None:
        self.report("refining the unknowns and the start states", done)

    def _missing(self, best: Best) -> tuple[Missing, ...]:
        """What the family lacks, where it does not explain the log."""
        if not best.misfit.noticed or best.misfit.log:
            return ()
        self.report("looking for what the family lacks", 0.0)
        return missing(self.problem, best.fit, self._other_worlds)

    def _noise(self, misfit: Misfit) -> dict[str, float]:
        """The standard deviation of the noise of each sensed term that has any."""
        found = {}
        for term in self.replay.sensed:
            own = [name.startswith(f"{term.name}[") for name in misfit.names]
            share = misfit.noise[own] / misfit.change[own]
            if len(share) and np.median(share) > NOISY:
                found[term.name] = float(np.median(misfit.noise[own]))
        return found


def _channels(logs: Sequence[Log], replay: Replay) -> Channels:
    several = [channels_of(log, replay) for log in logs]
    scale = np.sqrt(np.mean([one.scale**2 for one in several], axis=0))
    channels = Channels(several[0].names, scale, np.any([one.used for one in several], axis=0))
    if not channels.used.any():
        raise UserError("no sensor of the log ever changes; allowed: a log of a robot that moves")
    return channels


def _validation(predicted: Sequence[Fit]) -> Validation:
    """Errors on the windows that were held out, from the states as they were estimated."""
    errors = [np.median(np.abs(one.residuals), axis=(0, 2)) for one in predicted]
    windows, rows, _ = predicted[0].residuals.shape
    return Validation(
        steps=rows - 1,
        windows=windows,
        one_step_nominal=float(errors[0][1]),
        one_step=float(errors[1][1]),
        many_steps_nominal=float(errors[0][-1]),
        many_steps=float(errors[1][-1]),
    )


def _lacking(best: Best, lacking: Sequence[Missing]) -> tuple[str, ...]:
    return named(lacking) if best.misfit.noticed and not best.misfit.log else ()


def _where(best: Best, evidence: Evidence) -> tuple[str, ...]:
    noticed = np.isin(best.misfit.names, best.misfit.noticed)
    return worst(evidence.parts, noticed) if noticed.any() else ()


def _stage(what: str, attempt: int) -> str:
    return f"{what} once more" if attempt else what


def _notes(table: Sequence[Row], best: Best, channels: Channels) -> tuple[str, ...]:
    """What a user has to know, a sentence each."""
    notes = [f"{row.name}: {row.status}" for row in table if row.status != "identified"]
    notes += [f"{name}: the channel never changes" for name in channels.dead]
    combined = (*best.posterior.combinations(), *best.posterior.common())
    return (*notes, *combined, best.misfit.sentence)
