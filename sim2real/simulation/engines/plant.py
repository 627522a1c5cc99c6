"""A Drake plant that is built from a compiled MuJoCo model.

Bodies, masses, inertias, joints with their limits, damping, springs and reflected inertia, and
colliding geoms are Drake's. Forces of actuators and whatever else MuJoCo computes of a state are
given to each step as generalized forces.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from sim2real.domains.entries.engine import Drake
from sim2real.extras import needed
from sim2real.simulation.engines.mapping import (
    armature,
    colliding_pairs,
    disabled,
    sliding_friction,
)
from sim2real.task import Array, IntArray

_GEOM, _JOINT, _DISABLED = mujoco.mjtGeom, mujoco.mjtJoint, mujoco.mjtDisableBit
_GRAVITY = 9.81  # m/s^2, of the weight that a contact carries at the depth `Drake.penetration`
_PLANE_FRICTION = 1e6
"""Drake takes the harmonic mean of two coefficients: with this one, twice the other."""
_RIM = 8  # points of a cylinder's rim that touch a plane
_TIP = 0.02  # radius of a point that touches a plane, as a share of the shape's smallest size


def drake(module: str) -> Any:
    """A module of pydrake; UserError with the command that installs it."""
    return needed(f"pydrake.{module}", "the engine drake", "drake")


@dataclass(frozen=True)
class _Shape:
    """A shape at a place of a geom's frame."""

    shape: Any
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)


class Plant:
    """The physics of one MuJoCo model in Drake: the next state is a function of the present one.

    A step of the model, `timestep` s, is divided into `substeps` of Drake's.
    """

    def __init__(self, model: mujoco.MjModel, settings: Drake) -> None:
        self.substeps = math.ceil(model.opt.timestep / settings.time_step - 1e-9)
        self._model, self._settings = model, settings
        self._find_springs()
        self._math, self._tree = drake("math"), drake("multibody.tree")
        self._geometry = drake("geometry")
        builder = drake("systems.framework").DiagramBuilder()
        plants = drake("multibody.plant")
        self._plant, self._scene = plants.AddMultibodyPlantSceneGraph(
            builder, model.opt.timestep / self.substeps
        )
        self._plant.set_discrete_contact_approximation(plants.DiscreteContactApproximation.kLagged)
        self._plant.SetUseSampledOutputPorts(False)
        self._plant.set_adjacent_bodies_collision_filters(False)
        self._bodies: list[Any] = [self._plant.world_body()]
        self._joints: list[Any] = []
        for body in range(1, model.nbody):
            self._add_body(body)
        gravity = model.opt.gravity
        if disabled(model, _DISABLED.mjDSBL_GRAVITY):
            gravity = np.zeros(3)
        self._plant.mutable_gravity_field().set_gravity_vector(gravity)
        self._add_contacts(plants)
        self._plant.Finalize()
        self._allow_collisions()
        self._diagram = builder.Build()
        self._context = self._diagram.CreateDefaultContext()
        self._own = self._plant.GetMyMutableContextFromRoot(self._context)
        self._forces = self._plant.get_applied_generalized_force_input_port()
        self._next = self._diagram.AllocateDiscreteVariables()
        self._find_places()

    # -- one step ------------------------------------------------------------------------------

    def step(self, qpos: Array, qvel: Array, force: Array) -> tuple[Array, Array]:
        """The state after one step of the model, MuJoCo's (nq,) and (nv,), under a `force` (nv,).

        The force is held. Raises RuntimeError where Drake finds no solution.
        """
        state = self._to_drake(qpos, qvel)
        for _ in range(self.substeps):
            self._own.SetDiscreteState(state)
            self._forces.FixValue(self._own, self._turned(force, state))
            self._diagram.CalcForcedDiscreteVariableUpdate(self._context, self._next)
            state = self._next.get_vector(0).CopyToVector()
        return self._to_mujoco(state)

    def native_forces(self, qpos: Array, qvel: Array) -> Array:
        """The forces, (nv,), that Drake computes by itself besides gravity: linear springs and
        damping of hinges and slides."""
        force: Array = -self._stiff * (qpos[self._scalar_q] - self._relaxed)
        found = np.zeros(self._model.nv)
        found[self._scalar_v] = force - self._damping * qvel[self._scalar_v]
        return found

    def _turned(self, force: Array, state: Array) -> Array:
        """Generalized forces in Drake's order; torques on free bodies about the world's axes."""
        found = np.zeros(self._model.nv)
        found[self._v] = force
        for free in self._free:
            rotation = _matrix(state[free.quaternion])
            found[self._v[free.angular]] = rotation @ force[free.angular]
        return found

    def _to_drake(self, qpos: Array, qvel: Array) -> Array:
        """Drake's state. Its limits are nearly rigid, and would throw a joint that starts beyond
        its limit back with the velocity of one step; such a joint is moved onto its limit."""
        state = np.zeros(self._model.nq + self._model.nv)
        state[self._q] = np.clip(qpos, self._low, self._high) - self._offset
        state[self._model.nq + self._v] = qvel
        for free in self._free:
            quaternion = state[free.quaternion]
            norm = np.linalg.norm(quaternion)
            state[free.quaternion] = quaternion / norm if norm else (1.0, 0.0, 0.0, 0.0)
            rotation = _matrix(state[free.quaternion])
            angular = self._model.nq + self._v[free.angular]
            state[angular] = rotation @ qvel[free.angular]
        return state

    def _to_mujoco(self, state: Array) -> tuple[Array, Array]:
        qpos: Array = state[self._q] + self._offset
        qvel: Array = state[self._model.nq + self._v]
        for free in self._free:
            turned = qpos[free.place]
            qpos[free.place] = turned / np.linalg.norm(turned)
            qvel[free.angular] = _matrix(qpos[free.place]).T @ qvel[free.angular]
        return qpos, qvel

    def _find_springs(self) -> None:
        """The stiffness and the damping of hinges and slides, and where their springs relax."""
        model = self._model
        scalar = np.flatnonzero(model.jnt_type != _JOINT.mjJNT_FREE)
        self._scalar_q, self._scalar_v = model.jnt_qposadr[scalar], model.jnt_dofadr[scalar]
        self._relaxed = model.qpos_spring[self._scalar_q].copy()
        sprung = not disabled(model, _DISABLED.mjDSBL_SPRING)
        damped = not disabled(model, _DISABLED.mjDSBL_DAMPER)
        self._stiff = model.jnt_stiffness[scalar] * sprung
        self._damping = model.dof_damping[self._scalar_v] * damped

    def _find_places(self) -> None:
        """Where the numbers of MuJoCo's state stand in Drake's."""
        model = self._model
        self._q: IntArray = np.zeros(model.nq, dtype=np.intp)
        self._v: IntArray = np.zeros(model.nv, dtype=np.intp)
        self._offset = np.zeros(model.nq)
        self._low, self._high = np.full(model.nq, -np.inf), np.full(model.nq, np.inf)
        self._free: list[_FreeJoint] = []
        for index, joint in enumerate(self._joints):
            q, v = int(model.jnt_qposadr[index]), int(model.jnt_dofadr[index])
            first, velocity = joint.position_start(), joint.velocity_start()
            if model.jnt_type[index] == _JOINT.mjJNT_FREE:
                self._q[q : q + 7] = first + np.array([4, 5, 6, 0, 1, 2, 3])
                self._v[v : v + 6] = velocity + np.array([3, 4, 5, 0, 1, 2])
                turned = slice(q + 3, q + 7)
                self._free.append(_FreeJoint(slice(first, first + 4), turned, slice(v + 3, v + 6)))
            else:
                self._q[q], self._v[v] = first, velocity
                self._offset[q] = model.qpos0[q]
                if self._limited(index):
                    self._low[q], self._high[q] = model.jnt_range[index]

    # -- bodies and joints ---------------------------------------------------------------------

    def _add_body(self, body: int) -> None:
        """A body with its joints; between two joints stands a body without mass."""
        model, name = self._model, f"body {body}"
        parent = self._bodies[model.body_parentid[body]]
        place = self._pose(model.body_pos[body], model.body_quat[body])
        first = int(model.body_jntadr[body])
        joints = range(first, first + int(model.body_jntnum[body])) if first >= 0 else range(0)
        for joint in joints:
            link = (
                self._plant.AddRigidBody(name, self._inertia(body))
                if joint == joints[-1]
                else self._plant.AddRigidBody(f"{name} {joint}", self._no_inertia())
            )
            self._joints.append(self._add_joint(joint, parent, place, link))
            parent, place = link, self._math.RigidTransform()
        if not joints:
            parent_frame, parent = (
                parent.body_frame(),
                self._plant.AddRigidBody(name, self._inertia(body)),
            )
            self._plant.WeldFrames(parent_frame, parent.body_frame(), place)
        self._bodies.append(parent)

    def _add_joint(self, joint: int, parent: Any, place: Any, child: Any) -> Any:
        """A joint that carries `child`, whose frame lies at `place` of `parent` where it is 0."""
        model, tree, name = self._model, self._tree, f"joint {joint}"
        kind, dof = model.jnt_type[joint], int(model.jnt_dofadr[joint])
        if kind == _JOINT.mjJNT_FREE:
            free = tree.QuaternionFloatingJoint(name, parent.body_frame(), child.body_frame())
            return self._plant.AddJoint(free)
        anchor = self._math.RigidTransform(model.jnt_pos[joint])
        frames = (
            self._frame(f"{name} on parent", parent, place.multiply(anchor)),
            self._frame(f"{name} on child", child, anchor),
        )
        hinge = kind == _JOINT.mjJNT_HINGE
        make = tree.RevoluteJoint if hinge else tree.PrismaticJoint
        scalar = int(np.flatnonzero(self._scalar_v == dof)[0])
        damping, stiffness = float(self._damping[scalar]), float(self._stiff[scalar])
        added = self._plant.AddJoint(make(name, *frames, model.jnt_axis[joint], damping=damping))
        rest = float(model.qpos0[model.jnt_qposadr[joint]])
        if self._limited(joint):
            low, high = model.jnt_range[joint] - rest
            added.set_position_limits([low], [high])
        if stiffness:
            spring = tree.RevoluteSpring if hinge else tree.PrismaticSpring
            nominal = float(self._relaxed[scalar]) - rest
            self._plant.AddForceElement(spring(added, nominal, stiffness))
        reflected = float(armature(model)[dof])
        if reflected:
            actuator = self._plant.AddJointActuator(name, added)
            actuator.set_default_rotor_inertia(reflected)
            actuator.set_default_gear_ratio(1.0)
        return added

    def _limited(self, joint: int) -> bool:
        off = disabled(self._model, _DISABLED.mjDSBL_LIMIT)
        return bool(self._model.jnt_limited[joint]) and not off

    def _frame(self, name: str, body: Any, place: Any) -> Any:
        return self._plant.AddFrame(self._tree.FixedOffsetFrame(name, body.body_frame(), place))

    def _inertia(self, body: int) -> Any:
        model, tree = self._model, self._tree
        mass = float(model.body_mass[body])
        if mass == 0.0:
            return self._no_inertia()
        axes = _matrix(model.body_iquat[body])
        central = axes @ np.diag(model.body_inertia[body]) @ axes.T
        at = np.asarray(model.body_ipos[body], dtype=np.float64)
        about_origin = central / mass + at @ at * np.eye(3) - np.outer(at, at)
        xx, yy, zz = np.diag(about_origin)
        xy, xz, yz = about_origin[0, 1], about_origin[0, 2], about_origin[1, 2]
        unit = tree.UnitInertia(xx, yy, zz, xy, xz, yz)
        return tree.SpatialInertia(mass, at, unit, skip_validity_check=True)

    def _no_inertia(self) -> Any:
        return self._tree.SpatialInertia.Zero()

    def _pose(self, place: Any, quaternion: Any) -> Any:
        return self._math.RigidTransform(self._math.RotationMatrix(_matrix(quaternion)), place)

    # -- contacts ------------------------------------------------------------------------------

    def _add_contacts(self, plants: Any) -> None:
        """Register each geom that collides: once for planes, once for all other geoms.

        What touches a plane are points of the shape, as MuJoCo's own contacts of a plane, so that a
        box stands on its corners, each with the coefficient of friction of the pair.
        """
        model = self._model
        weight = _GRAVITY * float(model.body_mass[model.body_weldid > 0].sum())
        self._stiffness = 2 * weight / self._settings.penetration  # two in series: half of it
        self._friction = plants.CoulombFriction
        self._ids: dict[tuple[int, bool], list[Any]] = {}
        self._touching: list[tuple[tuple[int, bool], tuple[int, bool]]] = []
        planes = model.geom_type == _GEOM.mjGEOM_PLANE
        frictions: dict[tuple[int, bool], float] = {}
        for one, other in colliding_pairs(model):
            if planes[other]:
                one, other = other, one
            on_plane = bool(planes[one])
            friction = sliding_friction(model, one, other)
            keys = (one, on_plane), (other, on_plane)
            self._touching.append(keys)
            if on_plane:
                frictions[keys[0]] = _PLANE_FRICTION
                frictions[keys[1]] = max(frictions.get(keys[1], 0.0), friction / 2)
                continue
            for key in keys:
                frictions[key] = float(model.geom_friction[key[0], 0]) if friction else 0.0
        for key, friction in frictions.items():
            self._ids[key] = list(self._register(*key, friction))

    def _register(self, geom: int, on_plane: bool, friction: float) -> Iterator[Any]:
        model, geometry = self._model, self._geometry
        pose = self._pose(model.geom_pos[geom], model.geom_quat[geom])
        body = self._bodies[model.geom_bodyid[geom]]
        for place, part in enumerate(self._shapes(geom, on_plane)):
            properties = geometry.ProximityProperties()
            geometry.AddContactMaterial(
                self._settings.dissipation,
                self._stiffness,
                self._friction(friction, friction),
                properties,
            )
            at = pose.multiply(self._math.RigidTransform(np.array(part.place)))
            name = f"geom {geom} {'plane' if on_plane else 'body'} {place}"
            yield self._plant.RegisterCollisionGeometry(body, at, part.shape, name, properties)

    def _shapes(self, geom: int, on_plane: bool) -> list[_Shape]:
        """The shape of a geom, or what of it can touch a plane."""
        model, geometry = self._model, self._geometry
        kind, size = model.geom_type[geom], model.geom_size[geom]
        a, b, c = map(float, size)
        if kind == _GEOM.mjGEOM_PLANE:
            return [_Shape(geometry.HalfSpace())]
        if kind == _GEOM.mjGEOM_SPHERE:
            return [_Shape(geometry.Sphere(a))]
        if kind == _GEOM.mjGEOM_ELLIPSOID:
            return [_Shape(geometry.Ellipsoid(a, b, c))]
        if kind == _GEOM.mjGEOM_CAPSULE:
            ends = [_Shape(geometry.Sphere(a), (0.0, 0.0, z)) for z in (-b, b)]
            return ends if on_plane else [_Shape(geometry.Capsule(a, 2 * b))]
        if kind == _GEOM.mjGEOM_CYLINDER:
            tip = _TIP * min(a, b)
            angles = np.arange(_RIM) * 2 * math.pi / _RIM
            rim = [
                _Shape(
                    geometry.Sphere(tip),
                    ((a - tip) * math.cos(angle), (a - tip) * math.sin(angle), z),
                )
                for angle in angles.tolist()
                for z in (tip - b, b - tip)
            ]
            return rim if on_plane else [_Shape(geometry.Cylinder(a, 2 * b))]
        if kind == _GEOM.mjGEOM_BOX:
            tip = _TIP * min(a, b, c)
            corners = [
                _Shape(geometry.Sphere(tip), (x, y, z))
                for x in (tip - a, a - tip)
                for y in (tip - b, b - tip)
                for z in (tip - c, c - tip)
            ]
            return corners if on_plane else [_Shape(geometry.Box(2 * a, 2 * b, 2 * c))]
        return [_Shape(self._hull(int(model.geom_dataid[geom])))]

    def _hull(self, mesh: int) -> Any:
        """The convex hull of a mesh, with which MuJoCo collides, too."""
        first = int(self._model.mesh_vertadr[mesh])
        vertices = self._model.mesh_vert[first : first + int(self._model.mesh_vertnum[mesh])]
        return self._geometry.Convex(vertices.astype(np.float64).T, f"mesh {mesh}")

    def _allow_collisions(self) -> None:
        """Let only those geometries collide that do so in MuJoCo."""
        everything = [one for ids in self._ids.values() for one in ids]
        if not everything:
            return
        declared = self._geometry.CollisionFilterDeclaration()
        declared.ExcludeWithin(self._geometry.GeometrySet(everything))
        for pair in self._touching:
            declared.AllowBetween(*(self._geometry.GeometrySet(self._ids[key]) for key in pair))
        self._scene.collision_filter_manager().Apply(declared)


@dataclass(frozen=True)
class _FreeJoint:
    """The quaternion in Drake's state and in MuJoCo's, and MuJoCo's angular velocity."""

    quaternion: slice
    place: slice
    angular: slice


def _matrix(quaternion: Any) -> Array:
    """The rotation matrix of a quaternion (w, x, y, z)."""
    found = np.zeros(9)
    mujoco.mju_quat2Mat(found, np.asarray(quaternion, dtype=np.float64))
    return found.reshape(3, 3)
