"""One thread a process (pytest-xdist has the other core), no display, a home of our own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read by torch when it is first imported
os.environ["SIM2REAL_THREADS"] = "1"  # where a test asks for no number
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("MUJOCO_GL", "egl")  # tests may import mujoco before sim2real
os.environ.setdefault("COLUMNS", "160")  # rich and tyro wrap their tables to it
os.environ.setdefault("NO_COLOR", "1")

sys.path.insert(0, str(Path(__file__).parent))  # what several tests share

import pytest

pytest_plugins = ["training_fixtures"]


@pytest.fixture(scope="session", autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    """A test that is killed reads what it wrote; only where power fails does it need `fsync`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache and settings are neither read nor changed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))
        yield
