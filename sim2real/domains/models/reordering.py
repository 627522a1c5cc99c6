"""Another model's joints and actuators, brought into the order of the task's model.

The order of joints follows from the order of bodies in the MJCF. So the MJCF is read, branches of
its trees and its actuators change places, and MuJoCo parses it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import mujoco
import numpy as np

from sim2real.errors import UserError
from sim2real.task import IntArray

Ranks = Mapping[str, int]
"""Name in the file -> place in the task's model. An unnamed free joint has the name "", an unnamed
actuator that of the joint that it drives."""
_UNRANKED = 10**9
_MOST_INCLUDES = 1000
_QPOS, _QVEL = np.array([7, 4, 1, 1]), np.array([6, 3, 1, 1])
"""Numbers of a free, ball, slide and hinge joint in qpos and in qvel."""


def reordered(file: Path, joints: Ranks, actuators: Ranks) -> mujoco.MjSpec:
    """The MJCF `file` with the branches of its trees and its actuators sorted by their ranks.

    Branches without a ranked joint keep their places. Raises UserError for an included file that
    cannot be read.
    """
    root = _parse(file)
    _include(root, file.parent, file.parent, [])
    world = _merged(root, "worldbody")
    if world is not None:
        _sort_branches(world, joints)
    drives = _merged(root, "actuator")
    if drives is not None:
        drives[:] = sorted(drives, key=lambda entry: _actuator_rank(entry, actuators))
    spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    spec.modelfiledir = str(file.parent)
    return spec


def move_keyframes(spec: mujoco.MjSpec, before: mujoco.MjModel, after: mujoco.MjModel) -> None:
    """Give the key frames of `spec`, which compiles to `after`, the states that they had `before`.

    The two models have the same elements in different orders.
    """
    joints = permutation(_names(before.joint, before.njnt), _names(after.joint, after.njnt))
    drives = permutation(_names(before.actuator, before.nu), _names(after.actuator, after.nu))
    kinds = before.jnt_type
    qpos = _columns(before.jnt_qposadr, _QPOS[kinds], joints)
    qvel = _columns(before.jnt_dofadr, _QVEL[kinds], joints)
    act = _columns(before.actuator_actadr, before.actuator_actnum, drives)
    for row, key in enumerate(spec.keys):
        key.qpos, key.qvel = before.key_qpos[row, qpos], before.key_qvel[row, qvel]
        key.act, key.ctrl = before.key_act[row, act], before.key_ctrl[row, drives]


def permutation(before: Sequence[str], after: Sequence[str]) -> IntArray:
    """Where each of `after` stands in `before`; of equal names the first is the first."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(before):
        places.setdefault(name, []).append(place)
    return np.array([places[name].pop(0) for name in after], dtype=np.intp)


def _names(element: Callable[[int], object], count: int) -> list[str]:
    return [str(getattr(element(index), "name", "")) for index in range(count)]


def _columns(starts: IntArray, sizes: IntArray, order: IntArray) -> IntArray:
    """The columns of the elements in the given order."""
    spans = [np.arange(starts[one], starts[one] + sizes[one]) for one in order.tolist()]
    return np.concatenate([np.zeros(0, dtype=np.intp), *spans]).astype(np.intp)


def _parse(file: Path) -> ET.Element:
    try:
        return ET.parse(file).getroot()
    except (OSError, ET.ParseError) as error:
        raise UserError(f"{file} cannot be reordered: {error}") from None


def _include(parent: ET.Element, main: Path, here: Path, seen: list[Path]) -> None:
    """Put the children of every included file in the place of its `include`.

    A file is sought beside the main file, as MuJoCo does, then beside the one that includes it.
    """
    for child in list(parent):
        if child.tag != "include":
            _include(child, main, here, seen)
            continue
        name = child.get("file", "")
        file = next((f for f in (main / name, here / name) if f.is_file()), main / name)
        seen.append(file)
        if len(seen) > _MOST_INCLUDES:
            raise UserError(f"{file} cannot be reordered: it includes over {_MOST_INCLUDES} files")
        root = _parse(file)
        _include(root, main, file.parent, seen)
        place = list(parent).index(child)
        parent[place : place + 1] = list(root)


def _merged(root: ET.Element, tag: str) -> ET.Element | None:
    """The section `tag`, with what further sections of that name hold; None if there is none."""
    sections = [child for child in root if child.tag == tag]
    for other in sections[1:]:
        sections[0].extend(list(other))
        root.remove(other)
    return sections[0] if sections else None


def _sort_branches(parent: ET.Element, joints: Ranks) -> int:
    """Sort the bodies of `parent` by their first joints, all the way down; return the lowest rank.

    Branches that hold no ranked joint, and all that is no body, stay where they are.
    """
    branches = [child for child in parent if child.tag in ("body", "frame")]
    ranks = {child: _sort_branches(child, joints) for child in branches}
    ranked = [child for child in branches if ranks[child] < _UNRANKED]
    places = [list(parent).index(child) for child in ranked]
    for place, child in zip(places, sorted(ranked, key=ranks.__getitem__), strict=True):
        parent[place] = child
    own = [_joint_rank(child, joints) for child in parent if child.tag in ("joint", "freejoint")]
    return min([*own, *ranks.values()], default=_UNRANKED)


def _joint_rank(joint: ET.Element, joints: Ranks) -> int:
    name = joint.get("name", "")
    free = joint.tag == "freejoint" or joint.get("type") == "free"
    return joints.get(name, _UNRANKED) if name or free else _UNRANKED


def _actuator_rank(entry: ET.Element, actuators: Ranks) -> int:
    driven = entry.get("joint") or entry.get("jointinparent") or ""
    return actuators.get(entry.get("name") or driven, _UNRANKED)
