"""Every field as a parameter of every task, and models compiled with its value from the start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mujoco
import mujoco.batch
import numpy as np

from sim2real.domains import Domain
from sim2real.domains.model_fields.actuators import MOTOR_PLACES
from sim2real.domains.model_fields.inertia import (
    body_inertia,
    from_log_cholesky,
    log_cholesky,
    pseudo_inertia,
)
from sim2real.domains.model_fields.table import FIELDS
from sim2real.errors import UserError
from sim2real.registry import task_names
from sim2real.simulation import Simulation

SERVO = str(Path(__file__).parents[1] / "robots" / "servo.py")
TASKS = (*task_names(), SERVO)
ADDED = 0.05


def parameters(task: str) -> Iterator[tuple[dict[str, Any], Simulation]]:
    """Each field and component that applies to `task`, 20 % more or else more by `ADDED`; with a
    simulation of it."""
    for field in FIELDS.values():
        if field.name in ("opt.timestep", "link_length"):
            continue
        for component in dict.fromkeys(field.components) or (None,):
            for change in ({"scale": 1.2}, {"add": ADDED}):
                parameter = {"field": field.name, "component": component, **change}
                try:
                    domain = Domain(dynamics=with_mass(parameter))
                    yield parameter, Simulation(task, domain, num_envs=2, seed=1, threads=1)
                except UserError:
                    continue
                break


def with_mass(parameter: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameter; the place of a payload with a payload of 0.3 kg."""
    if parameter["field"] == "payload" and parameter["component"] != "mass":
        return [{"field": "payload", "add": 0.3}, parameter]
    return [parameter]


# -- models compiled with a value from the start ---------------------------------------------------


def compiled(parameter: dict[str, Any], spec: mujoco.MjSpec) -> mujoco.MjModel:
    """The model of `spec`, that of the task, with the parameter on every element it applies to.

    The MJCF is edited by the words of the XML reference, and what it says in degrees, by endpoints
    or by geoms is given in radians, by place and by inertia.
    """
    model = spec.compile()
    name, component = parameter["field"], parameter["component"]
    column = None if component is None else FIELDS[name].components[component]
    Reference(model, spec, parameter).edit(name, column)
    return spec.compile()


class Reference:
    """Edits the spec of a nominal model."""

    def __init__(
        self, model: mujoco.MjModel, spec: mujoco.MjSpec, parameter: dict[str, Any]
    ) -> None:
        self.model, self.spec = model, spec
        self.scale = parameter.get("scale")
        self.add = parameter.get("add")
        self.needs = FIELDS[parameter["field"]].needs

    def new(self, values: Any, column: int | None = None) -> Any:
        """`values`, or one column of them, changed."""
        changed = np.array(values, dtype=np.float64)
        part = changed if column is None else changed[..., column]
        part = part * self.scale if self.add is None else part + self.add
        if column is None:
            return part
        changed[..., column] = part
        return changed

    def edit(self, name: str, column: int | None) -> None:
        """Change the field `name`."""
        if name.startswith("opt."):
            option = name.removeprefix("opt.")
            present = getattr(self.spec.option, option)
            values = self.new(present, column)
            setattr(self.spec.option, option, values if values.ndim else type(present)(values))
        elif hasattr(self, name):
            getattr(self, name)(column)
        else:
            kind, _, attribute = name.partition("_")
            self.attribute(kind, _WORDS.get(name, attribute), name, column)

    def attribute(self, kind: str, attribute: str, name: str, column: int | None) -> None:
        """An attribute of every element, from its compiled value."""
        for element, index in self.elements(kind):
            values = self.new(getattr(self.model, name)[index], column)
            if kind == "jnt" and attribute in ("range", "ref", "springref"):
                values = self.authored_angle(index, values)
            if name in _LIMITED and not getattr(self.model, _LIMITED[name])[index]:
                continue
            present = np.asarray(getattr(element, attribute))
            if present.ndim and not np.ndim(values):
                values = [values, *present[1:]]
            setattr(element, attribute, values)

    def elements(self, kind: str) -> list[tuple[Any, int]]:
        """The spec's elements of a kind, with their ids."""
        words = {"body": "bodies", "dof": "joints", "jnt": "joints", "eq": "equalities"}
        many = words.get(kind, f"{kind}s")
        found = [(element, element.id) for element in getattr(self.spec, many)]
        return [pair for pair in found if kind != "body" or pair[1]]

    def authored_angle(self, joint: int, values: Any) -> Any:
        """Radians in the unit of the file."""
        hinge = self.model.jnt_type[joint] == int(mujoco.mjtJoint.mjJNT_HINGE)
        return np.rad2deg(values) if hinge and self.spec.compiler.degree else values

    # fields that are not one attribute

    def dof(self, name: str, attribute: str) -> None:
        for joint, index in self.elements("dof"):
            value = self.new(getattr(self.model, name)[self.model.jnt_dofadr[index]])
            present = np.asarray(getattr(joint, attribute))
            setattr(joint, attribute, [value, *present[1:]] if present.ndim else value)

    def dof_damping(self, column: None) -> None:
        self.dof("dof_damping", "damping")

    def dof_frictionloss(self, column: None) -> None:
        self.dof("dof_frictionloss", "frictionloss")

    def dof_armature(self, column: None) -> None:
        self.dof("dof_armature", "armature")

    def reference(self, name: str, attribute: str) -> None:
        for joint, index in self.elements("jnt"):
            if self.model.jnt_type[index] >= int(mujoco.mjtJoint.mjJNT_SLIDE):
                value = self.new(getattr(self.model, name)[self.model.jnt_qposadr[index]])
                setattr(joint, attribute, float(self.authored_angle(index, value)))

    def qpos0(self, column: None) -> None:
        self.reference("qpos0", "ref")

    def qpos_spring(self, column: None) -> None:
        self.reference("qpos_spring", "springref")

    def pair_friction(self, column: int) -> None:
        """Two numbers for sliding, one for turning on the spot, two for rolling."""
        for pair, index in self.elements("pair"):
            friction = self.model.pair_friction[index].copy()
            for place in ((0, 1), (2,), (3, 4))[column]:
                friction[place] = self.new(friction[place])
            pair.friction = friction

    def inertia(self, change: Callable[..., tuple[Any, ...]]) -> None:
        """Give every body its inertia: what `change` makes of mass, inertia, ipos and iquat."""
        self.spec.compiler.inertiafromgeom = mujoco.mjtInertiaFromGeom.mjINERTIAFROMGEOM_FALSE
        self.spec.compiler.settotalmass = -1
        model = self.model
        for body, i in self.elements("body"):
            parts = (model.body_mass[i], model.body_inertia[i], model.body_ipos[i])
            body.explicitinertial = True
            body.fullinertia = [np.nan] * 6
            body.ialt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            stays = self.needs is not None and self.needs(model, i)
            new = (lambda *same: same) if stays else change
            body.mass, body.inertia, body.ipos, body.iquat = new(*parts, model.body_iquat[i])

    def body_mass(self, column: None) -> None:
        self.inertia(lambda m, i, p, q: (self.new(m), i * self.new(m) / (m or 1.0), p, q))

    def body_gravcomp(self, column: None) -> None:
        for body, index in self.elements("body"):
            moves = self.model.body_weldid[index] > 0 and self.model.body_mocapid[index] < 0
            if moves and self.model.body_mass[index]:
                body.gravcomp = self.new(self.model.body_gravcomp[index])

    def body_inertia(self, column: None) -> None:
        self.inertia(lambda m, i, p, q: (m, self.new(i), p, q))

    def body_ipos(self, column: int) -> None:
        self.inertia(lambda m, i, p, q: (m, i, self.new(p, column), q))

    def body_pseudo_inertia(self, column: int) -> None:
        def change(*parts: Any) -> tuple[Any, ...]:
            return body_inertia(
                from_log_cholesky(self.new(log_cholesky(pseudo_inertia(*parts)), column))
            )

        self.inertia(change)

    def payload(self, column: int) -> None:
        """The parallel axes theorem, for two bodies."""

        def change(mass: Any, inertia: Any, ipos: Any, iquat: Any) -> tuple[Any, ...]:
            extra = ADDED if column == 0 else 0.3
            point = np.zeros(3)
            if column:
                point[column - 1] = ADDED
            total = mass + extra
            centre = (mass * ipos + extra * point) / total
            axes = np.zeros(9)
            mujoco.mju_quat2Mat(axes, iquat)
            axes = axes.reshape(3, 3)
            tensor = axes @ np.diag(inertia) @ axes.T
            for part, place in ((mass, ipos), (extra, point)):
                arm = place - centre
                tensor = tensor + part * (arm @ arm * np.eye(3) - np.outer(arm, arm))
            moments, vectors = np.linalg.eigh(tensor)
            vectors = vectors * np.linalg.det(vectors)
            quat = np.zeros(4)
            mujoco.mju_mat2Quat(quat, vectors.reshape(-1))
            return total, moments, centre, quat

        self.inertia(change)

    def actuator_gain(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            if self.model.actuator_gaintype[index] < 2:
                gain = self.model.actuator_gainprm[index, 0]
                ratio = self.new(gain) / gain
                actuator.gainprm[0] *= ratio
                actuator.biasprm[:3] *= ratio

    def actuator_gear(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            actuator.gear[0] = self.new(self.model.actuator_gear[index, 0])

    def time_constant(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            if self.model.actuator_dyntype[index] in (2, 3):
                actuator.dynprm[0] = self.new(self.model.actuator_dynprm[index, 0])

    def torque_limit(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            if self.model.actuator_forcelimited[index]:
                actuator.forcerange = self.new(self.model.actuator_forcerange[index])

    def kp(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            gain, bias = self.model.actuator_gainprm[index, 0], self.model.actuator_biasprm[index]
            if actuator.name == "turn_servo":
                actuator.biasprm[1] = -self.new(5.0)
            elif bias[1] and gain == -bias[1]:
                actuator.set_to_position(kp=self.new(gain), kv=-bias[2])

    def kv(self, column: None) -> None:
        for actuator, index in self.elements("actuator"):
            gain, bias = self.model.actuator_gainprm[index, 0], self.model.actuator_biasprm[index]
            if actuator.name == "turn_servo":
                actuator.biasprm[2] = -self.new(0.5)
            elif bias[1] and gain == -bias[1]:
                actuator.set_to_position(kp=gain, kv=self.new(-bias[2]))
            elif bias[2] and gain == -bias[2]:
                actuator.set_to_velocity(kv=self.new(gain))

    def dcmotor(self, column: int) -> None:
        values = {name: list(given) for name, given in _MOTOR.items()}
        word = list(FIELDS["dcmotor"].components)[column]
        if self.spec.actuator("elbow_motor") is None:
            self.plain_dcmotor(word)
            return
        for name, place in _MOTOR_WORDS[word]:
            values[name][place] = float(self.new(values[name][place]))
        resistance = values.pop("resistance")[0]
        self.spec.actuator("elbow_motor").set_to_dcmotor(
            resistance=resistance, ctrlspec=int(mujoco.mjtCtrlInput.mjINPUT_VOLTAGE), **values
        )

    def plain_dcmotor(self, word: str) -> None:
        """A motor of constant and resistance alone: by its place among the gains and biases."""
        array, column = MOTOR_PLACES[word]
        for actuator, index in self.elements("actuator"):
            present = getattr(self.model, f"actuator_{array}")[index, column]
            getattr(actuator, array)[column] = self.new(present)

    # geometry

    def placed(self) -> None:
        """Say where geoms and sites are by place, not by endpoints."""
        for geom, i in self.elements("geom"):
            geom.fromto = [np.nan] * 6
            geom.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            geom.pos, geom.quat = self.model.geom_pos[i], self.model.geom_quat[i]
            geom.size = self.model.geom_size[i]

    def shaped(self) -> list[tuple[Any, int]]:
        self.placed()
        return [(g, i) for g, i in self.elements("geom") if self.model.geom_type[i] in range(2, 7)]

    def geom_size(self, column: int) -> None:
        for geom, i in self.shaped():
            if self.model.geom_size[i, column]:
                geom.size = self.new(self.model.geom_size[i], column)

    def geom_pos(self, column: int) -> None:
        for geom, i in self.shaped():
            geom.pos = self.new(self.model.geom_pos[i], column)

    def body_pos(self, column: int) -> None:
        for body, i in self.elements("body"):
            body.pos = self.new(self.model.body_pos[i], column)

    def body_tilt(self, column: int) -> None:
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.eye(3)[column], ADDED)
        for body, i in self.elements("body"):
            body.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            mujoco.mju_mulQuat(body.quat, self.model.body_quat[i], turn)

    def jnt_pos(self, column: int) -> None:
        for joint, i in self.elements("jnt"):
            if self.model.jnt_type[i] in (1, 3):
                joint.pos = self.new(self.model.jnt_pos[i], column)

    def jnt_tilt(self, column: int) -> None:
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.eye(3)[column], ADDED)
        for joint, i in self.elements("jnt"):
            if self.model.jnt_type[i] >= 2:
                mujoco.mju_rotVecQuat(joint.axis, self.model.jnt_axis[i], turn)

    def site_tilt(self, column: int) -> None:
        turn = np.zeros(4)
        mujoco.mju_axisAngle2Quat(turn, np.eye(3)[column], ADDED)
        for site, i in self.elements("site"):
            site.fromto = [np.nan] * 6
            site.alt.type = mujoco.mjtOrientation.mjORIENTATION_QUAT
            mujoco.mju_mulQuat(site.quat, self.model.site_quat[i], turn)
            site.pos, site.size = self.model.site_pos[i], self.model.site_size[i]

    def site_pos(self, column: int) -> None:
        for site, i in self.elements("site"):
            site.pos = self.new(self.model.site_pos[i], column)


_LIMITED = {
    "jnt_range": "jnt_limited",
    "jnt_solref": "jnt_limited",
    "jnt_solimp": "jnt_limited",
    "tendon_range": "tendon_limited",
    "actuator_forcerange": "actuator_forcelimited",
    "eq_solref": "eq_active0",
    "eq_solimp": "eq_active0",
    "jnt_actfrcrange": "jnt_actfrclimited",
}
_WORDS = {
    "jnt_solref": "solref_limit",
    "jnt_solimp": "solimp_limit",
    "tendon_lengthspring": "springlength",
}
_MOTOR = {
    "motorconst": (0.5, 0.5),
    "resistance": (2.0,),
    "inductance": (0.01, 0.0),
    "cogging": (0.05, 6.0, 0.2),
    "lugre": (50.0, 0.5, 0.05, 0.08, 0.2),
    "thermal": (3.0, 20.0, 0.0, 0.0039, 25.0, 25.0),
    "saturation": (10.0, 0.0, 100.0),
}
"""The dcmotor of servo.xml, by the attributes of the XML reference."""
_MOTOR_WORDS = {
    "resistance": [("resistance", 0)],
    "constant": [("motorconst", 0), ("motorconst", 1)],
    "temperature_coefficient": [("thermal", 3)],
    "reference_temperature": [("thermal", 4)],
    "inductance": [("inductance", 0)],
    "current_rate": [("saturation", 2)],
    "thermal_resistance": [("thermal", 0)],
    "thermal_capacitance": [("thermal", 1)],
    "ambient_temperature": [("thermal", 5)],
    "bristle_stiffness": [("lugre", 0)],
    "bristle_damping": [("lugre", 1)],
    "cogging": [("cogging", 0)],
    "cogging_phase": [("cogging", 2)],
    "coulomb": [("lugre", 2)],
    "static": [("lugre", 3)],
    "stribeck": [("lugre", 4)],
}


def differences(model: mujoco.MjModel, other: mujoco.MjModel) -> dict[str, float]:
    """Arrays and options in which two models differ by more than 1e-9, relative to their size.

    Principal axes have an order and signs of their own, so the whole inertia is compared, and the
    boxes of a body along its principal axes only where both models have them in one tree.
    """
    pairs = [(pseudo(model), pseudo(other), "pseudo_inertia")]
    for name in NAMES:
        owner, _, attribute = name.rpartition(".")
        models = (model.opt, other.opt) if owner else (model, other)
        pairs.append((*(np.asarray(getattr(one, attribute)) for one in models), name))
    if same_trees(model, other):
        pairs.append((model.bvh_aabb, other.bvh_aabb, "bvh_aabb"))
    found = {}
    for ours, theirs, name in pairs:
        if ours.size and not np.array_equal(ours, theirs):
            apart = np.abs(ours.astype(float) - theirs) / np.maximum(1.0, np.abs(theirs))
            if apart.max() > 1e-9:
                found[name] = float(apart.max())
    return found


_OTHERWISE = ("body_inertia", "body_iquat", "body_sameframe", "geom_sameframe", "bvh_aabb")
_DRAWN = ("name_", "cam_", "light_", "mat_", "key_", "text_", "numeric_", "tuple_", "flex_")
NAMES = [
    name
    for name in sorted(mujoco.batch.MODEL_FIELDS)
    if name not in _OTHERWISE and not name.startswith(_DRAWN)
]
"""What the physics reads of a model."""


def pseudo(model: mujoco.MjModel) -> np.ndarray:
    """The pseudo-inertias of all bodies."""
    parts = (model.body_mass, model.body_inertia, model.body_ipos, model.body_iquat)
    return pseudo_inertia(*parts)


def same_trees(model: mujoco.MjModel, other: mujoco.MjModel) -> bool:
    """Whether bounding volumes can be compared one by one."""
    trees = ("bvh_child", "bvh_nodeid")
    return np.allclose(model.body_iquat, other.body_iquat, atol=1e-9) and all(
        np.array_equal(getattr(model, tree), getattr(other, tree)) for tree in trees
    )
