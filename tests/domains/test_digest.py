from __future__ import annotations

from pathlib import Path

import mujoco
import pytest

from sim2real.domains.digest import model_digest

MODEL = """
<mujoco>
  <asset><mesh name="m" file="m.obj"/></asset>
  <worldbody>
    <body name="b"><joint name="j"/><geom type="mesh" mesh="m"/></body>
  </worldbody>
</mujoco>
"""
MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"


def digest(folder: Path, model: str = MODEL, mesh: str = MESH) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "robot.xml").write_text(model)
    (folder / "m.obj").write_text(mesh)
    return model_digest(mujoco.MjSpec.from_file(str(folder / "robot.xml")).compile())


def test_the_place_of_the_files_does_not_count(tmp_path: Path) -> None:
    assert digest(tmp_path / "a") == digest(tmp_path / "another" / "longer")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name="j"', 'name="k"'),
        ('name="j"', 'name="j" damping="0.1"'),
        ("<mujoco>", "<mujoco><option timestep='0.003'/>"),
        ("<mujoco>", "<mujoco><option gravity='0 0 -9'/>"),
        ("<mujoco>", "<mujoco><option integrator='RK4'/>"),
        ("<mujoco>", "<mujoco><option><flag contact='disable'/></option>"),
    ],
)
def test_everything_else_counts(old: str, new: str, tmp_path: Path) -> None:
    assert digest(tmp_path / "a") != digest(tmp_path / "b", MODEL.replace(old, new))
    assert digest(tmp_path / "a") != digest(tmp_path / "c", mesh=MESH.replace("v 1", "v 2"))
