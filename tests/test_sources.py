"""What a source is: a file with what it imports from beside it, imported as it was read."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.sources import find_source, import_source, read_source, source_of


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_the_digest_is_what_sha256sum_prints(tmp_path: Path) -> None:
    write(tmp_path, one="import two\n", two="x = 1\n")
    alone, both = read_source(tmp_path / "two.py"), read_source(tmp_path / "one.py")
    assert alone.digest == hashlib.sha256(b"x = 1\n").hexdigest()
    printed = subprocess.run(
        ["sha256sum", "one.py", "two.py"], cwd=tmp_path, capture_output=True, check=True
    ).stdout
    assert both.digest == hashlib.sha256(printed).hexdigest()


def test_files_beside_it_are_part_of_it_in_every_form_of_import(tmp_path: Path) -> None:
    write(
        tmp_path,
        main="import one, numpy, os\nfrom two import b\nimport pack.deep\nfrom pack import deeper\n"
        "value = (one.a, b, pack.deep.c, deeper.d)\n",
        one="from three import a\n",
        two="b = 2\n",
        three="a = 1\n",
        pack__deep="c = 3\n",
        pack__deeper="from . import deep\nfrom .deep import c\nd = c + 1\n",
        unused="raise SystemExit\n",
        numpy__fake="",
    )
    (tmp_path / "pack" / "__init__.py").write_text("")
    source = read_source(tmp_path / "main.py")
    assert set(source.files) == {
        "main.py", "one.py", "two.py", "three.py",
        "pack/__init__.py", "pack/deep.py", "pack/deeper.py",
    }  # fmt: skip
    assert import_source(source).value == (1, 2, 3, 4)
    assert not {"one", "two", "pack"} & set(sys.modules)


def test_two_sources_may_have_files_of_one_name(tmp_path: Path) -> None:
    for value in ("1", "2"):
        write(tmp_path / value, main="from helper import value\n", helper=f"value = {value}\n")
    found = [import_source(read_source(tmp_path / value / "main.py")).value for value in ("1", "2")]
    assert found == [1, 2]


def test_bytecode_beside_it_is_not_used(tmp_path: Path) -> None:
    """A compiled file of the same date and size as the source is what Python itself would run."""
    write(tmp_path, main="x = 'good'\n", evil="x = 'evil'\n")
    file, stamp = tmp_path / "main.py", (tmp_path / "main.py").stat()
    os.utime(tmp_path / "evil.py", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    cached = importlib.util.cache_from_source(str(file))
    py_compile.compile(str(tmp_path / "evil.py"), cfile=cached)
    spec = importlib.util.spec_from_file_location("main", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.x == "evil"  # the trap is a real one
    assert import_source(read_source(file)).x == "good"


def test_modules_are_found_without_importing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, pack__robot="class A: ...\n")
    (tmp_path / "pack" / "__init__.py").write_text("raise SystemExit\n")
    monkeypatch.chdir(tmp_path)
    source = find_source("pack.robot:A")
    assert source is not None
    assert (source.root, source.name) == (tmp_path, "A")
    assert list(source.files) == ["pack/robot.py", "pack/__init__.py"]
    assert find_source(source.reference).digest == source.digest  # type: ignore[union-attr]
    assert find_source("json") is None  # a plain name is one of the working folder
    assert find_source("nowhere.at:A") is None
    assert find_source("a\0b:A") is None
    with pytest.raises(UserError, match="is no path of a file"):
        find_source("a\0b.py")


def test_a_task_in_a_module_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slider = Path(__file__).parent / "robots" / "slider.py"
    for suffix in (".py", ".xml"):
        (tmp_path / f"mine{suffix}").write_text(slider.with_suffix(suffix).read_text())
    monkeypatch.chdir(tmp_path)
    for reference in ("mine", "mine:Slider", "mine.py", "mine.py:Slider"):
        task = load_task(reference)
        assert task.name == "mine"
        monkeypatch.chdir("/")
        assert type(load_task(task.reference)).__name__ == "Slider"
        monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"unknown task class .*'Slidr'; did you mean 'Slider'"):
        load_task("mine:Slidr")


def test_what_cannot_be_read_is_reported(tmp_path: Path) -> None:
    write(tmp_path, bad="def f(:\n", large="#" * 10_000_001)
    with pytest.raises(UserError, match=r"bad\.py, line 1: not valid Python: "):
        load_task(str(tmp_path / "bad.py"))
    with pytest.raises(UserError, match="is larger than 10,000,000 bytes"):
        load_task(str(tmp_path / "large.py"))


def test_an_exception_of_a_users_code_is_one_line_with_its_place(tmp_path: Path) -> None:
    failing = "def f():\n    raise ValueError('no\\nmore')\n\nf()\n"
    write(tmp_path, failing=failing, importing="import failing\n", missing="import not_there_\n")
    messages = {
        "failing": r"failing\.py, line 2: ValueError: no more$",
        "importing": r"failing\.py, line 2: ValueError: no more$",
        "missing": r"missing\.py, line 1: ModuleNotFoundError: No module named 'not_there_'$",
    }
    for name, message in messages.items():
        with pytest.raises(UserError, match=message) as caught:
            load_task(str(tmp_path / f"{name}.py"))
        assert caught.value.__cause__ is not None  # with its traceback in Python


def test_shipped_classes_and_those_without_a_file_have_no_source() -> None:
    assert source_of(type(load_task("hopper"))) is None
    assert source_of(type("Made", (), {"__module__": "nowhere"})) is None
