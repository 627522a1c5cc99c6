"""The model of a user's own task: refused in one line for whatever MuJoCo cannot take."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from sim2real import untrusted_model
from sim2real.errors import UserError
from sim2real.registry import load_task
from sim2real.simulation import Simulation

ROBOTS = Path(__file__).parent / "robots"
MODEL = (ROBOTS / "slider.xml").read_text()


def own_task(folder: Path, model: str) -> str:
    """A copy of the slider with another model."""
    shutil.copyfile(ROBOTS / "slider.py", folder / "slider.py")
    (folder / "slider.xml").write_text(model)
    return str(folder / "slider.py")


def changed(before: str, after: str) -> str:
    assert before in MODEL
    return MODEL.replace(before, after, 1)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("<worldbody>", '<worldbody><geom size="-1"/>', "size 0 must be positive"),
        ("<worldbody>", '<worldbody><geom size="1" pos="nan 0 0"/>', "geom_pos is not a number"),
        ("<worldbody>", '<worldbody><geom size="1" friction="-1 0 0"/>', "geom_friction is below"),
        *(
            ("<worldbody>", f"<size {name}='1000000000'/><worldbody>", f"{name} is over 1,000,000")
            for name in ("nkey", "nuserdata", "nstack", "njmax", "nconmax", "nuser_sensor")
        ),
        ("<worldbody>", '<size memory="9G"/><worldbody>', "memory is over 4G"),
        ("</mujoco>", "", "is not valid"),
        (
            "<worldbody>",
            '<worldbody><replicate count="1000000000"><geom size="1"/></replicate>',
            "count is over 1,000,000",
        ),
        (
            "<worldbody>",
            '<worldbody><replicate count="1000"><replicate count="1000"><geom size="1"/>'
            "</replicate></replicate>",
            "with its replicas it has 2,001,0.. elements, over 100,000",
        ),
        (
            "<worldbody>",
            '<worldbody><body><flexcomp name="f" type="grid" count="100 100 100"/></body>',
            "with its replicas it has 1,000,0.. elements, over 100,000",
        ),
        (
            "<worldbody>",
            '<asset><hfield name="h" nrow="100000" ncol="100000" size="1 1 1 1"/></asset>'
            '<worldbody><geom type="hfield" hfield="h"/>',
            "compiler does not survive it",
        ),
    ],
)
def test_a_model_that_cannot_be_used(before: str, after: str, message: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        Simulation(load_task(own_task(tmp_path, changed(before, after))), threads=1)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ('<mujocoinclude><size nuserdata="1000000000"/></mujocoinclude>', "nuserdata is over"),
        (
            '<mujocoinclude><replicate count="1000"><site/></replicate></mujocoinclude>',
            "it has 2,003,0.. elements",
        ),
    ],
)
def test_included_files_count_too(part: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "part.xml").write_text(part)
    place = '<worldbody><replicate count="1000"><include file="part.xml"/></replicate>'
    if "size" in part:
        place = '<include file="part.xml"/><worldbody>'
    with pytest.raises(UserError, match=message):
        load_task(own_task(tmp_path, changed("<worldbody>", place))).compile()


def test_a_model_with_many_replicas_within_the_limit(tmp_path: Path) -> None:
    lots = '<worldbody><replicate count="100"><replicate count="10"><site/></replicate></replicate>'
    task = load_task(own_task(tmp_path, changed("<worldbody>", lots)))
    assert task.compile().nsite >= 1000


@pytest.mark.parametrize(("timestep", "message"), [("1e-8", "2,000,000 physics steps"), ("0", "0")])
def test_a_time_step_that_takes_for_ever(timestep: str, message: str, tmp_path: Path) -> None:
    model = changed("<worldbody>", f'<option timestep="{timestep}"/><worldbody>')
    with pytest.raises(UserError, match=message):
        Simulation(load_task(own_task(tmp_path, model)), threads=1)


def test_only_what_can_grow_is_compiled_in_a_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted_model, "CHILD", [sys.executable, "-c", "raise SystemExit(3)"])
    Simulation(load_task(own_task(tmp_path, MODEL)), threads=1).close()
    for element in (
        '<worldbody><replicate count="2"><geom size="1"/></replicate></worldbody>',
        '<size nuser_body="12345"/>',
        f"<!-- {'x' * untrusted_model.PLAIN} -->",
    ):
        task = load_task(own_task(tmp_path, changed("<worldbody>", f"{element}<worldbody>")))
        with pytest.raises(UserError, match="exit code 3"):
            Simulation(task, threads=1)


def test_a_file_without_content_is_refused() -> None:
    with pytest.raises(UserError, match="/mem cannot be read: Input/output error"):
        untrusted_model.check_model(Path("/proc/self/mem"))
