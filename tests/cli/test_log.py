"""The verbs of logs: what they print, what they write, what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sim2real import cli
from sim2real.identification.log import Log
from sim2real.identification.record import record
from sim2real.simulation import Simulation

MAPPING = """
time: {column: ms, unit: ms}
commands: {drive: u}
observations:
  cart: x
  pole: [c, s]
  velocity: [v, w]
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "log.safetensors"
    actions = np.repeat(np.random.default_rng(0).uniform(-1, 1, (60, 1)), 5, axis=0)
    record(Simulation("cartpole", "hard", 1, seed=0), actions, 300).save(path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main([str(word) for word in words]) == code
    captured = capsys.readouterr()
    return " ".join((captured.err if code else captured.out).split())


def test_info(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "log", "info", log)
    for words in ("300 in 6 s", "20 ms (20 to 20 ms), jitter 0.0%", "even", "command of drive"):
        assert words in shown
    found = json.loads(run(capsys, "log", "info", log, "--json"))
    assert found["steps"] == 300
    assert [one["name"] for one in found["channels"]][:2] == ["command of drive", "cart[0]"]


def test_compare(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("log", "compare", log, "--task", "cartpole", "--out", tmp_path / "out")
    shown = run(capsys, *words)
    assert "cartpole in nominal" in shown
    assert "nominal misses" in shown
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["domain"] == "nominal"
    run(capsys, *words, "--domain", "hard")
    assert json.loads((tmp_path / "out" / "compare-2.json").read_text())["domain"] == "hard"


def test_convert(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = Log.load(log)
    columns = [1e3 * known.times, known.commands, *known.observations.values()]
    table = np.concatenate([one.reshape(len(known), -1) for one in columns], axis=1)
    first = slice(0, known.episodes[0].stop)
    np.savetxt(
        tmp_path / "run.csv", table[first], delimiter=",", header="ms,u,x,c,s,v,w", comments=""
    )
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    words = ("log", "convert", tmp_path / "run.csv", "--mapping", tmp_path / "mapping.yaml")
    out = tmp_path / "run.safetensors"
    assert f"written to {out}" in run(capsys, *words, "--out", out).replace(" /", "/").replace(
        "to/", "to /"
    )
    again = Log.load(out)
    assert again.observations["pole"] == pytest.approx(known.observations["pole"][first])
    assert again.control_dt == pytest.approx(0.02)
    assert "exists already" in run(capsys, *words, "--out", out, code=2)
    other = run(capsys, *words, "--out", tmp_path / "log.Parquet", code=2)
    assert "a log is not written as .parquet; allowed: .csv, .tsv" in other
    assert "needs a mapping" in run(capsys, *words[:3], "--out", tmp_path / "b", code=2)


def test_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "log.safetensors"
    words = ("log", "record", "pretrained:cartpole", "--domain", "hard", "--steps", "50")
    run(capsys, *words, "--out", out)
    assert Log.load(out).steps == 50


def test_a_verb_of_two_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'log info'?" in run(capsys, "log info2", code=2)
    assert "log info, log compare" in run(capsys, "log", code=2)
    assert "FILE is missing; see `sim2real log info --help`" in run(capsys, "log", "info", code=2)
