"""Whether a run is what it was when it was made: its hashes, its versions, its returns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import (  # type: ignore[import-untyped]
    masked_crc32c,
)

from sim2real import files
from sim2real.errors import UserError, whole_number
from sim2real.evaluation.rollout import evaluate, returns
from sim2real.runs import checkpoint as checkpoints
from sim2real.runs.checked_folder import MANIFEST, read_checked
from sim2real.runs.load import CURVE
from sim2real.runs.pretrained import absent, find_run
from sim2real.runs.run import Run, at_checkpoint, read_folder, versions
from sim2real.runs.seal import edited_files

Verdict = Literal["intact", "differs", "damaged", "not checked"]
FAULTS = "faults"
"""Folder of a run with what its trainings stopped at."""
WITHIN = 3.0
"""Standard errors within which two means agree, where the returns are not equal."""


@dataclass(frozen=True)
class Finding:
    """One thing that was compared: a file, the versions or the returns."""

    what: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Verification:
    """All that `verify` compared."""

    run: Path
    findings: tuple[Finding, ...]

    @property
    def intact(self) -> bool:
        """Whether nothing is damaged, and no return differs."""
        return not any(
            one.verdict == "damaged" or (one.what == "returns" and one.verdict == "differs")
            for one in self.findings
        )


def verify(run: Path | str, episodes: int = 0, **loading: Any) -> Verification:
    """Compare a run with what was recorded when it was made.

    These are the hashes of its configuration, of every checkpoint, phase, fault and copied policy,
    the checksums of TensorBoard's events, and the versions of the packages. With `episodes` the
    policy is evaluated on the first so many episodes of the last point of its learning curve, and
    the returns are compared. `loading` is that of `load_run`. Nothing is written.
    Raises UserError if the folder is not a run, or `episodes` is more than were recorded.
    """
    whole_number("episodes", episodes, 0, 10**6)
    if not episodes and (loading.get("task") or loading.get("task_options")):
        raise UserError("a task is needed to evaluate the policy alone; add episodes")
    path = find_run(run)
    if not path.exists():
        raise absent(path)
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path} is not a run: it has no config.yaml")
    files.refuse_links_out_of(path)
    findings = [*_files(path), _versions(path)]
    if episodes and not any(one.verdict == "damaged" for one in findings):
        findings.append(_returns(at_checkpoint(read_folder(path, **loading)), episodes))
    return Verification(path, tuple(findings))


def _files(path: Path) -> Iterator[Finding]:
    """Every file of a run, or the folder whose manifest covers it."""
    covered: set[Path] = set()
    for folder in _folders(path):
        manifest = folder / MANIFEST
        check = _sealed if (folder / "config.yaml").is_file() else _checked
        yield _tried(path, folder if folder != path else manifest, partial(check, folder))
        covered |= {manifest, *(folder / name for name in _listed(manifest))}
    for file in sorted(path.rglob("*")):
        if file in covered or not file.is_file():
            continue
        if file.name.startswith("events.out"):
            yield _tried(path, file, partial(_check_events, file))
        elif file == path / CURVE:
            yield _tried(path, file, partial(_check_curve, path))
        elif file.suffix == ".json":
            yield _tried(path, file, partial(files.read_json, file), "not checked")
        else:
            yield Finding(str(file.relative_to(path)), "not checked", "it has no checksum")


def _folders(path: Path) -> list[Path]:
    """The folders of a run that have a manifest, or should have one."""
    made = {
        path,
        path / "source",
        *path.rglob("checkpoints/[0-9]*"),
        *path.rglob(f"{FAULTS}/[0-9]*"),
    }
    made |= {one for one in path.glob("phases/*") if not (one / "checkpoints").is_dir()}
    found = {one.parent for one in path.rglob(MANIFEST) if one.parent.name != "report"}
    return sorted(one for one in made | found if one.is_dir())


def _tried(
    run: Path, what: Path, check: Callable[[], object], verdict: Verdict = "intact"
) -> Finding:
    name = str(what.relative_to(run))
    try:
        check()
    except UserError as error:
        return Finding(name, "damaged", str(error))
    return Finding(name, verdict, "it has no checksum" if verdict == "not checked" else "")


def _listed(manifest: Path) -> list[str]:
    """The files that a manifest names; none of a damaged one."""
    try:
        found = files.read_json(manifest)["files"]
        return [name for name in found if isinstance(name, str)]
    except (UserError, LookupError, TypeError):
        return []


def _sealed(folder: Path) -> None:
    if not (folder / MANIFEST).is_file():
        raise UserError(f"{folder / MANIFEST} is missing; runs of older versions have none")
    edited = edited_files(folder)
    if edited:
        raise UserError(f"{folder}: changed since it was made: {', '.join(edited)}")


def _checked(folder: Path) -> None:
    names = _listed(folder / MANIFEST)
    read_checked(folder, names)
    if not names:
        raise UserError(f"{folder / MANIFEST} is damaged: it lists no files")


def _check_events(file: Path) -> None:
    """UserError unless each record of an event file has its checksums; the last may be cut off.

    Format: length (8 bytes), CRC of it (4), data, CRC of them (4).
    https://github.com/tensorflow/tensorboard/blob/master/tensorboard/summary/writer/record_writer.py
    """
    data, at = file.read_bytes(), 0
    if not data:
        raise UserError(f"{file} is empty")
    while at < len(data):
        header = data[at : at + 8]
        (length,) = struct.unpack("<Q", header.ljust(8, b"\0"))
        record = data[at + 12 : at + 12 + length]
        sums = data[at + 8 : at + 12] + data[at + 12 + length : at + 16 + length]
        if len(header) < 8 or len(record) < length or len(sums) < 8:
            raise UserError(f"{file} ends within a record")
        if struct.unpack("<II", sums) != (masked_crc32c(header), masked_crc32c(record)):
            raise UserError(f"{file} is damaged: a record at byte {at} has another checksum")
        at += 16 + length


def _check_curve(path: Path) -> None:
    """UserError unless the curve has the rows that the last checkpoint has."""
    with checkpoints.refused_if_damaged(str(path / CURVE)):
        rows = files.read_json(path / CURVE)["rows"]
    state = checkpoints.read_checkpoint(path).state
    kept = state.get("callbacks", {}).get("Curve", {}).get("rows")
    if kept is not None and rows != kept:
        raise UserError(f"{path / CURVE} is not the curve of the last checkpoint")


def _versions(path: Path) -> Finding:
    try:
        made = files.read_json(path / "versions.json")
    except UserError as error:
        return Finding("versions", "damaged", str(error))
    now = versions()
    changed = [
        f"{name} {made[name]} -> {now.get(name)}" for name in made if made[name] != now.get(name)
    ]
    return Finding("versions", "differs" if changed else "intact", ", ".join(changed))


def _returns(run: Run, episodes: int) -> Finding:
    """Evaluate the policy on episodes of the last point of its curve."""
    if not (run.path / CURVE).is_file():
        return Finding("returns", "not checked", "the run has no learning curve")
    curve = files.read_json(run.path / CURVE)
    row = curve["rows"][-1]
    if row["steps"] != run.step or row["unstable"]:
        reason = f"its curve ends at step {row['steps']}, with {row['unstable']} unstable episodes"
        return Finding("returns", "not checked", reason)
    recorded = np.array(row["totals"])
    if episodes > len(recorded):
        raise UserError(f"episodes is {episodes}; allowed: up to {len(recorded)}, as on its curve")
    rows = evaluate(run.policy, run.task, run.domain, episodes=episodes, seed=curve["seed"])
    measured, recorded = returns(rows), recorded[:episodes]
    if np.array_equal(measured, recorded):
        return Finding("returns", "intact", f"{episodes} episodes, equal to the last bit")
    difference = float(np.mean(measured) - np.mean(recorded))
    spread = np.var(measured, ddof=1) + np.var(recorded, ddof=1) if episodes > 1 else 0.0
    error = float(np.sqrt(spread / episodes))
    told = f"mean {np.mean(measured):.6g}, recorded {np.mean(recorded):.6g}, {episodes} episodes"
    agrees = abs(difference) <= WITHIN * error
    return Finding("returns", "intact" if agrees else "differs", told)
