"""Damage to any file of a run is found, and an intact run stays intact."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from sim2real import cli, files
from sim2real.errors import UserError
from sim2real.learning.pretrain import pretrain
from sim2real.runs.seal import seal
from sim2real.runs.verify import verify
from sim2real.transfer.api import transfer

SEARCH = str(Path(__file__).parents[1] / "transfer" / "methods" / "context_search.py")
SMALL = {"n_steps": 8, "batch_size": 16, "n_epochs": 1, "net_arch": [4]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, short_cartpole: None) -> Path:
    """A transfer with code of its own, phases, a curve and events; its source is beside it."""
    folder = tmp_path_factory.mktemp("runs")
    source = pretrain(
        "cartpole", steps=64, num_envs=4, out=folder / "source", options=SMALL, curve=2,
        curve_episodes=4, progress=False,
    )  # fmt: skip
    options = {"num_envs": 4, "recipe": {"n_steps": 8, "batch_size": 16, "n_epochs": 1}}
    moved = transfer(
        source, "hard", method=SEARCH, budget=50, out=folder / "run", options=options,
        curve=2, curve_episodes=2, progress=False,
    )  # fmt: skip
    return moved.path


def verdicts(path: Path) -> dict[str, str]:
    return {one.what: one.verdict for one in verify(path).findings}


def test_an_intact_run_is_intact(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verify(run)
    assert found.intact, found
    checked = verdicts(run)
    assert checked["versions"] == "intact"
    assert checked["phases/00-record"] == checked["manifest.json"] == "intact"
    assert checked["report/budget.json"] == "not checked"
    assert [name for name in checked if name.startswith("events.out")] == []
    assert cli.main(["verify", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intact"] is True


def test_a_shipped_policy_is_intact() -> None:
    assert verify("pretrained:cartpole").intact


def test_returns_are_measured_again(run: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(run.parent / "source", source)
    found = verify(source, episodes=4)
    assert found.findings[-1].verdict == "intact"
    assert "4 episodes, equal to the last bit" in found.findings[-1].detail
    with pytest.raises(UserError, match="episodes is 5; allowed: up to 4"):
        verify(source, episodes=5)
    curve = source / "report" / "curve.json"
    plain = files.read_json(curve)
    plain["rows"][-1]["totals"] = [total + 50.0 for total in plain["rows"][-1]["totals"]]
    files.write_json(curve, plain)
    assert verdicts(source)["report/curve.json"] == "damaged"
    assert cli.main(["verify", str(source)]) == 1


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run: it has no config\.yaml"):
        verify(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        verify(tmp_path / "missing")


def damage(file: Path, rng: np.random.Generator) -> str:
    """Damage a file; events that are missing are no damage, as nothing says that there were any."""
    data = bytearray(file.read_bytes())
    kind = ("flipped", "truncated", "zeroed", "longer", "missing")[
        rng.integers(4 if "events.out" in file.name else 5)
    ]
    at = int(rng.integers(max(len(data), 1)))
    if kind == "flipped":
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == "truncated":
        del data[at:]
    elif kind == "zeroed":
        data[at : at + 64] = bytes(b ^ 0xA5 for b in data[at : at + 64])
    elif kind == "longer":
        data += rng.bytes(int(rng.integers(1, 64)))
    file.unlink()
    if kind != "missing":
        file.write_bytes(data)
    return f"{kind} at {at}"


def is_same(file: Path, before: bytes) -> bool:
    """Whether a file says the same without its last line break."""
    return file.is_file() and file.read_bytes() == before.rstrip(b"\n")


def undetected(run: Path, folder: Path, count: int) -> list[str]:
    """Damage that `verify` did not find, or told in more than a line; of `count` files."""
    rng = np.random.default_rng(count)
    copy = folder / "copy"
    shutil.copytree(run, copy)
    every = [path for path in sorted(copy.rglob("*")) if path.is_file() and path.stat().st_size]
    missed: list[str] = []
    for _ in range(count):
        file = every[rng.integers(len(every))]
        name, before = str(file.relative_to(copy)), file.read_bytes()
        what = damage(file, rng)
        try:
            found = [one for one in verify(copy).findings if one.verdict == "damaged"]
            told = [one.detail for one in found]
        except UserError as error:
            told = [str(error)]
        if (not told or "\n" in told[0]) and not is_same(file, before):
            missed.append(f"{name}: {what}: {told}")
        file.write_bytes(before)
    return missed


def test_damage_is_found(run: Path, tmp_path: Path) -> None:
    missed = undetected(run, tmp_path, 300)
    assert [one for one in missed if not one.startswith("report/")] == []


@pytest.mark.slow
def test_damage_of_20000_files_is_found(run: Path, tmp_path: Path) -> None:
    missed = undetected(run, tmp_path, 20_000)
    counts = Counter(one.split(":")[0] for one in missed)
    assert [name for name in counts if not name.startswith("report/")] == []


def test_versions_are_sealed(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    versions = tmp_path / "run" / "versions.json"
    versions.write_text(versions.read_text().replace("python", "jython"))
    assert "versions.json" in next(
        one.detail for one in verify(tmp_path / "run").findings if one.what == "manifest.json"
    )
    seal(tmp_path / "run")
    assert verdicts(tmp_path / "run")["manifest.json"] == "intact"
