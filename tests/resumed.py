"""A run that was interrupted and resumed, compared with one that was not."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from sim2real.runs.load import load_run
from sim2real.runs.run import Run
from sim2real.transfer.resume import resume


def assert_resumed_equals(whole: Run, parts: Path, kept: int) -> None:
    """A copy at `parts` with the first `kept` checkpoints alone is resumed to the run's tensors."""
    shutil.copytree(whole.path, parts)
    for step in whole.steps[kept:]:
        shutil.rmtree(parts / "checkpoints" / f"{step:09d}")
    assert load_run(parts).step < whole.step
    resumed = resume(parts, progress=False)
    assert resumed.step == whole.step
    for part in ("policy", "training"):
        one, other = getattr(whole.checkpoint, part), getattr(resumed.checkpoint, part)
        assert one.keys() == other.keys()
        assert [name for name in one if not torch.equal(one[name], other[name])] == []
