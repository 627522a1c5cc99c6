"""Identify the servo from its logs, and predict logs that were left out.

python examples/servo_bench/bench.py LOGS --out docs/results --leave-out gain
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sim2real as s2r
from sim2real.identification.resample import resample
from sim2real.identification.result import Identification
from sim2real.task import Array

HERE = Path(__file__).parent
TASK, GAIN, NOMINAL_KP, MASS = str(HERE / "servo.py"), "kp:servo", 200.0, 0.49
STRENGTH, LIMIT = "strength:servo", "actuator_forcerange:servo"
DRAWS = 4_000
"""Of a posterior."""
HORIZON = 50
"""Control steps of a window, 1 s: dry friction shows only over a swing."""


def kp_of(file: Path) -> int:
    """The gain of the firmware that a log was recorded with; from its name."""
    (kp,) = re.findall(r"_kp(\d+)_", file.name)
    return int(kp)


def motion_of(file: Path) -> str:
    """The motion of a log; from its name."""
    return file.stem.removeprefix("xl330_pendulum_").rpartition("_kp")[0]


KEYS: dict[str, Callable[[Path], Any]] = {"gain": kp_of, "motion": motion_of}
"""What logs may have in common, and be left out by."""
OTHERS = (
    "The project that recorded the logs (Rhoban/bam) reaches, with its published parameters, 93 to "
    "98 mrad on these eight logs and 45 to 66 on other motions; fitted to these eight, 48 on them "
    "and 85 on other motions with its third model, and 68 and 147 with its first."
)

MASS_IS = (
    f"The mass is {MASS} kg. The one identified is as good as the torque for each volt that is "
    "given, that of the data sheet."
)


def load(file: Path) -> s2r.Log:
    """A log as the mapping says."""
    return s2r.Log.load(file, HERE / "mapping.yaml")


def identified(files: list[Path], family: str | s2r.Domain, seed: int = 0) -> Identification:
    """The servo of some logs, each with its gain."""
    known = [{GAIN: kp_of(file) / NOMINAL_KP} for file in files]
    logs = [load(file) for file in files]
    return s2r.identify(logs, TASK, family, seed, horizon=HORIZON, threads=1, known=known)


def error(domain: s2r.Domain, file: Path) -> float:
    """Mean absolute error, in rad, of the prediction of a whole log from its first position."""
    dynamics = [one for one in domain.dynamics if one.field != "kp"]
    gain = {"field": "kp", "scale": kp_of(file) / NOMINAL_KP}
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


def errors(domain: s2r.Domain, files: list[Path]) -> dict[str, float]:
    """Errors in mrad by the name of the log."""
    return {file.stem.removeprefix("xl330_pendulum_"): 1e3 * error(domain, file) for file in files}


def mass(found: Identification) -> list[float]:
    """The mass in kg and its 90 % interval, with the torque for each volt of the data sheet.

    A rod of another mass moves the same where the strength, the armature, and the dry and viscous
    friction change by the same factor. So the mass is one over the strength that was identified.
    Where the limit of the torque is free beside it, so that the gains are known up to a factor, the
    torque for each volt is the product of the two.
    """
    rows = {row.name: [row.value, row.low, row.high] for row in found.table}
    if "body_mass:pendulum" in rows:
        return [MASS * one for one in rows["body_mass:pendulum"]]
    if LIMIT in rows:
        value = rows[STRENGTH][0] * rows[LIMIT][0]
        drawn = np.quantile(torques(found.posterior), [0.05, 0.95])
        low, high = min(float(drawn[0]), value), max(float(drawn[1]), value)
    else:
        value, low, high = rows[STRENGTH]
    return [MASS / value, MASS / high, MASS / low]


def torques(posterior: s2r.Domain) -> Array:
    """Draws of the torque for each volt, in that of the data sheet."""
    worlds = s2r.Simulation(TASK, posterior, DRAWS, seed=0, threads=1)
    columns = [worlds.context_names.index(name) for name in (STRENGTH, LIMIT)]
    drawn: Array = worlds.context[:, columns].prod(axis=1)
    worlds.close()
    return drawn


def part(found: Identification, files: list[Path]) -> dict[str, Any]:
    """What an identification found, with the errors of some logs in its world."""
    return {
        "errors_mrad": errors(found.domain, files),
        "mass_kg": mass(found),
        "unknowns": {row.name: [row.value, row.low, row.high, row.status] for row in found.table},
        "notes": [one for one in found.notes if not one.startswith("resampled")],
        "simulated_steps": found.simulated_steps,
        "seconds": found.seconds,
    }


def left_out(
    files: list[Path], key: Callable[[Path], Any], family: str, seed: int = 0
) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each value of the `key`, the logs with it, predicted from the other logs."""
    for value in sorted({key(file) for file in files}):
        unseen = [file for file in files if key(file) == value]
        found = identified([file for file in files if key(file) != value], family, seed)
        yield str(value), part(found, unseen)


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    fitted = found["fit"]
    predicted: dict[str, float] = {}
    for one in found["left_out"].values():
        predicted |= one["errors_mrad"]
    head = f"{found['leave_out']} left out" if found["leave_out"] else ""
    lines = [
        "# A real servo",
        "",
        f"Family `{found['family']}`; mean absolute error, in mrad, of the open-loop prediction of "
        "each whole log from its first position.",
        "",
        f"| log | fitted | {head} |",
        "|---|---:|---:|",
    ]
    lines += [
        _row(log, fitted["errors_mrad"][log], predicted.get(log)) for log in fitted["errors_mrad"]
    ]
    lines += [_row("mean", _mean(fitted["errors_mrad"]), _mean(predicted))]
    lines += [
        "",
        OTHERS,
        "",
        MASS_IS,
        "",
        "| from | mass in kg | 90 % interval |",
        "|---|---:|---|",
    ]
    for name, one in {"all logs": fitted, **found["left_out"]}.items():
        value, low, high = one["mass_kg"]
        label = name if one is fitted else f"all but {found['leave_out']} {name}"
        lines.append(f"| {label} | {value:.3f} | {low:.3f} to {high:.3f} |")
    lines += ["", "| unknown | value | 90 % interval | |", "|---|---:|---|---|"]
    for name, (value, low, high, status) in fitted["unknowns"].items():
        lines.append(f"| `{name}` | {value:.4g} | {low:.4g} to {high:.4g} | {status} |")
    return "\n".join([*lines, "", *(f"- {note}" for note in fitted["notes"]), ""])


def _mean(values: dict[str, float]) -> float | None:
    return float(np.mean(list(values.values()))) if values else None


def _row(name: str, fitted: float | None, predicted: float | None) -> str:
    cells = ["" if one is None else f"{one:.1f}" for one in (fitted, predicted)]
    return f"| {name} | {' | '.join(cells)} |"


def write(found: dict[str, Any], out: Path) -> None:
    """Write `servo.json` and `servo.md`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "servo.json").write_text(json.dumps(found, indent=1) + "\n")
    (out / "servo.md").write_text(table(found))


def main() -> None:
    """Write the results of a folder of logs."""
    parser = argparse.ArgumentParser(description="Identify the servo from its logs.")
    parser.add_argument("logs", type=Path, help="a folder of logs")
    parser.add_argument("--out", type=Path, required=True, help="folder of servo.md, servo.json")
    parser.add_argument("--family", default="family-directional", help="a domain of servo.yaml")
    parser.add_argument(
        "--leave-out", choices=KEYS, help="also predict the logs of each of these from the others"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    logs = sorted(given.logs.glob("*.csv"))
    found: dict[str, Any] = {"family": given.family, "leave_out": given.leave_out, "left_out": {}}
    found["fit"] = part(identified(logs, given.family), logs)
    write(found, given.out)
    if given.leave_out:
        for name, one in left_out(logs, KEYS[given.leave_out], given.family):
            found["left_out"][name] = one
            write(found, given.out)


if __name__ == "__main__":
    main()
