"""Reasons why a parameter has no effect, as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import mujoco
import numpy as np

from sim2real.evaluation.audit.checks import array, differing
from sim2real.evaluation.audit.parts import Part, ends_of
from sim2real.evaluation.audit.states import Forces
from sim2real.task import IntArray

_FRICTION = {0: ("sliding", 0, 3), 1: ("torsional", 2, 4), 2: ("rolling", 3, 6)}
"""Column of geom_friction -> its name, its place in a contact's friction, the condim it needs."""
_FRICTION_OF_PAIR = (0, 0, 1, 2, 2)
"""Column of pair_friction -> that of geom_friction."""
_STILL = "in none of the states and motions probed does it change anything"


@dataclass(frozen=True)
class Case:
    """A parameter at one end of its range: the models without and with it, and its probes.

    Without a `part` it is a difference of another model.
    """

    part: Part | None
    nominal: mujoco.MjModel
    model: mujoco.MjModel
    before: Forces
    after: Forces

    @property
    def changed(self) -> list[str]:
        """The model's arrays that it changes."""
        if not same_shapes(self.nominal, self.model):
            return []
        return differing(self.nominal, self.model)


def same_shapes(one: mujoco.MjModel, other: mujoco.MjModel) -> bool:
    """Whether two models have the same elements."""
    sizes = ("nbody", "ngeom", "njnt", "nv", "nq", "nu", "ntendon")
    return all(getattr(one, size) == getattr(other, size) for size in sizes)


def why_nothing(case: Case) -> str:
    """The reason, as far as it can be found, for which a parameter has no effect."""
    part, changed = case.part, case.changed
    if part is not None and _is_identity(part):
        return f"{part.operation} {ends_of(part.distribution)[0]:g} leaves everything as it is"
    if part is not None and part.section == "dynamics" and not changed:
        return "the values are the nominal ones"
    if "geom_friction" in changed:
        return _why_friction_unused(case)
    if part is not None and part.section != "dynamics":
        return _of_signals(part)
    for names, explain in _EXPLAINED.items():
        if any(array_name.startswith(names) for array_name in changed):
            reason = explain(case)
            if reason:
                return reason
    return _STILL


def _is_identity(part: Part) -> bool:
    low, high = ends_of(part.distribution)
    return low == high == part.identity


def _described(part: Part) -> str:
    return part.distribution.describe()


def _of_signals(part: Part) -> str:
    what = {
        "actuation": "the forces of the actuators stay as they are",
        "sensing": "the observation stays as it is",
    }.get(part.section, "no motion changes")
    limits = {
        "saturation": "; nothing reaches the limit",
        "rate_limit": "; nothing changes as fast as the limit",
        "dead_zone": "; no command is as small",
    }.get(part.operation, "")
    return f"with {part.operation} {_described(part)} {what} for an episode{limits}"


def why_softer(case: Case) -> str:
    """The reason for which a constraint is softer than asked for; empty if it is not."""
    least = 2 * float(case.model.opt.timestep)
    safe = not case.model.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_REFSAFE)
    if not same_shapes(case.nominal, case.model):
        return ""
    for name in ("pair_solref", "eq_solref", "jnt_solref"):
        asked = array(case.model, name)[:, 0]
        changed = asked != array(case.nominal, name)[:, 0]
        short = asked[changed & (asked > 0) & (asked < least)]
        if safe and len(short):
            return (
                f"a timeconst of {short.min():g} s acts as {least:g} s, as MuJoCo takes no less "
                "than two time steps"
            )
    return ""


# -- friction ----------------------------------------------------------------------------------


def why_friction_hidden(case: Case, others: frozenset[int]) -> str:
    """The reason for which every contact that could use the friction asked for uses another.

    Empty if one does, or if none could. `others` are geoms whose friction the domain changes too:
    a friction below theirs is intended.
    """
    hidden = [
        reason
        for column in _changed_columns(case)
        for could, reason in _unused(case, others, column)
        if could
    ]
    return "" if "" in hidden else _most(hidden)


def _why_friction_unused(case: Case) -> str:
    """The reason for which no contact uses the friction, also where there is no contact."""
    found = [one for column in _changed_columns(case) for one in _unused(case, frozenset(), column)]
    could = [reason for possible, reason in found if possible]
    rows = np.flatnonzero((case.model.geom_friction != case.nominal.geom_friction).any(axis=1))
    untouched = _why_untouched(case.model, frozenset(rows.tolist()))
    return _most(could) or _most([reason for _, reason in found]) or untouched


def _most(reasons: list[str]) -> str:
    """The reason given most often; nothing if there is none."""
    return max(sorted(set(reasons)), key=reasons.count) if reasons else ""


def _changed_columns(case: Case) -> list[int]:
    if not same_shapes(case.nominal, case.model):
        return []
    changed = case.model.geom_friction != case.nominal.geom_friction
    return np.flatnonzero(changed.any(axis=0)).tolist()


def _unused(case: Case, others: frozenset[int], column: int) -> Iterator[tuple[bool, str]]:
    """For each contact of the geoms: whether it could use the friction, and why it does not ("" if
    it does)."""
    name, place, needed = _FRICTION[column]
    model, contacts = case.model, case.after.contacts
    changed = model.geom_friction[:, column] != case.nominal.geom_friction[:, column]
    geoms = frozenset(np.flatnonzero(changed).tolist())
    for row in np.flatnonzero(changed[contacts.geoms].any(axis=1)).tolist():
        if contacts.dim[row] < needed:
            yield False, _too_simple(name, int(contacts.dim[row]), needed)
        else:
            pair, used = contacts.geoms[row], float(contacts.friction[row, place])
            yield True, _compare(model, pair, used, geoms, others, column)


def why_other_friction(
    model: mujoco.MjModel, pair: IntArray, used: float, geoms: frozenset[int]
) -> str:
    """Why the contact of `pair` has the sliding friction `used` and not that of one of `geoms`.

    Empty if it has the friction of one of them.
    """
    return _compare(model, pair, used, geoms, frozenset(), 0)


def _compare(
    model: mujoco.MjModel,
    pair: IntArray,
    used: float,
    geoms: frozenset[int],
    others: frozenset[int],
    column: int,
) -> str:
    """Why the contact of `pair` uses another friction than asked; nothing if it does not."""
    friction = model.geom_friction[:, column]
    asked = [int(geom) for geom in pair if int(geom) in geoms]
    partner = [int(geom) for geom in pair if int(geom) not in geoms]
    if any(np.isclose(used, friction[geom], rtol=1e-6, atol=2e-5) for geom in asked):
        return ""
    explicit = _has_pair(model, pair)
    if partner and partner[0] in others and not explicit:
        return ""
    if explicit or not partner:
        names = " and ".join(_geom(model, int(geom)) for geom in pair)
        return f"the contact pair of {names} has its own friction, {_number(used)}"
    own, its = friction[asked[0]], friction[partner[0]]
    mine, other = _geom(model, asked[0]), _geom(model, partner[0])
    asking = f"{mine} is asked to have {_number(own)}, but {other}'s friction {_number(its)}"
    if model.geom_priority[partner[0]] > model.geom_priority[asked[0]]:
        return f"{asking} has priority"
    return f"{asking} is larger, and MuJoCo takes the maximum"


def _number(value: float) -> str:
    return str(round(float(value), 6))


def _has_pair(model: mujoco.MjModel, pair: IntArray) -> bool:
    both = sorted(int(geom) for geom in pair)
    pairs = zip(model.pair_geom1.tolist(), model.pair_geom2.tolist(), strict=True)
    return both in [sorted(one) for one in pairs]


def _too_simple(name: str, dim: int, needed: int) -> str:
    if dim == 1:
        return "its contacts are without friction (condim 1)"
    return f"its contacts have condim {dim}, and {name} friction needs {needed}"


def _why_untouched(model: mujoco.MjModel, geoms: frozenset[int]) -> str:
    names = ", ".join(_geom(model, geom) for geom in sorted(geoms))
    rows = sorted(geoms)
    if not (model.geom_contype[rows].any() or model.geom_conaffinity[rows].any()):
        return f"{names} collides with nothing (contype and conaffinity are 0)"
    return f"{names} touched nothing in any state probed"


def _geom(model: mujoco.MjModel, geom: int) -> str:
    return model.geom(geom).name or f"geom {geom}"


# -- the rest of the model ---------------------------------------------------------------------


def _no_contact(case: Case) -> str:
    rows = _rows(case, "geom_")
    if not np.isin(case.after.contacts.geoms, rows).any():
        return _why_untouched(case.model, frozenset(rows.tolist()))
    same = _same_impedance(case, "geom_solimp", rows)
    return same or "in its contacts the value of another geom or of a pair counts"


def _pair(case: Case) -> str:
    rows, model, contacts = _rows(case, "pair_"), case.model, case.after.contacts
    pairs = np.stack([model.pair_geom1[rows], model.pair_geom2[rows]], axis=1)
    touching = np.isin(_signature(contacts.geoms), _signature(pairs))
    if not touching.any():
        first, second = (_geom(model, int(geom)) for geom in pairs[0])
        return f"{first} and {second} touched each other in no state probed"
    if "pair_friction" in case.changed:
        changed = (model.pair_friction != case.nominal.pair_friction).any(axis=0)
        name, _, needed = _FRICTION[_FRICTION_OF_PAIR[int(np.argmax(changed))]]
        largest = int(contacts.dim[touching].max())
        return _too_simple(name, largest, needed) if largest < needed else ""
    return _same_impedance(case, "pair_solimp", rows)


def _signature(pairs: IntArray) -> IntArray:
    """One number for each pair of geoms, (m, 2), in either order."""
    low, high = np.sort(pairs, axis=1).T
    signature: IntArray = low.astype(np.int64) * 2**32 + high
    return signature


def _same_impedance(case: Case, name: str, rows: IntArray) -> str:
    """Why the width, midpoint and power of an impedance do nothing; empty if they may."""
    if name not in case.changed:
        return ""
    solimp = getattr(case.model, name)[rows]
    if (solimp[:, 0] == solimp[:, 1]).all():
        return "dmin equals dmax, so that the impedance is the same at every depth"
    return ""


def _spring(case: Case) -> str:
    rows = _rows(case, "qpos_spring")
    joints = np.searchsorted(case.model.jnt_qposadr, rows, side="right") - 1
    return "" if case.model.jnt_stiffness[joints].any() else "the joint has no stiffness"


def _tendon_spring(case: Case) -> str:
    rows = _rows(case, "tendon_lengthspring")
    return "" if case.model.tendon_stiffness[rows].any() else "the tendon has no stiffness"


def _limit(case: Case) -> str:
    rows = _rows(case, "jnt_range")
    if len(rows) and not case.model.jnt_limited[rows].all():
        return "the joint has no limits"
    return "the limit of the joint is never reached"


def _solver(case: Case) -> str:
    most = min(int(model.opt.iterations) for model in (case.model, case.nominal))
    if case.before.iterations < most and "opt.iterations" in case.changed:
        return f"the solver needs at most {case.before.iterations} iterations in the states probed"
    return ""


def _wind(case: Case) -> str:
    others = case.part.domain.dynamics if case.part is not None else ()
    medium = {"opt.density", "opt.viscosity"} & {one.field for one in others}
    if not medium and case.model.opt.density == 0 and case.model.opt.viscosity == 0:
        return "density and viscosity of the medium are 0, so that wind exerts no force"
    return ""


def _body(case: Case) -> str:
    rows = _rows(case, "body_")
    if len(rows) and not case.model.body_weldid[rows].any():
        return "the body is fixed to the world"
    return "no joint of the body feels it"


def _force_range(case: Case) -> str:
    rows = _rows(case, "actuator_forcerange")
    if len(rows) and not case.model.actuator_forcelimited[rows].all():
        return "the force of the actuator has no limits"
    largest = np.max(np.abs(case.after.force[:, rows]), initial=0.0)
    return f"the limit is never reached: the largest force is {largest:g}"


def _rows(case: Case, prefix: str) -> IntArray:
    """The elements whose entries changed in the first changed array of that prefix."""
    for name in case.changed:
        if name.startswith(prefix):
            one, other = array(case.nominal, name), array(case.model, name)
            changed = (one != other).reshape(len(one), -1).any(axis=1)
            return np.flatnonzero(changed)
    return np.zeros(0, dtype=int)


_EXPLAINED: dict[tuple[str, ...], Callable[[Case], str]] = {
    ("geom_sol", "geom_margin", "geom_gap"): _no_contact,
    ("pair_",): _pair,
    ("eq_",): lambda case: _same_impedance(case, "eq_solimp", _rows(case, "eq_")),
    ("qpos_spring",): _spring,
    ("tendon_lengthspring",): _tendon_spring,
    ("jnt_range", "jnt_sol"): _limit,
    ("opt.iterations", "opt.tolerance"): _solver,
    ("opt.wind",): _wind,
    ("opt.gravity",): lambda _: "no joint lets anything move in that direction",
    ("actuator_forcerange",): _force_range,
    ("body_",): _body,
    ("dof_", "jnt_"): lambda _: "the joint does not move, or nothing depends on it",
}
"""How the names of the changed arrays begin -> why nothing follows, the first that applies."""
