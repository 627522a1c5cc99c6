"""Kill a training at a file operation, go on, compare. Run as: killing.py SCENARIO FOLDER [KILLS].

Prints JSON: how many file operations an uninterrupted training makes, and for each kill what
differs from it in the end. A kill is SIGKILL in a forked child, just before the k-th time that it
opens a file to write, syncs, renames, makes or removes one under FOLDER.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # the first optimizer imports it; without this line in every forked child
import torch.utils.tensorboard

import sim2real as s2r
from sim2real.files import read_json
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


def moved(method: str) -> Make:
    def make(out: Path) -> Any:
        return s2r.transfer(
            out.parents[1] / "source", "hard", method=method, budget=256, out=out, curve=2,
            curve_episodes=2, num_envs=4, checkpoint_every=128, progress=False,
        )  # fmt: skip

    return make


def studied(out: Path) -> Any:
    config = {
        "name": "killed", "task": "cartpole", "out": str(out), "targets": ["hard"], "seeds": 1,
        "source": {"domain": "nominal", "steps": 256, "options": PPO}, "methods": ["fine_tune"],
        "budget": 256, "episodes": 2, "evaluations": 1, "oracle": {"steps": 256, "options": PPO},
        "audit": False,
    }  # fmt: skip
    return s2r.study(StudyConfig.model_validate(config), workers=1, progress=False)


SCENARIOS: dict[str, Make] = {
    "ppo": pretrain("ppo", PPO),
    "sac": pretrain("sac", SAC),
    "adaptive": pretrain("ppo", PPO, randomization=ADR),
    "transfer": moved("fine_tune"),
    "distill": moved("distill"),
    "study": studied,
}


def go(make: Make, out: Path) -> None:
    """What a user does: start it, or go on if it has begun."""
    if (out / "config.yaml").exists():
        resume(out, progress=False)
    else:
        make(out)


def digests(out: Path) -> dict[str, Any]:
    """What must be equal: the last checkpoint, and the results beside it."""
    if (out / "study.yaml").exists():
        report = read_json(out / "report" / "report.json")
        return {name: value for name, value in report.items() if name != "made"}
    last = max((out / "checkpoints").glob("[0-9]*"))
    names = ("policy.safetensors", "training.safetensors")
    found: dict[str, Any] = {
        name: hashlib.sha256((last / name).read_bytes()).hexdigest() for name in names
    }
    found["step"] = last.name
    found["files"] = sorted(
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and "events.out" not in path.name
    )
    reports = sorted((out / "report").glob("*.json"))
    return found | {report.name: read_json(report) for report in reports}


class Killer:
    """Counts file operations under a folder; kills this process just before the `at`-th."""

    def __init__(self, folder: Path, at: int | None) -> None:
        self.count = 0
        self._folder, self._at = str(folder), at
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
        if str(args[0]).startswith(self._folder):
            self._tick()

    def _fsync(self, descriptor: int) -> None:
        self._tick()
        self._sync(descriptor)

    def _tick(self) -> None:
        self.count += 1
        if self.count == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def child(work: Callable[[], Any], answer: Path) -> int:
    """Do `work` in a forked child; its result is in `answer`. Returns how the child ended."""
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
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def counted(make: Make, out: Path, at: int | None) -> int:
    """Make the run while operations are counted, and perhaps be killed."""
    killer = Killer(out.parent, at)
    make(out)
    return killer.count


def finished(make: Make, out: Path) -> dict[str, Any]:
    """What is there in the end."""
    go(make, out)
    return digests(out)


def main(scenario: str, folder: Path, kills: Sequence[int] | None) -> dict[str, Any]:
    """Kill at each of `kills` (None: at every operation); tell what differs."""
    make, answer = SCENARIOS[scenario], folder / "answer.json"

    def outcome(work: Callable[[], Any]) -> Any:
        child(work, answer)
        return json.loads(answer.read_text())

    if scenario in ("transfer", "distill"):
        child(lambda: str(SCENARIOS["ppo"](folder / "source").path), answer)
    whole = folder / "whole" / "run"
    whole.parent.mkdir()
    operations = outcome(lambda: counted(make, whole, None))
    if not isinstance(operations, int):
        raise RuntimeError(operations["error"])
    expected = outcome(lambda: digests(whole))
    differences: dict[int, Any] = {}
    for at in kills if kills is not None else range(1, operations + 1):
        at = (at - 1) % operations + 1
        out = folder / f"killed-{at}" / "run"
        out.parent.mkdir()
        if child(lambda at=at, out=out: counted(make, out, at), answer) != -signal.SIGKILL:
            differences[at] = f"was not killed: {answer.read_text()}"
            continue
        got = outcome(lambda out=out: finished(make, out))
        if got != expected:
            names = expected.keys() | got.keys()
            differences[at] = got.get("error") or {
                name: [expected.get(name), got.get(name)]
                for name in sorted(names)
                if expected.get(name) != got.get(name)
            }
        shutil.rmtree(out.parent)
    return {"operations": operations, "expected": expected, "differences": differences}


if __name__ == "__main__":
    asked = [int(one) for one in sys.argv[3:]] or None
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]).resolve(), asked)))
