"""A teacher that is told a place teaches a student that sees it."""

from pathlib import Path

import numpy as np
import pytest
import torch

import sim2real as s2r
from sim2real.deployment.export import export
from sim2real.errors import UserError
from sim2real.evaluation.rollout import evaluate
from sim2real.runs.load import load_run
from sim2real.task import ObservationTerm
from sim2real.transfer.distillation import own_columns

ROBOTS = Path(__file__).parent.parent / "robots"
TOLD, WATCHED = str(ROBOTS / "told.py"), str(ROBOTS / "watched.py")
OPTIONS = {
    "teacher_sees": "privileged",
    "rollout": 4,
    "updates": 2,
    "batch_size": 8,
    "shift": 1,
    "num_envs": 2,
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    path = tmp_path_factory.mktemp("told") / "run"
    options = {"num_envs": 4, "n_steps": 16, "batch_size": 32}
    return s2r.pretrain(TOLD, "nominal", steps=64, options=options, out=path, progress=False)


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
def test_the_student_needs_no_privileged_columns_and_is_exported(teacher, tmp_path):
    run = s2r.distill(
        teacher,
        "nominal",
        task=WATCHED,
        student=(8,),
        budget=16,
        options=OPTIONS,
        out=tmp_path / "student",
        progress=False,
    )
    loaded = load_run(run.path)
    assert [term.name for term in loaded.policy.acting_terms] == ["speed", "front", "past"]
    rows = evaluate(loaded.policy, WATCHED, "nominal", episodes=2)
    again = evaluate(run.policy, WATCHED, "nominal", episodes=2, num_envs=1)
    totals = [row.total for row in again]
    np.testing.assert_allclose([row.total for row in rows], totals, rtol=1e-6)
    measured = export(run, tmp_path / "out")["measured"]
    assert max(measured["difference"].values()) < 1e-6


def test_a_teacher_finds_its_terms_by_name():
    speed, place = ObservationTerm("speed", 1, "m/s"), ObservationTerm("place", 1, "m")
    eye = ObservationTerm("eye", 4, shape=(1, 2, 2))
    pick = own_columns([place, speed], [speed, eye, place])
    seen = torch.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(pick(seen), [[5.0, 0.0], [11.0, 6.0]])
    with pytest.raises(UserError, match="term of the teacher 'place'"):
        own_columns([place], [speed, eye])
    with pytest.raises(UserError, match=r"\(1,\) m for the teacher, \(1,\) rad"):
        own_columns([place], [ObservationTerm("place", 1, "rad")])


def test_another_task_is_refused_without_that_option(teacher, tmp_path):
    with pytest.raises(UserError, match="observation front is absent in the source"):
        s2r.distill(teacher, "nominal", task=WATCHED, budget=16, out=tmp_path / "student")
