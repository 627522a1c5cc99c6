"""The contract between a task and its worlds: n worlds as arrays, and their random numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a robot's computer has none
    import mujoco

Array = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.integer[Any]]


class Element(Protocol):
    """A named view of one joint, body, ... in all worlds: `world.joint("hinge").qpos` is (n, 1).

    The fields are those of MuJoCo's named views: `qpos`, `qvel` of a joint; `xpos`, `xmat` of a
    body, geom or site; `ctrl`, `force` of an actuator; `data` of a sensor; `length` of a tendon.
    """

    id: int
    name: str

    def __getattr__(self, field: str) -> Array:
        """The values of a field of the element, (n, k)."""

    def __setattr__(self, field: str, value: Any) -> None:
        """Write a state field of the element in every world."""


class World(Protocol):
    """n worlds of one model, as a task sees them.

    The fields are live arrays of MuJoCo's MjData, with the worlds first. State fields may be
    written; all other fields are read-only. Quaternions are (w, x, y, z), matrices row by row.
    Raises UserError for a field that MuJoCo does not compute for the model, with what to add.
    """

    model: mujoco.MjModel
    """The nominal model. `expanded` gives fields that a domain changes."""
    num_envs: int
    previous: dict[str, NDArray[Any]]
    """Fields in `Task.remembers`, as they were before the control step."""
    memory: dict[str, Array]
    """Task memory, by name: (n, size) as in `Task.memory`."""
    last_action: Array
    """(n, nu): the action of the step before in `control` and `reward`, then that of this step;
    zeros at the start of an episode."""
    steps: IntArray
    """(n,): control steps of the episode so far."""
    step_s: Array
    """(n,): length of the last control step, s; a domain may vary it."""
    difficulty: float
    """In [0, 1]: how hard start states and commands are."""

    # -- state: may be written -----------------------------------------------------------------
    time: Array  # (n,), s
    qpos: Array  # (n, nq): positions; m, rad
    qvel: Array  # (n, nv): velocities; m/s, rad/s
    act: Array  # (n, na): activations of actuators
    ctrl: Array  # (n, nu): controls
    qfrc_applied: Array  # (n, nv): forces applied to degrees of freedom; N, N m
    xfrc_applied: Array  # (n, nbody, 6): force and torque applied to bodies; N, N m
    mocap_pos: Array  # (n, nmocap, 3), m
    mocap_quat: Array  # (n, nmocap, 4)
    eq_active: Array  # (n, neq): whether an equality constraint is on
    userdata: Array  # (n, nuserdata)

    # -- computed from the state: read-only ----------------------------------------------------
    xpos: Array  # (n, nbody, 3): origins of body frames, m
    xquat: Array  # (n, nbody, 4)
    xmat: Array  # (n, nbody, 9)
    xipos: Array  # (n, nbody, 3): centres of mass, m
    ximat: Array  # (n, nbody, 9): axes of inertia
    xiquat: Array  # (n, nbody, 4): axes of inertia
    xanchor: Array  # (n, njnt, 3): anchors of joints, m
    xaxis: Array  # (n, njnt, 3): axes of joints
    geom_xpos: Array  # (n, ngeom, 3), m
    geom_xmat: Array  # (n, ngeom, 9)
    geom_xquat: Array  # (n, ngeom, 4)
    site_xpos: Array  # (n, nsite, 3), m
    site_xmat: Array  # (n, nsite, 9)
    site_xquat: Array  # (n, nsite, 4)
    cam_xpos: Array  # (n, ncam, 3), m
    cam_xmat: Array  # (n, ncam, 9)
    light_xpos: Array  # (n, nlight, 3), m
    light_xdir: Array  # (n, nlight, 3)
    flexvert_xpos: Array  # (n, nflexvert, 3), m
    subtree_com: Array  # (n, nbody, 3): centres of mass of subtrees, m
    subtree_linvel: Array  # (n, nbody, 3): velocities of subtree_com, m/s
    subtree_angmom: Array  # (n, nbody, 3): angular momenta about subtree_com, kg m^2/s
    ten_length: Array  # (n, ntendon), m
    ten_velocity: Array  # (n, ntendon), m/s
    sensordata: Array  # (n, nsensordata)
    actuator_length: Array  # (n, nu)
    actuator_velocity: Array  # (n, nu)
    actuator_force: Array  # (n, nu); N, N m
    act_dot: Array  # (n, na)
    qacc: Array  # (n, nv); m/s^2, rad/s^2
    qacc_smooth: Array  # (n, nv): accelerations without constraints
    qfrc_actuator: Array  # (n, nv): forces of actuators; N, N m
    qfrc_passive: Array  # (n, nv): all passive forces, the next five among them
    qfrc_spring: Array  # (n, nv)
    qfrc_damper: Array  # (n, nv)
    qfrc_gravcomp: Array  # (n, nv)
    qfrc_fluid: Array  # (n, nv)
    qfrc_adhesion: Array  # (n, nv)
    qfrc_bias: Array  # (n, nv): gravity, Coriolis and centrifugal forces
    qfrc_smooth: Array  # (n, nv): all forces without constraints
    qfrc_constraint: Array  # (n, nv): forces of contacts, limits, friction, equalities
    cinert: Array  # (n, nbody, 10): inertias and masses about subtree_com of the root
    crb: Array  # (n, nbody, 10): composite inertias
    cvel: Array  # (n, nbody, 6): angular and linear velocity about subtree_com of the root
    cacc: Array  # (n, nbody, 6): angular and linear acceleration, likewise
    cfrc_int: Array  # (n, nbody, 6): torque and force on a body from its parent
    cfrc_ext: Array  # (n, nbody, 6): torque and force on a body from contacts
    energy: Array  # (n, 2): potential and kinetic, J
    ncon: IntArray  # (n,): contacts
    nefc: IntArray  # (n,): constraints

    def actuator(self, name: str) -> Element:
        """The actuator `name`. Raises UserError for an unknown name, as all of these do."""

    def body(self, name: str) -> Element:
        """The body `name`."""

    def geom(self, name: str) -> Element:
        """The geom `name`."""

    def joint(self, name: str) -> Element:
        """The joint `name`."""

    def sensor(self, name: str) -> Element:
        """The sensor `name`."""

    def site(self, name: str) -> Element:
        """The site `name`."""

    def tendon(self, name: str) -> Element:
        """The tendon `name`."""

    def expanded(self, field: str) -> NDArray[Any] | None:
        """A model field's read-only values in each world, (n, ...); None where all worlds share it.

        The next reset changes them.
        """


class Rng(Protocol):
    """Random numbers for several worlds at once: row k is drawn for world `ids[k]` alone.

    Like `np.random.Generator`, with `size` always given and its first entry `len(ids)`.
    """

    def uniform(self, low: Any, high: Any, size: tuple[int, ...]) -> Array:
        """Uniform in [low, high)."""

    def normal(self, loc: Any, scale: Any, size: tuple[int, ...]) -> Array:
        """Normal with mean `loc` and standard deviation `scale`."""

    def standard_normal(self, size: tuple[int, ...]) -> Array:
        """Normal with mean 0 and standard deviation 1."""

    def random(self, size: tuple[int, ...]) -> Array:
        """Uniform in [0, 1)."""

    def integers(self, low: Any, high: Any, size: tuple[int, ...]) -> NDArray[np.int64]:
        """Integers in [low, high)."""
