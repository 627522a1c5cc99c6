"""A CSV file with a mapping is a log in SI units; what is wrong in it is one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim2real.errors import UserError
from sim2real.identification.formats import csv, rows
from sim2real.identification.log import Log

MAPPING: dict[str, Any] = {
    "time": {"column": "ms", "unit": "ms"},
    "commands": {"hip": {"column": "goal", "unit": "deg", "sign": -1}},
    "observations": {
        "position": {"columns": ["hip", "knee"], "unit": "deg", "offset": [0.0, 0.5]},
        "speed": {"column": "ticks", "scale": 0.25},
    },
}
TEXT = """\
name,ms,goal,hip,knee,ticks,run,on,fell
a,1000,90,0,180,4,1,1,0
b,1020,90,1,180,8,1,1,1
c,1040,90,2,180,8,2,1,0
d,1060,0,3,90,8,2,1,0
e,1080,0,4,90,8,2,0,0
f,1100,0,5,90,8,2,1,0
g,1120,0,6,90,8,2,1,0
"""


def write(folder: Path, text: str, name: str = "run.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def load(folder: Path, text: str = TEXT, **changed: Any) -> Log:
    return Log.load(write(folder, text), MAPPING | changed)


def test_values_are_si(tmp_path: Path) -> None:
    log = load(tmp_path)
    assert log.times == pytest.approx(0.02 * np.arange(7))
    assert log.control_dt == pytest.approx(0.02)
    assert log.actuators == ("hip",)
    assert log.commands[:, 0] == pytest.approx(np.radians([-90.0] * 3 + [0.0] * 4))
    assert log.observations["position"][0] == pytest.approx([0.0, 0.5 + np.pi])
    assert log.observations["speed"][:2, 0].tolist() == [1.0, 2.0]
    assert log.units == {"position": "rad"}
    assert len(log.episodes) == 1


def test_episodes_begin_where_the_column_changes_and_where_rows_are_left_out(
    tmp_path: Path,
) -> None:
    log = load(tmp_path, episode="run", only_where="on", terminated="fell")
    assert [len(range(7)[one]) for one in log.episodes] == [2, 2, 2]
    assert log.terminated is not None
    assert log.terminated.tolist() == [True, False, False]
    assert log.times == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.1, 0.12])


def test_the_mapping_is_a_yaml_file(tmp_path: Path) -> None:
    text = "time: t\ncommands: {hip: u}\nobservations: {position: [q, w]}\ncontrol_dt: 0.01\n"
    mapping = write(tmp_path, text, "mapping.yaml")
    table = write(tmp_path, "t;u;q;w\n0.0;1;2;3\n0.5;4;5;6\n\n")
    log = Log.load(table, str(mapping))
    assert log.observations["position"].tolist() == [[2.0, 3.0], [5.0, 6.0]]
    assert log.control_dt == 0.01


def test_lists_of_columns(tmp_path: Path) -> None:
    table = write(tmp_path, "\ufefft\tu\tq[0]\tq[1]\n0\ttrue\t1\t2\n1\tfalse\t3\t4\n", "a.tsv")
    mapping = {"time": "t", "commands": {"hip": "u"}, "observations": {"position": "q"}}
    log = Log.load(table, mapping)
    assert log.observations["position"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert log.commands[:, 0].tolist() == [1.0, 0.0]


def test_rows_without_a_number_are_left_out_if_that_is_asked_for(tmp_path: Path) -> None:
    text = TEXT.replace("b,1020,90,1", "b,1020,90,")
    with pytest.raises(UserError, match=r"column 'hip' has no number in 1 rows.* is row 2; .*drop"):
        load(tmp_path, text)
    log = load(tmp_path, text, missing="drop")
    assert log.times[:2] == pytest.approx([0.0, 0.04])
    assert len(log.episodes) == 1


@pytest.mark.parametrize(
    ("text", "changed", "message"),
    [
        (TEXT, {"time": "s"}, "unknown column 's'; .*allowed: name, ms, goal"),
        (TEXT, {"time": {"column": "ms", "unit": "msec"}}, "unknown unit 'msec'; did you mean"),
        (TEXT, {"time": ["ms", "goal"]}, "time has the columns ms, goal; allowed: one"),
        (TEXT, {"commands": {}}, "commands: must have 1 or more entries"),
        (TEXT, {"command": {"hip": "goal"}}, "unknown key 'command'; did you mean 'commands'"),
        (TEXT, {"observations": {"p": {"columns": ["hip", "knee"], "sign": [1, 1, 1]}}}, "sign"),
        (TEXT, {"observations": {"p": {"column": "hip", "sign": 2}}}, "sign: "),
        (TEXT, {"observations": {"p": "name"}}, "row 1: 'a' is no number"),
        (TEXT.replace("c,1040", "c,1010"), {}, r"'ms' goes from 0.02 s to 0.01 s in row 3: time"),
        (TEXT.replace("c,1040", "c,1020"), {}, "time must increase; sort the rows, remove copies"),
        (TEXT.split("b,")[0], {}, "1 rows can be used; allowed: an episode of at least 2 rows"),
        (TEXT + "h,1\n", {}, "row 8 has 2 cells, fewer than there are names"),
        (TEXT + "h,1140,x,1,1,1,1,1,1\n", {}, "row 8: 'x' is no number"),
        ("", {}, "there is no line of column names"),
        ("a\0b,\udce4\n", {}, "is no CSV file"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, text: str, changed: dict[str, Any], message: str
) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=message) as caught:
        Log.load(path, MAPPING | changed)
    assert "\n" not in str(caught.value)


def test_sizes_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_BYTES", 8 * 6 * 6)
    with pytest.raises(UserError, match="rows of 5 columns; allowed: 288 bytes"):
        load(tmp_path, TEXT * 2)
    monkeypatch.setattr(csv, "MOST_TEXT", 10)
    with pytest.raises(UserError, match="is larger than 10 bytes"):
        load(tmp_path)


def test_a_table_needs_a_mapping(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a mapping: a YAML file that says which column"):
        Log.load(write(tmp_path, TEXT))
    with pytest.raises(UserError, match=r"no known format; allowed: \.csv"):
        Log.load(write(tmp_path, TEXT, "run.xls"), MAPPING)


def test_a_log_of_our_own_needs_no_mapping(tmp_path: Path) -> None:
    path = tmp_path / "log.safetensors"
    load(tmp_path).save(path)
    with pytest.raises(UserError, match=r"without a mapping, a file of `Log\.save`$"):
        Log.load(path, MAPPING)


def written() -> Log:
    """Two episodes, the first of which ended by itself, with numbers of all sizes."""
    rng = np.random.default_rng(0)
    return Log(
        times=np.array([0.0, 0.1 + 0.2, 0.6, 0.0, 0.3]),
        commands=rng.normal(size=(5, 2)) * 1e-9,
        actuators=("hip, left", "on"),
        observations={"position": rng.normal(size=(5, 1)), "speed": rng.normal(size=(5, 3)) * 1e9},
        control_dt=0.3,
        starts=np.array([0, 3]),
        terminated=np.array([True, False]),
        units={"position": "rad", "current": "ticks", "speed": "deg/s"},
        extras={"current": rng.normal(size=(5, 1))},
    )


@pytest.mark.parametrize("name", ["run.csv", "run.TSV"])
def test_a_log_that_is_written_as_a_table_is_read_again_as_it_is(tmp_path: Path, name: str) -> None:
    log = written()
    log.save(tmp_path / name)
    again = Log.load(tmp_path / name)
    for one, other in (
        (log.times, again.times),
        (log.commands, again.commands),
        (log.starts, again.starts),
        (log.terminated, again.terminated),
        *((one, again.observations[term]) for term, one in log.observations.items()),
        *((one, again.extras[term]) for term, one in log.extras.items()),
    ):
        assert np.array_equal(one, other)  # type: ignore[arg-type]
    assert again.actuators == log.actuators
    assert again.control_dt == log.control_dt
    assert again.units == {"position": "rad"}  # others are not those of SI
    first = (tmp_path / name).read_text().splitlines()[0]
    assert first.startswith("time,episode,terminated" if name == "run.csv" else "time\tepisode")


def test_a_log_is_not_written_under_the_name_of_another_format(tmp_path: Path) -> None:
    for name in ("run.parquet", "run.mcap", "run.unfinished"):
        with pytest.raises(UserError, match="a log is not written as"):
            written().save(tmp_path / name)
    assert not list(tmp_path.iterdir())
