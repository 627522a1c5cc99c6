"""Tables and short descriptions."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import measured
import numpy as np
import pytest
from rich.console import Console

import sim2real as s2r
from sim2real.cli.output import show, table
from sim2real.cli.policies import evaluated
from sim2real.cli.study import compared
from sim2real.evaluation.numbers import whole
from sim2real.evaluation.summary import summary
from sim2real.runs.load import load_run
from sim2real.studies.report.formats import dots


def shown(found: object, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(found)
    return console.file.getvalue()


def column(text: str, place: int) -> str:
    """The cells of one column, without the breaks that folding made."""
    lines = [line for line in text.splitlines() if line.startswith("│")]
    return "".join(line.split("│")[place + 1].strip() for line in lines)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("list --json", marks=pytest.mark.slow),
        pytest.param("list cartpole --json", marks=pytest.mark.slow),
        "list cartpole",
        "--version",
        "--help",
    ],
)
def test_a_reader_that_has_gone_ends_the_command_quietly(words: str) -> None:
    read, write = os.pipe()
    os.close(read)
    script = "import sys; from sim2real.cli import main; sys.exit(main(sys.argv[1:]))"
    call = [sys.executable, "-c", script, *words.split()]
    done = subprocess.run(call, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.parametrize("width", [40, 80])
def test_narrow_tables_cut_nothing(width: int) -> None:
    names = [f"body_mass:a_long_name_of_a_body_of_the_left_leg_{n}" for n in (1, 2)]
    rows = [{"parameter": name, "correlation": 0.25, "return": 1234.5} for name in names]
    assert column(shown(table("t", rows), width), 0) == "".join(names)
    assert column(shown(table("t", rows), width), 2) == "1,234.501,234.50"


def test_brackets_and_colons_are_shown_as_they_are() -> None:
    """Rich would take them for markup: leave out `[m]`, and fail at `[/x]`."""
    odd = "[m] [/x] :smile:"
    show([table(odd, [{odd: odd}])], out := io.StringIO())
    assert out.getvalue().count(odd) == 3


def test_low_and_high_say_what_they_are() -> None:
    row = s2r.load_run("pretrained:cartpole")
    rows = s2r.evaluate(row.policy, "cartpole", "hard", episodes=4, seed=3)
    text = " ".join(shown(evaluated("t", [summary("hard", rows)]), 200).split())
    assert "95 % interval" in text
    failed = sum(one.failed for one in rows)
    assert re.search(rf"{25 * failed} %", text)  # a share, as the success is


def test_public_objects_describe_themselves_in_a_line(tmp_path: Path) -> None:
    run = load_run("pretrained:hopper")
    rows = s2r.evaluate(run.policy, "hopper", "randomized", episodes=1)
    domain = s2r.load_domain("hopper", "randomized")
    simulation = s2r.Simulation("hopper", domain, num_envs=2)
    simulation.reset()
    for one, said in (
        (domain, "Domain('randomized', dynamics="),
        (run, "hopper in "),
        (run.checkpoint, "Checkpoint("),
        (run.task, "Hopper()"),
        (run.policy, "MlpActorCriticPolicy(observation (11,), action (3,), "),
        (simulation, "Simulation('hopper', 'randomized', num_"),
        (simulation.step(np.zeros((2, 3))), "Transition(2 worlds, mean reward "),
        (s2r.make_vec_env("hopper", domain, num_envs=2), "SimVecEnv(Simulation('hopper'"),
        (rows[0], "Row('randomized', seed=0, episode=0, total="),
        (rows, "(Row("),
        (s2r.audit("cartpole", "mild"), "AuditReport('cartpole' in 'mild'"),
        (s2r.interval([[1.0, 2.0]] * 3), "Interval("),
    ):
        for text in (repr(one), str(one)):
            assert said in text
            assert "\n" not in text
            assert len(text) < 250


def test_a_study_is_a_table_of_80_columns_with_its_seeds() -> None:
    (target,) = compared(measured.report(measured.results()))
    text = shown(target, 80)
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines() if line.strip()}
    assert "120" in rows["fine-tune"]
    assert "200" in rows["oracle"]
    assert all(
        rows[name].count("●") in range(1, 6) for name in ("zero-shot", "fine-tune", "oracle")
    )
    assert rows["oracle"].index("●") > rows["fine-tune"].index("●") > rows["zero-shot"].index("●")
    assert "Better return than from scratch: fine-tune" in " ".join(text.split())
    assert "…" not in text


def test_dots_stand_where_the_seeds_are() -> None:
    found = {"value": 5.0, "low": 2.0, "high": 8.0, "values": [3.0, 5.0, 7.0]}
    assert dots(found, (0.0, 10.0), width=11) == "  ─●─●─●─  "
    assert dots(found | {"low": None}, (0.0, 10.0), width=11) == "   ● ● ●   "
    assert dots(found | {"value": None}) == ""


def test_all_tables_print_the_same_minus_sign(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"evaluate": -1.5, "transfer": whole(-12.5)}, {"evaluate": 2.0, "transfer": whole(-7)}]
    show([table("t", rows)], sys.stdout)
    text = capsys.readouterr().out
    assert "-1.50" in text
    assert column(text, 1) == "-12.5-7"
