"""Where the constants of an actuator lie: `gainprm`, `biasprm` and `dynprm` by its type.

MuJoCo's `position`, `velocity`, `pid`, `dcmotor`, ... are one general actuator with other numbers
(XML reference, `actuator`); what each number means depends on its gain and bias types.
"""

from __future__ import annotations

import mujoco
import numpy as np

from sim2real.domains.model_fields.locations import Follower, Place, Quantity
from sim2real.errors import UserError

_GAIN = mujoco.mjtGain
_PLAIN = (int(_GAIN.mjGAIN_FIXED), int(_GAIN.mjGAIN_AFFINE))
_FILTERS = (int(mujoco.mjtDyn.mjDYN_FILTER), int(mujoco.mjtDyn.mjDYN_FILTEREXACT))
MOTOR_PLACES = {
    "resistance": ("gainprm", 0),  # Ohm
    "constant": ("gainprm", 1),  # N m/A
    "temperature_coefficient": ("gainprm", 2),  # 1/K
    "reference_temperature": ("gainprm", 3),  # °C
    "voltage_limit": ("gainprm", 7),  # V
    "inductance": ("dynprm", 0),  # H; stored as inductance / resistance
    "current_rate": ("dynprm", 1),  # A/s
    "thermal_resistance": ("dynprm", 2),  # K/W
    "thermal_capacitance": ("dynprm", 3),  # J/K
    "ambient_temperature": ("dynprm", 4),  # °C
    "bristle_stiffness": ("dynprm", 5),  # N m/rad
    "bristle_damping": ("dynprm", 6),  # N m s/rad
    "cogging": ("biasprm", 0),  # N m
    "cogging_phase": ("biasprm", 2),  # rad
    "coulomb": ("biasprm", 3),  # N m
    "static": ("biasprm", 4),  # N m
    "stribeck": ("biasprm", 5),  # rad/s
}
_SWITCHED_OFF_BY_0 = (
    "constant",
    "inductance",
    "current_rate",
    "thermal_resistance",
    "thermal_capacitance",
    "bristle_stiffness",
    "voltage_limit",
)
_NAMES = tuple(MOTOR_PLACES)
DC_MOTOR = {name: index for index, name in enumerate(_NAMES)}
"""Components of a DC motor."""
DC_MOTOR_BOUNDS = {
    name: (-np.inf if "temperature" in name or name.startswith("cogging") else 0.0, np.inf)
    for name in _NAMES
} | {name: (np.finfo(float).tiny, np.inf) for name in ("resistance", "stribeck")}
"""Smallest and largest values of the components."""


def gain(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """`gainprm[0]`, and the bias in proportion."""
    _not_dcmotor(model, row)
    place = _place(model, "gainprm", row, 0)
    return Quantity((place,), _followers(model, "biasprm", row, range(3)), (place,))


def strength(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """Everything that the force is proportional to: gain, bias and force limits.

    The torque K (V - K w) / R of a plain DC motor is so to 1 / R.
    """
    kind = _type(model, row)
    limits = tuple(Follower("actuator_forcerange", 2 * row + end) for end in (0, 1))
    if kind == int(_GAIN.mjGAIN_DCMOTOR) and _only_resists(model, row):
        resistance = _place(model, *_named(row, "resistance"))
        follower = Follower(resistance.array, resistance.flat, inverse=True)
        return Quantity((), (follower, *limits), (resistance,), composes=True)
    if kind in _PLAIN:
        columns = range(3)
    elif kind == int(_GAIN.mjGAIN_MUSCLE):
        columns = range(2, 4)  # peak force, and what scales it where that is unknown
    else:
        raise UserError(f"a {_gain_name(kind)} has no single gain; change its constants")
    followers = (
        *_followers(model, "gainprm", row, columns),
        *_followers(model, "biasprm", row, columns),
        *limits,
    )
    return Quantity((), followers, (_place(model, "gainprm", row, columns[0]),), composes=True)


def kp(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """The position gain: force = kp (target - length)."""
    gain_, bias = model.actuator_gainprm[row], model.actuator_biasprm[row]
    affine = model.actuator_biastype[row] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    if _type(model, row) == int(_GAIN.mjGAIN_DCMOTOR) and gain_[4]:
        return _entry(_place(model, "gainprm", row, 4))
    if _type(model, row) == int(_GAIN.mjGAIN_PID) and bias[1]:
        return _entry(_place(model, "biasprm", row, 1, -1.0))
    if affine and _type(model, row) == int(_GAIN.mjGAIN_FIXED) and gain_[0] == -bias[1] != 0:
        place = _place(model, "gainprm", row, 0)
        return Quantity((place, _place(model, "biasprm", row, 1, -1.0)), (), (place,))
    raise UserError("the actuator has no position gain; kp is that of a position actuator")


def kv(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """The velocity gain: force = kv (target or 0 - velocity)."""
    gain_, bias = model.actuator_gainprm[row], model.actuator_biasprm[row]
    affine = model.actuator_biastype[row] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    damping = _place(model, "biasprm", row, 2, -1.0)
    if _type(model, row) == int(_GAIN.mjGAIN_DCMOTOR) and (gain_[4] or gain_[6]):
        return _entry(_place(model, "gainprm", row, 6))
    if _type(model, row) == int(_GAIN.mjGAIN_PID):
        return _entry(damping)
    if affine and _type(model, row) == int(_GAIN.mjGAIN_FIXED):
        if gain_[0] == -bias[1] != 0:
            return _entry(damping)
        if gain_[0] == -bias[2] != 0:
            place = _place(model, "gainprm", row, 0)
            return Quantity((place, damping), (), (place,))
    raise UserError("the actuator has no velocity gain; kv is that of a position or velocity one")


def torque_limit(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """The force limits, symmetric about 0; a `set` gives them to an actuator without."""
    upper = Place("actuator_forcerange", 2 * row + 1)
    places = (upper, Place("actuator_forcerange", 2 * row, -1.0))
    return Quantity(places, (), (upper,), switches=(Place("actuator_forcelimited", row),))


def time_constant(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """The time constant of an actuator that follows its command by a first-order law."""
    if model.actuator_dyntype[row] not in _FILTERS:
        raise UserError("the actuator follows at once; time_constant is that of a filter")
    return _entry(_place(model, "dynprm", row, 0))


def dcmotor(model: mujoco.MjModel, row: int, column: int) -> Quantity:
    """One constant of a DC motor; what is 0 was not compiled into the motor.

    The motor holds its inductance as the time constant inductance / resistance, so that a change of
    the resistance moves that number too.
    """
    if _type(model, row) != int(_GAIN.mjGAIN_DCMOTOR):
        raise UserError("the actuator is no dcmotor")
    name = _NAMES[column]
    place = _place(model, *_named(row, name))
    if name in _SWITCHED_OFF_BY_0 and not getattr(model, place.array).flat[place.flat]:
        raise UserError(f"the motor was compiled without {name.replace('_', ' ')}")
    resistance = _place(model, *_named(row, "resistance"))
    time = _place(model, *_named(row, "inductance"))
    if name == "inductance":
        followers = (Follower(time.array, time.flat),)
        return Quantity((), followers, (time, resistance), composes=True)
    if name == "resistance" and model.actuator_dynprm[row, 0]:
        followers = (Follower(time.array, time.flat, inverse=True),)
        return Quantity((place,), followers, (place,), composes=True)
    return _entry(place)


def _only_resists(model: mujoco.MjModel, row: int) -> bool:
    """Whether a DC motor has nothing but its constant and resistance: the current is V / R."""
    rest = (model.actuator_gainprm[row, 2:], model.actuator_biasprm[row])
    return (
        not any(part.any() for part in (*rest, model.actuator_dynprm[row]))
        and not (model.actuator_forcelimited[row])
    )


def _named(row: int, name: str) -> tuple[str, int, int]:
    array, column = MOTOR_PLACES[name]
    return array, row, column


def _type(model: mujoco.MjModel, row: int) -> int:
    return int(model.actuator_gaintype[row])


def _gain_name(kind: int) -> str:
    return str(mujoco.mjtGain(int(kind)).name).removeprefix("mjGAIN_").lower()


def _not_dcmotor(model: mujoco.MjModel, row: int) -> None:
    if _type(model, row) not in _PLAIN:
        raise UserError(
            f"a {_gain_name(_type(model, row))} has no single gain; change its constants"
        )


def _place(model: mujoco.MjModel, array: str, row: int, column: int, sign: float = 1.0) -> Place:
    width = getattr(model, f"actuator_{array}").shape[1]
    return Place(f"actuator_{array}", row * width + column, sign)


def _followers(model: mujoco.MjModel, array: str, row: int, columns: range) -> tuple[Follower, ...]:
    values = getattr(model, f"actuator_{array}")
    return tuple(
        Follower(f"actuator_{array}", row * values.shape[1] + column)
        for column in columns
        if values[row, column]
    )


def _entry(place: Place) -> Quantity:
    return Quantity((place,), (), (place,))
