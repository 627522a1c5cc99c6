"""Bind the section `visual` of a domain: colours, lights, textures and cameras."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sim2real.domains.binding.builder import Bound, Builder
from sim2real.domains.entries.visual import Visual
from sim2real.domains.model_fields.visual import Tilts, check_textures
from sim2real.domains.writes import Write, merged
from sim2real.errors import UserError


def bind_visual(parameters: Sequence[Visual], builder: Builder) -> tuple[Tilts, ...]:
    """Add the writes of all `parameters` to the `builder`; return the turns of cameras.

    Raises UserError, with the domain and the parameter, for one that does not fit the model.
    """
    turns = []
    for one in map(builder.bound, parameters):
        if one.field.name == "cam_tilt":
            turns.append(one)
            continue
        if one.field.name == "texture":
            _check_textures(one, builder)
        builder.write_entries(one)
    return (_tilts(turns, builder),) if turns else ()


def _check_textures(one: Bound, builder: Builder) -> None:
    try:
        check_textures(builder.model, one.distribution)
    except UserError as error:
        raise builder.error(one.label, str(error)) from None


def _tilts(turns: Sequence[Bound], builder: Builder) -> Tilts:
    for one in turns:
        for place in one.places:
            builder.take(place, one.label)
    cameras = np.unique([place.flat // 3 for one in turns for place in one.places])
    writes = []
    for one in turns:
        for entry, source in one.entries:
            camera, axis = divmod(entry.places[0].flat, 3)
            column = np.array([np.searchsorted(cameras, camera) * 3 + axis], dtype=np.intp)
            drawn = np.array([source], dtype=np.intp)
            writes.append(Write("cam_tilt", column, drawn, np.zeros(1), one.operation))
    nominal = builder.model.cam_quat[cameras].copy()
    return Tilts(cameras, nominal, tuple(merged(writes)))
