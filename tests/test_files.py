"""Files are whole or absent."""

import errno
import os
import re
from pathlib import Path

import pytest

from sim2real import files
from sim2real.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"a": 2})
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json(tmp_path / "a.json", float("nan"))
    assert list(tmp_path.iterdir()) == []


def test_a_new_folder_appears_whole(tmp_path):
    with files.new_folder(tmp_path / "run") as folder:
        (folder / "inner").mkdir()
        files.write_text(folder / "inner" / "a.txt", "ä")
        assert not (tmp_path / "run").exists()
    assert (tmp_path / "run" / "inner" / "a.txt").read_text() == "ä"
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


def test_a_failed_new_folder_leaves_nothing(tmp_path):
    def fail_half_way():
        with files.new_folder(tmp_path / "run") as folder:
            files.write_text(folder / "a.txt", "a")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="exists already"), files.new_folder(tmp_path):
        pass


@pytest.mark.parametrize(("read", "text"), [(files.read_json, '{"a": '), (files.read_yaml, "a: [")])
def test_broken_and_missing_files_are_reported_in_one_line(read, text, tmp_path):
    path = tmp_path / "broken"
    with pytest.raises(UserError, match="does not exist"):
        read(path)
    path.write_text(text)
    with pytest.raises(UserError, match="is not valid") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_sha256_is_that_of_the_bytes(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    # the digest of no bytes, FIPS 180-4 test vector
    assert files.sha256(path).startswith("e3b0c44298fc1c149afbf4c8996fb924")


def test_what_can_be_no_file_is_reported_in_one_line(tmp_path):
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (files.MOST_YAML + 1))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe")
    for path, message in (
        (large, "is larger than 131,072 bytes"),
        (binary, "is not UTF-8 text"),
        (tmp_path, "cannot be read: Is a directory"),
        (large / "inner", "does not exist"),
        (Path("a\0b"), "is no path of a file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
        (Path("/dev/zero"), "^/dev/zero is larger than 131,072 bytes"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            files.read_yaml(path)
        assert "\n" not in str(caught.value)


def test_the_nearest_name_of_a_missing_file_is_told(tmp_path):
    (tmp_path / "study.yaml").touch()
    near = re.escape(f"stdy.yaml does not exist; did you mean '{tmp_path}/study.yaml'?")
    with pytest.raises(UserError, match=f"{near}$"):
        files.read_yaml(tmp_path / "stdy.yaml")
    with pytest.raises(UserError, match=r"robot\.xml does not exist$"):
        files.read_yaml(tmp_path / "robot.xml")


@pytest.mark.parametrize("text", ["~nobody_of_that_name/x", "a\0b", "x" * 300, "x" * 5000])
def test_a_path_that_can_be_none(text):
    with pytest.raises(UserError, match="is no path of a file") as caught:
        files.user_path(text)
    assert len(str(caught.value)) < 200


def test_a_path_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.user_path("~/a") == tmp_path / "a"
    assert files.user_path("a/b") == Path("a/b")
    with pytest.raises(UserError, match="is an address; allowed: a path of this machine"):
        files.user_path("https://example.org/run")
    with pytest.raises(UserError, match="is in more than 256 folders"):
        files.user_path("a/" * 2000)


def test_an_unused_name_is_that_of_all_files(tmp_path):
    assert files.unused(tmp_path, "a.json", "b.png") == (tmp_path / "a.json", tmp_path / "b.png")
    (tmp_path / "b.png").touch()
    expected = (tmp_path / "a-2.json", tmp_path / "b-2.png")
    assert files.unused(tmp_path, "a.json", "b.png") == expected


def test_whether_a_folder_can_be_written(tmp_path):
    assert files.unwritable(tmp_path) is None
    assert files.unwritable(tmp_path / "new" / "deeper") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (Path("/proc/new"), tmp_path / "file" / "new"):
        assert files.unwritable(place)
        with pytest.raises(UserError, match="cannot be written: "):
            files.require_writable(place)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe is a named pipe; allowed: a file or a folder"):
        files.user_path(tmp_path / "pipe")
