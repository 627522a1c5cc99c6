"""Identify the servo from its logs, and predict the logs of the gain that was left out.

python examples/servo_bench/bench.py LOGS --out docs/results
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sim2real as s2r
from sim2real.identification.resample import resample
from sim2real.identification.result import Identification

HERE = Path(__file__).parent
TASK, GAIN, NOMINAL_KP, MASS = str(HERE / "servo.py"), "kp:servo", 200.0, 0.49
HORIZON = 50
"""Control steps of a window, 1 s: dry friction shows only over a swing."""


def kp_of(file: Path) -> float:
    """The gain that a log was recorded with, relative to the nominal one; from its name."""
    (kp,) = re.findall(r"_kp(\d+)_", file.name)
    return float(kp) / NOMINAL_KP


def load(file: Path) -> s2r.Log:
    """A log as the mapping says."""
    return s2r.Log.load(file, HERE / "mapping.yaml")


def identified(files: list[Path], family: str | s2r.Domain, seed: int = 0) -> Identification:
    """The servo of some logs, each with its gain."""
    known = [{GAIN: kp_of(file)} for file in files]
    logs = [load(file) for file in files]
    return s2r.identify(logs, TASK, family, seed, horizon=HORIZON, threads=1, known=known)


def error(domain: s2r.Domain, file: Path) -> float:
    """Mean absolute error, in rad, of the prediction of a whole log from its first position."""
    dynamics = [one for one in domain.dynamics if one.field != "kp"]
    gain = {"field": "kp", "scale": kp_of(file)}
    world = domain.model_copy(
        update={"dynamics": (*s2r.Domain(dynamics=[gain]).dynamics, *dynamics), "sensing": ()}
    )
    simulation = s2r.Simulation(TASK, world, threads=1)
    log = resample(load(file), simulation.dt, []).log
    measured = log.observations["position"]
    simulation.write_state(measured[:1], np.zeros((1, 1)))
    everywhere = np.ones(1, dtype=bool)
    shown = []
    for command in log.commands[:-1]:
        simulation.advance(command[None], everywhere)
        shown.append(simulation.qpos[0].copy())
    simulation.close()
    return float(np.abs(np.array(shown) - measured[1:]).mean())


def left_out(files: list[Path], family: str, seed: int = 0) -> dict[str, float]:
    """Errors in mrad of the logs of each gain, predicted from the logs of the other gains."""
    found = {}
    for _, group in itertools.groupby(sorted(files, key=kp_of), kp_of):
        logs = list(group)
        world = identified([one for one in files if one not in logs], family, seed).domain
        found |= errors(world, logs)
    return found


def errors(domain: s2r.Domain, files: list[Path]) -> dict[str, float]:
    """Errors in mrad by the name of the log."""
    return {file.stem.removeprefix("xl330_pendulum_"): 1e3 * error(domain, file) for file in files}


def results(files: list[Path], family: str, hold_out: bool, seed: int = 0) -> dict[str, Any]:
    """The fit to all logs, and with `hold_out` the predictions of the gains that are left out."""
    found = identified(files, family, seed)
    mass = {row.name: row.value for row in found.table}.get("body_mass:pendulum", 1.0) * MASS
    return {
        "family": family,
        "mass_kg": mass,
        "fit": errors(found.domain, files),
        "left_out": left_out(files, family, seed) if hold_out else {},
        "unknowns": {row.name: [row.value, row.low, row.high, row.status] for row in found.table},
        "notes": [one for one in found.notes if not one.startswith("resampled")],
    }


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "# A real servo",
        "",
        f"Family `{found['family']}`; mean absolute error of the open-loop prediction, in mrad.",
        "",
        "| log | fitted | gain left out |",
        "|---|---:|---:|",
    ]
    for log, fitted in found["fit"].items():
        other = found["left_out"].get(log)
        lines.append(f"| {log} | {fitted:.1f} | {'' if other is None else f'{other:.1f}'} |")
    lines += ["", "| unknown | value | 90 % interval | |", "|---|---:|---|---|"]
    for name, (value, low, high, status) in found["unknowns"].items():
        lines.append(f"| `{name}` | {value:.4g} | {low:.4g} to {high:.4g} | {status} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in found["notes"]), ""])


def main() -> None:
    """Write the results of a folder of logs."""
    parser = argparse.ArgumentParser(description="Identify the servo from its logs.")
    parser.add_argument("logs", type=Path, help="a folder of logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of servo.md, servo.json")
    parser.add_argument("--family", default="family-load-friction", help="a domain of servo.yaml")
    parser.add_argument("--hold-out", action="store_true", help="predict each gain from the others")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = results(sorted(given.logs.glob("*.csv")), given.family, given.hold_out)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "servo.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.out / "servo.md").write_text(table(found))


if __name__ == "__main__":
    main()
