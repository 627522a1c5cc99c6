"""Mistakes in files of domains, studies and models are errors of one line, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzzing
import mujoco
import numpy as np
import pytest

from sim2real.domains import load_domains
from sim2real.errors import UserError
from sim2real.simulation import Simulation
from sim2real.studies.config import load_study
from sim2real.untrusted_model import check_model

Write = Callable[[np.random.Generator], bytes]


def faults(write: Write, read: Callable[[Path], Any], file: Path, seeds: range) -> list[str]:
    """The files that raise anything but a UserError of one line."""
    found = []
    for seed in seeds:
        file.write_bytes(write(np.random.default_rng(seed)))
        try:
            read(file)
        except UserError as error:
            if "\n" in str(error):
                found.append(f"{seed}: {error}")
        except UserWarning:
            pass
        except Exception as error:
            found.append(f"{seed}: {type(error).__name__}: {error}")
    return found


def read_domains(file: Path) -> None:
    for domain in load_domains(file).values():
        Simulation("cartpole", domain, threads=1).close()


def read_model(file: Path) -> None:
    check_model(file)
    try:
        mujoco.MjSpec.from_file(str(file)).compile()
    except ValueError:  # what our loaders report as the compiler's error
        return


CASES: dict[str, tuple[Write, Callable[[Path], Any], int, int]] = {
    "domain.yaml": (lambda rng: fuzzing.yaml_text(fuzzing.DOMAINS, rng), read_domains, 250, 25_000),
    "study.yaml": (lambda rng: fuzzing.yaml_text(fuzzing.STUDY, rng), load_study, 250, 25_000),
    "robot.xml": (fuzzing.model_text, read_model, 6, 5_000),
}
"""The writer, the reader, and how many files are tried in the short and in the long form."""


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_line(name: str, tmp_path: Path) -> None:
    write, read, few, _ = CASES[name]
    assert faults(write, read, tmp_path / name, range(few)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_mistakes_are_one_line(name: str, tmp_path: Path) -> None:
    write, read, few, many = CASES[name]
    assert faults(write, read, tmp_path / name, range(few, few + many)) == []


def test_the_files_without_mistakes_are_read(tmp_path: Path) -> None:
    for name, text in (
        ("domain.yaml", fuzzing.dump_yaml(fuzzing.DOMAINS)),
        ("study.yaml", fuzzing.dump_yaml(fuzzing.STUDY)),
    ):
        (tmp_path / name).write_text(text)
        CASES[name][1](tmp_path / name)
    assert mujoco.MjSpec.from_string(fuzzing.MODEL).compile().nu == 2
