"""The disturbances of a domain, bound to a model."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sim2real.domains.binding.builder import Builder
from sim2real.domains.binding.signals import Effects
from sim2real.domains.entries.disturbance import DisturbanceEntry, DisturbanceKind
from sim2real.domains.entries.stage import Effect, Load
from sim2real.domains.model_fields.rest_points import no_rest
from sim2real.task import IntArray


def bind_disturbances(
    entries: Iterable[DisturbanceEntry], builder: Builder
) -> tuple[tuple[object, ...], tuple[Effect, ...]]:
    """What acts by partners in `simulation/`, and the effects of loads.

    To be called after all that writes gravity. Raises UserError, naming domain and entry, for what
    does not fit the model.
    """
    size = max(6 * builder.model.nbody, builder.model.nv)
    loads = Effects(builder, np.zeros((size, 2)), no_rest(size))
    found: list[object] = []
    for entry in sorted(entries, key=_order):
        if issubclass(entry.kind, DisturbanceKind):
            found.append(entry.kind.bind(builder, entry))
            continue
        first, elements = len(builder.names), _elements(builder, entry)
        loads.check(entry, elements)
        loads.add(entry, elements)
        builder.change_entry(entry, first)
    effects = sorted(loads.found, key=lambda effect: effect.stage.name)
    return tuple(one for one in found if one is not None), tuple(effects)


def _order(entry: DisturbanceEntry) -> int:
    """Loads come last."""
    return entry.kind.order if issubclass(entry.kind, DisturbanceKind) else 10


def _elements(builder: Builder, entry: DisturbanceEntry) -> dict[str, IntArray]:
    """Element name -> its numbers in `qfrc_applied`, or in `xfrc_applied` (flat)."""
    assert issubclass(entry.kind, Load)
    if entry.kind.acts_on == "joint":
        rows = builder.rows(entry.label, "dof_damping", entry.of)
        return {name: np.array(found, dtype=np.intp) for name, found in rows.items()}
    (axis,) = entry.axes
    rows = builder.rows(entry.label, "body_mass", entry.of)
    return {name: 6 * np.array(found, dtype=np.intp) + axis for name, found in rows.items()}
