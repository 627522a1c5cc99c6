"""Parameters of the model: the `dynamics` section of a domain."""

from __future__ import annotations

from typing import Self

from pydantic import field_validator, model_validator

from sim2real.domains.distributions.distribution import Distribution, DistributionField
from sim2real.domains.entries.entry import Parameter
from sim2real.domains.model_fields.table import FIELDS
from sim2real.domains.writes import Operation
from sim2real.errors import unknown


class Dynamics(Parameter):
    """One parameter of the model: a field, of some elements, one operation on the nominal value.

    Without `of` every element counts that the field applies to; `shared` draws one number for all
    of them, otherwise each element has its own. `name` replaces the field in the context's names.
    A `course` lets the value come about within an episode.
    """

    field: str
    component: str | None = None
    scale: DistributionField | None = None
    add: DistributionField | None = None
    set: DistributionField | None = None
    shared: bool = False
    group: str | None = None

    @field_validator("field")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in FIELDS:
            raise unknown("field", value, FIELDS)
        return value

    @model_validator(mode="after")
    def _one_operation(self) -> Dynamics:
        given = [name for name in ("scale", "add", "set") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{self.field} needs exactly one of scale, add, set; "
                f"got {', '.join(given) or 'none'}"
            )
        return self

    @property
    def operation(self) -> tuple[Operation, Distribution]:
        """The operation and its distribution."""
        operations: tuple[Operation, ...] = ("scale", "add", "set")
        return next(
            (name, getattr(self, name)) for name in operations if getattr(self, name) is not None
        )

    @property
    def distribution(self) -> Distribution:
        """What is drawn."""
        return self.operation[1]

    def drawn_from(self, distribution: Distribution) -> Self:
        """The same parameter, drawn from another distribution."""
        return self.model_copy(update={self.operation[0]: distribution})

    @property
    def label(self) -> str:
        """The name in the context, without the element."""
        return self.name or ".".join(part for part in (self.field, self.component) if part)

    def describe(self) -> str:
        """The parameter in one phrase."""
        operation, distribution = self.operation
        sign = {"scale": "×", "add": "+", "set": "="}[operation]
        what = f"{self.component} {self.field}" if self.component else self.field
        return self.sentence(what, f"{sign} {distribution.describe()}", self.shared)
