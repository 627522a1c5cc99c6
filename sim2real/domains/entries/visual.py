"""Entries of a domain's section `visual`: parameters of the look of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sim2real.domains.entries.entry import Dynamics
from sim2real.domains.model_fields.table import ModelField
from sim2real.domains.model_fields.visual import VISUAL


class Visual(Dynamics):
    """One parameter of what cameras see: light, colours, textures, cameras.

    It is written as a parameter of `dynamics`, and has no effect on the physics.
    """

    fields: ClassVar[Mapping[str, ModelField]] = VISUAL
