"""What is tried with a mutated file, and what came of it."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim2real.domains import Domain, load_domains
from sim2real.domains.entries.kinds import ACTUATION, SENSING
from sim2real.domains.model_fields.table import FIELDS
from sim2real.errors import UserError
from sim2real.evaluation.rollout import simulation_for
from sim2real.files import sha256
from sim2real.registry import load_task
from sim2real.runs.load import load_run
from sim2real.simulation import Simulation
from sim2real.studies.config import load_study
from sim2real.studies.study import plan_of
from tests.mutations.mutators import Rng, mutated_data, mutated_text, mutated_xml

ROOT = Path(__file__).resolve().parents[2]
SLOW_S = 5.0
STEPS = 3


@dataclass(frozen=True)
class Outcome:
    """fine, refused, or what must not be: exception, not finite, slow, different."""

    verdict: str
    detail: str = ""


class _TooSlow(BaseException):
    pass


def outcome_of(action: Callable[[], str], limit_s: float = SLOW_S) -> Outcome:
    """Run `action`, which returns its verdict; an exception other than UserError is one, too."""
    started = time.monotonic()
    with _limited(limit_s), warnings.catch_warnings(action="ignore"):
        try:
            verdict, detail = action(), ""
        except UserError as error:
            verdict, detail = "refused", str(error)
            if "\n" in detail or len(detail) > 2000:
                verdict = "exception"
                detail = f"{len(detail)} characters of error"
        except _TooSlow:
            verdict, detail = "slow", f"over {limit_s} s"
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            own = [
                f for f in traceback.extract_tb(error.__traceback__) if "/sim2real/" in f.filename
            ]
            where = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else last.filename
            verdict, detail = "exception", f"{type(error).__name__} at {where}: {error}"[:300]
    took = time.monotonic() - started
    if took > limit_s and verdict != "exception":
        verdict, detail = "slow", f"{took:.1f} s"
    return Outcome(verdict, detail)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise _TooSlow

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def act_in(simulation: Simulation) -> str:
    """A few steps; whatever is handed out must be finite."""
    rng = np.random.default_rng(0)
    given = [simulation.reset()]
    for _ in range(STEPS):
        action = rng.uniform(-1, 1, (simulation.num_envs, *simulation.action_space.shape))
        transition = simulation.step(action)
        given += [transition.observation, transition.reward]
        given += [np.array([one.total, *one.context.values()]) for one in transition.episodes]
    given += [np.array([*context.values()]) for context in simulation.contexts()]
    simulation.close()
    return "fine" if all(np.isfinite(one).all() for one in given) else "not finite"


# -- domains

DOMAIN_TASKS = ("cartpole", "hopper", "furuta", "half_cheetah", "quadruped")


def try_domain_file(task: str, file: Path) -> str:
    verdict = "fine"
    for domain in load_domains(file).values():
        if act_in(Simulation(task, domain, 2, threads=1)) != "fine":
            verdict = "not finite"
    return verdict


def write_mutated_domains(file: Path, rng: Rng) -> str:
    task = DOMAIN_TASKS[int(rng.integers(len(DOMAIN_TASKS)))]
    text = (ROOT / "envs" / f"{task}.yaml").read_text()
    data = yaml.safe_load(text)
    kept = rng.choice(len(data), size=min(2, len(data)), replace=False)  # two are quick
    data = {name: data[name] for number, name in enumerate(data) if number in kept}
    text = yaml.safe_dump(data, sort_keys=False)
    for _ in range(int(rng.integers(1, 3))):
        if rng.integers(2):
            text = mutated_text(text, rng)
        else:
            with contextlib.suppress(Exception):
                text = yaml.safe_dump(mutated_data(yaml.safe_load(text), rng), sort_keys=False)
    file.write_bytes(text.encode(errors="replace"))
    return task


EXTREMES = (0.0, 1.0, -1.0, 5e-324, 1e-300, 1e-160, 1e-100, 1e-20, 1e-12, 1e-6, 1e-3, 0.5, 2.0,
            1e3, 1e6, 1e9, 1e12, 1e16, 1e20, 1e50, 1e100, 1e160, 1e300, 1e308)  # fmt: skip


def _extreme(rng: Rng) -> float:
    sign = -1.0 if rng.integers(4) == 0 else 1.0
    return sign * EXTREMES[int(rng.integers(len(EXTREMES)))]


def _distribution(rng: Rng) -> Any:
    low, high = sorted((_extreme(rng), _extreme(rng)))
    forms = (
        low,
        {"uniform": [low, high]},
        {"log_uniform": sorted((abs(low), abs(high)))},
        {"shifted_log_uniform": [low, high, abs(_extreme(rng))]},
        {"normal": [low, abs(high)]},
        {"truncated_normal": [low, abs(_extreme(rng)), low, high]},
        {"beta": [abs(_extreme(rng)), abs(_extreme(rng)), low, high]},
        {"choice": [low, high]},
    )
    return forms[int(rng.integers(len(forms)))]


def extreme_domain(task: str, rng: Rng) -> Domain:
    """A well-formed entry of any section, with numbers that nobody means."""
    chosen = int(rng.integers(4))
    if chosen == 0:
        field = list(FIELDS)[int(rng.integers(len(FIELDS)))]
        operation = ("scale", "add", "set")[int(rng.integers(3))]
        entry = {"field": field, operation: _distribution(rng)}
        if FIELDS[field].components and rng.integers(2):
            entry["component"] = next(iter(FIELDS[field].components))
        return Domain(dynamics=[entry])
    if chosen == 1:
        kind = list(ACTUATION)[int(rng.integers(len(ACTUATION)))]
        return Domain(actuation=[{kind: _distribution(rng)}])
    if chosen == 2:
        kind = list(SENSING)[int(rng.integers(len(SENSING)))]
        return Domain(sensing=[{kind: _distribution(rng)}])
    kind = ("push", "force", "slope", "bumps")[int(rng.integers(4))]
    body = load_task(task).compile().body(1).name
    more: dict[str, Any] = {
        "push": {"of": body, "every": _distribution(rng)},
        "force": {"of": body, "direction": "x"},
        "slope": {},
        "bumps": {"wavelength": abs(_extreme(rng))},
    }[kind]
    return Domain(disturbances=[{kind: _distribution(rng), **more}])


def try_extreme_domain(task: str, rng: Rng) -> str:
    try:
        domain = extreme_domain(task, rng)
    except ValueError as error:  # of pydantic, from Python
        raise UserError(" ".join(str(error).split())[:300]) from None
    return act_in(Simulation(task, domain, 2, threads=1))


# -- studies

STUDIES = tuple(sorted((ROOT / "studies").glob("*.yaml")))


def write_mutated_study(file: Path, rng: Rng) -> None:
    text = STUDIES[int(rng.integers(len(STUDIES)))].read_text()
    for _ in range(int(rng.integers(1, 3))):
        if rng.integers(2):
            text = mutated_text(text, rng)
        else:
            with contextlib.suppress(Exception):
                text = yaml.safe_dump(mutated_data(yaml.safe_load(text), rng), sort_keys=False)
    file.write_bytes(text.encode(errors="replace"))


def try_study(file: Path) -> str:
    plan_of(load_study(file))
    return "fine"


# -- runs

OBSERVATIONS = 8


def acts(run: Path) -> Any:
    """What the policy of a run does on a few observations."""
    policy = load_run(run).policy
    size = int(policy.observation_space.shape[0])
    seen = np.random.default_rng(0).normal(size=(OBSERVATIONS, size)).astype(np.float32)
    return policy.predict(seen, deterministic=True)[0]


def write_mutated_run(source: Path, run: Path, rng: Rng) -> str:
    """A copy of the run with one value edited; the checksums of its checkpoint fit again."""
    shutil.copytree(source, run)
    checkpoint = sorted((run / "checkpoints").iterdir())[-1]
    for older in sorted((run / "checkpoints").iterdir())[:-1]:
        shutil.rmtree(older)
    files = [run / name for name in ("config.yaml", "task.json", "domains.yaml", "versions.json")]
    files += [checkpoint / name for name in ("manifest.json", "state.json")]
    file = files[int(rng.integers(len(files)))]
    text = file.read_text()
    if rng.integers(3) == 0:
        text = mutated_text(text, rng)
    elif file.suffix == ".yaml":
        text = yaml.safe_dump(mutated_data(yaml.safe_load(text), rng), sort_keys=False)
    else:
        text = json.dumps(mutated_data(json.loads(text), rng))
    file.write_bytes(text.encode(errors="replace"))
    if file.name == "state.json":
        sign(checkpoint, file)
    if rng.integers(2):  # as made by a version that kept no hashes of these files
        (run / "manifest.json").unlink(missing_ok=True)
    return file.name


def sign(checkpoint: Path, file: Path) -> None:
    """Enter the size and the digest of an edited file into the manifest of its checkpoint."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    entry = {"bytes": file.stat().st_size, "sha256": sha256(file)}
    manifest["files"][file.name] = entry
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def try_run(run: Path, expected: Any) -> str:
    """Load it, act, and take a few steps in its own domain."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = acts(run)
        loaded = load_run(run)
        simulation = simulation_for(loaded.policy, loaded.task, loaded.domain, 2, threads=1)
        verdict = act_in(simulation)
    same = found.shape == expected.shape and np.array_equal(found, expected)
    return verdict if same or caught else "different"


# -- models

MODELS = (
    (ROOT / "envs" / "cartpole.xml", ROOT / "envs" / "cartpole.py"),
    (ROOT / "tests" / "robots" / "slider.xml", ROOT / "tests" / "robots" / "slider.py"),
    (ROOT / "tests" / "robots" / "servo.xml", ROOT / "tests" / "robots" / "servo.py"),
    (ROOT / "tests" / "robots" / "hand.xml", ROOT / "tests" / "robots" / "hand.py"),
)


def write_mutated_model(folder: Path, rng: Rng) -> Path:
    """A robot in a folder of its own, with a mutated model; returns the task's file."""
    model, task = MODELS[int(rng.integers(len(MODELS)))]
    text = model.read_text()
    for _ in range(int(rng.integers(1, 4))):
        text = mutated_xml(text, rng)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / model.name).write_bytes(text.encode(errors="replace"))
    shutil.copyfile(task, folder / task.name)
    return folder / task.name


def try_model(task: Path) -> str:
    return act_in(Simulation(load_task(str(task)), None, 2, threads=1))
