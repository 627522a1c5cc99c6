"""Kill trainings at file operations, go on, compare.

Run as: killing.py FOLDER SCENARIO:[KILLS]..., the kills with commas between them; 20x are
kills at 20 random moments.

Prints JSON, by scenario: how many file operations an uninterrupted training makes, and for each
kill what differs from it in the end. A kill is SIGKILL in a forked child, just before the k-th time
that it opens a file to write, syncs, renames, makes or removes one in the folder of the run.
Without KILLS every operation is tried: the run is made once, what a kill would leave is copied
before each operation, and each copy that differs from those before it goes on.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils.tensorboard

import sim2real as s2r
from sim2real.envs.cartpole import Cartpole
from sim2real.files import PARTIAL, read_json
from sim2real.studies.config import StudyConfig
from sim2real.transfer.resume import resume

torch.set_num_threads(1)
TINY = {"num_envs": 4, "net_arch": [8], "batch_size": 16}
PPO = {**TINY, "n_steps": 16, "n_epochs": 2}
SAC = {**TINY, "learning_starts": 32, "buffer_size": 500}
ADR = {"name": "adr", "low": -300.0, "high": -200.0, "buffer": 2, "boundary_probability": 0.9}
OPERATIONS = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link")

Make = Callable[[Path], Any]


def pretrain(algorithm: str, options: dict[str, Any], **more: Any) -> Make:
    def make(out: Path) -> Any:
        return s2r.pretrain(
            "cartpole", algorithm=algorithm, steps=256, options=options, out=out,
            checkpoint_every=128, progress=False, **more,
        )  # fmt: skip

    return make


def moved(method: str, options: dict[str, Any]) -> Make:
    def make(out: Path) -> Any:
        return s2r.transfer(
            out.parents[1] / "source", "hard", method=method, budget=256, out=out, num_envs=4,
            progress=False, **options,
        )  # fmt: skip

    return make


CURVE = {"curve": 2, "curve_episodes": 2, "checkpoint_every": 128}
IDENTIFY = {
    "simulated_steps": 96, "evaluations": 1, "episodes": 2, "verify": 1, "attempts": 1,
    "rounds": 1, "family": "randomized", "recipe": {"n_steps": 16, "batch_size": 16},
}  # fmt: skip


def studied(out: Path, **how: Any) -> Any:
    config = {
        "name": "killed", "task": "cartpole", "out": str(out), "targets": ["hard"], "seeds": 1,
        "source": {"domain": "nominal", "steps": 256, "options": PPO}, "methods": ["fine_tune"],
        "budget": 256, "episodes": 2, "evaluations": 1, "audit": False,
        "oracle": {"steps": 256, "options": PPO, "seeds": [0]},
    }  # fmt: skip
    return s2r.study(StudyConfig.model_validate(config), progress=False, **how)


def extended(out: Path) -> Any:
    """The same command until it is done."""
    return resume(out, progress=False, steps=640)


SCENARIOS: dict[str, Make] = {
    "ppo": pretrain("ppo", PPO),
    "sac": pretrain("sac", SAC),
    "adaptive": pretrain("ppo", PPO, randomization=ADR),
    "transfer": moved("fine_tune", CURVE),
    "distill": moved("distill", CURVE),
    "identify": moved("identify", {"options": IDENTIFY}),
    "extend": extended,
    "study": functools.partial(studied, executor="inline"),
    "study-processes": functools.partial(studied, workers=1),
}


NOTHING = r"(?!)"
APART = {"study": r"/(runs|oracle)/[^/]+/"}
"""The insides of a study's trainings: each is tried by itself."""


def shorten_episodes(scenario: str) -> None:
    """Episodes of 20 steps, except in the processes of a study, which this does not reach."""
    if scenario != "study-processes":
        Cartpole.episode_s = 0.4


def go(make: Make, out: Path) -> None:
    """What a user does: start it, or go on if it has begun."""
    if (out / "config.yaml").exists() and make is not extended:
        resume(out, progress=False)
    else:
        make(out)


def begin(scenario: str, out: Path) -> None:
    """The folder in which a run is made, with the run that is extended."""
    out.parent.mkdir()
    if scenario == "extend":
        shutil.copytree(out.parents[1] / "source", out)


def digests(out: Path) -> dict[str, Any]:
    """What must be equal: the last checkpoint, and the results beside it."""
    if (out / "study.yaml").exists():
        report = read_json(out / "report" / "report.json")
        left = sorted(str(path.relative_to(out)) for path in out.rglob(f".*{PARTIAL}"))
        return {name: value for name, value in report.items() if name != "made"} | {"left": left}
    last = max((out / "checkpoints").glob("[0-9]*"))
    names = ("policy.safetensors", "training.safetensors")
    found: dict[str, Any] = {
        name: hashlib.sha256((last / name).read_bytes()).hexdigest() for name in names
    }
    found["step"] = last.name
    found["generators"] = read_json(last / "state.json")["generators"]
    found["files"] = sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and "events.out" not in path.name
    )
    reports = sorted((out / "report").glob("*.json"))
    return found | {report.name: untimed(read_json(report)) for report in reports}


def untimed(report: Any) -> Any:
    """A report without the seconds that its identifications took."""
    for one in report.get("rounds", []) if isinstance(report, dict) else []:
        one.pop("seconds", None)
    return report


class Operations:
    """Counts the file operations of this process under a folder; `before` is called with each.

    Of `apart`, a pattern of paths, the operations are not counted.
    """

    def __init__(self, folder: Path, apart: str, before: Callable[[int], None]) -> None:
        self.count = 0
        self._folder, self._apart, self._before = str(folder), apart, before
        self._sync = os.fsync
        os.fsync = self._fsync
        sys.addaudithook(self._hook)

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            mode, flags = args[1], args[2]
            writes = isinstance(mode, str) and set(mode) & set("wax+")
            if not writes and not (flags or 0) & (os.O_WRONLY | os.O_RDWR):
                return
        elif event not in OPERATIONS:
            return
        self._tick(str(args[0]))

    def _fsync(self, descriptor: int) -> None:
        self._tick(os.readlink(f"/proc/self/fd/{descriptor}"))
        self._sync(descriptor)

    def _tick(self, path: str) -> None:
        if path.startswith(self._folder) and not re.search(self._apart, path):
            self.count += 1
            self._before(self.count)


def kill_at(at: int) -> Callable[[int], None]:
    """End this process before the operation `at`."""

    def before(number: int) -> None:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def keep_states(folder: Path, states: Path) -> Callable[[int], None]:
    """Copy what a kill would leave in `folder`, before each operation, if it is new."""
    seen = set[str]()

    def before(number: int) -> None:
        state = hashlib.sha256()
        for path in sorted(folder.rglob("*"), key=named):
            state.update(named(path).encode())
            state.update(path.read_bytes() if path.is_file() else b"")
        if state.hexdigest() not in seen:
            seen.add(state.hexdigest())
            shutil.copytree(folder, states / str(number), symlinks=True)

    return before


def named(path: Path) -> str:
    """A path without the random part in the names of unfinished files."""
    return re.sub(rf"\.\w+{re.escape(PARTIAL)}", PARTIAL, str(path))


def child(work: Callable[[], Any], answer: Path, after: float | None = None) -> int:
    """Do `work` in a forked child; its result is in `answer`. Returns how the child ended.

    It is killed `after` so many seconds.
    """
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            answer.write_text(json.dumps(work()))
        except BaseException:
            answer.write_text(json.dumps({"error": traceback.format_exc()}))
            code = 1
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def own_cache(out: Path) -> None:
    """Let this child have a cache of its own, which a kill may damage, too."""
    os.environ["XDG_CACHE_HOME"] = str(out.parent / "cache")


def counted(scenario: str, out: Path, before: Callable[[int], None]) -> int:
    """Make the run; the number of its file operations."""
    own_cache(out)
    operations = Operations(out.parent, APART.get(scenario, NOTHING), before)
    SCENARIOS[scenario](out)
    return operations.count


def finished(make: Make, out: Path) -> dict[str, Any]:
    """What is there in the end."""
    own_cache(out)
    warnings.simplefilter("error", UserWarning)
    go(make, out)
    return digests(out)


def main(
    scenario: str, folder: Path, kills: Sequence[int] | None, moments: int = 0
) -> dict[str, Any]:
    """Kill before each of `kills`, or (None) take each state that a kill can leave; go on.

    Then kill at so many random `moments`. Returns what differs from an uninterrupted run.
    """
    make, answer = SCENARIOS[scenario], folder / "answer.json"
    out, states = folder / "made" / "run", folder / "states"
    shorten_episodes(scenario)

    def outcome(work: Callable[[], Any]) -> Any:
        child(work, answer)
        return json.loads(answer.read_text())

    if scenario in ("transfer", "distill", "identify", "extend"):
        child(lambda: str(SCENARIOS["ppo"](folder / "source").path), answer)
    begin(scenario, out)
    before = keep_states(out.parent, states) if kills is None else lambda number: None
    began = time.monotonic()
    operations = outcome(lambda: counted(scenario, out, before))
    if not isinstance(operations, int):
        raise RuntimeError(operations["error"])
    seconds = time.monotonic() - began
    expected = outcome(lambda: digests(out))
    differences: dict[float, Any] = {}
    numbers: list[float] = sorted(int(path.name) for path in states.glob("*"))
    numbers += [*(kills or ()), *(random.Random(0).uniform(0, seconds) for _ in range(moments))]
    for at in numbers:
        shutil.rmtree(out.parent)
        if isinstance(at, float):
            begin(scenario, out)
            child(lambda: counted(scenario, out, lambda number: None), answer, at)
        elif kills is None:
            shutil.move(states / str(at), out.parent)
        else:
            begin(scenario, out)
            code = child(lambda at=at: counted(scenario, out, kill_at(at)), answer)
            if code != -signal.SIGKILL:
                differences[at] = f"was not killed: {answer.read_text()}"
                continue
        got = outcome(lambda: finished(make, out))
        if got != expected:
            names = expected.keys() | got.keys()
            differences[at] = got.get("error") or {
                name: [expected.get(name), got.get(name)]
                for name in sorted(names)
                if expected.get(name) != got.get(name)
            }
    found = {"operations": operations, "tried": len(numbers)}
    return {**found, "expected": expected, "differences": differences}


def kills_of(text: str) -> tuple[list[int] | None, int]:
    """The numbers in a text, None where there are none, and the number of random moments."""
    if text.endswith("x"):
        return [], int(text[:-1])
    return [int(one) for one in text.split(",")] if text else None, 0


if __name__ == "__main__":
    found = {}
    for asked in sys.argv[2:]:
        scenario, _, kills = asked.partition(":")
        (folder := Path(sys.argv[1]).resolve() / scenario).mkdir()
        found[scenario] = main(scenario, folder, *kills_of(kills))
    print(json.dumps(found))
