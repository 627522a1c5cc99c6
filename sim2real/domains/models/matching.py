"""The joints and actuators of another model, compared by name with those of the task's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mujoco

_JOINTS = (mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT)


def label(actuator: Any) -> str:
    """The name of an actuator of a spec, or that of the joint that it drives."""
    drives_joint = actuator.trntype in _JOINTS
    return str(actuator.name or (actuator.target if drives_joint else ""))


def names_in_file(spec: mujoco.MjSpec) -> tuple[list[str], list[str]]:
    """The names of joints and actuators as the file has them; of an unnamed actuator its joint."""
    return [joint.name for joint in spec.joints], [label(one) for one in spec.actuators]


def ranks(in_file: Sequence[str], renamed: Sequence[str], ours: Sequence[str]) -> dict[str, int]:
    """Name in the file -> place in the task's model, of the elements that it has."""
    pairs = zip(in_file, renamed, strict=True)
    return {theirs: ours.index(name) for theirs, name in pairs if name in ours}


def joint_names(model: mujoco.MjModel) -> list[str]:
    """The names of the joints; #i for one that has none."""
    return [model.joint(i).name or f"#{i}" for i in range(model.njnt)]


def actuator_names(model: mujoco.MjModel) -> list[str]:
    """The names of the actuators; of one that has none that of its joint, or #i."""
    return [model.actuator(i).name or _driven(model, i) for i in range(model.nu)]


def _driven(model: mujoco.MjModel, actuator: int) -> str:
    if mujoco.mjtTrn(int(model.actuator_trntype[actuator])) in _JOINTS:
        return model.joint(int(model.actuator_trnid[actuator, 0])).name or f"#{actuator}"
    return f"#{actuator}"


def _typed_joints(model: mujoco.MjModel) -> list[str]:
    kinds = [mujoco.mjtJoint(int(kind)).name[6:].lower() for kind in model.jnt_type]
    return [f"{name} ({kind})" for name, kind in zip(joint_names(model), kinds, strict=True)]


def _both(
    nominal: mujoco.MjModel, model: mujoco.MjModel
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Kind, and the names in the task's and in the other model."""
    yield "joint", _typed_joints(nominal), _typed_joints(model)
    yield "actuator", actuator_names(nominal), actuator_names(model)


def other_order(nominal: mujoco.MjModel, model: mujoco.MjModel) -> Iterator[str]:
    """Which elements of `model` are those of `nominal` in another order, as text."""
    for kind, own, other in _both(nominal, model):
        if own != other and sorted(own) == sorted(other):
            yield (
                f"its {kind}s stand in the order {', '.join(other)}; "
                f"they are used in the order of the task's: {', '.join(own)}"
            )


def misfits(nominal: mujoco.MjModel, model: mujoco.MjModel) -> list[str]:
    """The joints and actuators of `nominal` that `model` lacks, by name, as text."""
    problems = []
    for kind, own, other in _both(nominal, model):
        missing = [name for name in own if name not in other]
        more = [name for name in other if name not in own]
        if missing or more:
            problems.append(
                f"its {kind}s lack {', '.join(missing) or 'none'}, "
                f"and have besides {', '.join(more) or 'none'}"
            )
        elif own != other:
            problems.append(
                f"its {kind}s cannot be brought into the task's order by exchanging branches of "
                f"the tree: {', '.join(other)}"
            )
    if problems:
        return problems
    return [
        f"its {size} is {getattr(model, size)}, not {getattr(nominal, size)}"
        for size in ("nq", "nv", "nu", "na")
        if getattr(model, size) != getattr(nominal, size)
    ]


def other_commands(nominal: mujoco.MjModel, model: mujoco.MjModel) -> Iterator[str]:
    """Actuators whose controls mean something else in `model`, as text with advice."""
    laws: dict[tuple[str, str], list[str]] = {}
    for index, name in enumerate(actuator_names(nominal)):
        own, other = (one.actuator_ctrlrange[index].tolist() for one in (nominal, model))
        if own != other:
            yield f"actuator {name} has the control range {other}, not {own}"
        law, mine = law_of(model, index), law_of(nominal, index)
        if law != mine:
            laws.setdefault((law, mine), []).append(name)
    for (law, mine), names in laws.items():
        which = "actuators" if len(names) > 1 else "actuator"
        verb = "are" if len(names) > 1 else "is"
        yield f"{which} {', '.join(names)} {verb} {law}, in the task {mine}; {_advice(mine)}"


def law_of(model: mujoco.MjModel, index: int) -> str:
    """The kind of the actuator, as the MJCF calls it."""
    gain, bias = model.actuator_gaintype[index], model.actuator_biastype[index]
    state = mujoco.mjtDyn(int(model.actuator_dyntype[index])).name[6:].lower()
    slow = "" if state == "none" else f" with {state} dynamics"
    fixed = gain == int(mujoco.mjtGain.mjGAIN_FIXED)
    if fixed and bias == int(mujoco.mjtBias.mjBIAS_NONE):
        return f"a motor{slow}"
    if fixed and bias == int(mujoco.mjtBias.mjBIAS_AFFINE):
        kp, terms = model.actuator_gainprm[index, 0], model.actuator_biasprm[index]
        if kp == -terms[1] != 0:
            return f"a position servo{slow}"
        if kp == -terms[2] != 0 and not terms[1]:
            return f"a velocity servo{slow}"
    names = (mujoco.mjtGain(int(gain)).name[7:].lower(), mujoco.mjtBias(int(bias)).name[7:].lower())
    return f"a general actuator (gain {names[0]}, bias {names[1]}){slow}"


def _advice(mine: str) -> str:
    """How to make the controls mean the same."""
    if mine.startswith("a motor"):
        return "a control is a force there and not a target: give it <motor> with the same gear"
    if mine.startswith("a position servo"):
        return (
            "a control is a target there and not a force: give it <position> with the kp and kv "
            "of the real drive"
        )
    return "give it the actuators of the task's model"
