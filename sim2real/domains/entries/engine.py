"""The engine that moves the worlds of a domain, in place of MuJoCo."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializerFunctionWrapHandler, model_serializer

from sim2real.config import Config


class Engine(Config):
    """Drake (Tedrake et al., https://drake.mit.edu) with compliant point contact."""

    name: Literal["drake"] = "drake"
    time_step: float = Field(default=0.002, ge=1e-5, le=0.1)
    """Longest step, s: the physics step of the model is divided into equal ones, none longer."""
    penetration: float = Field(default=0.001, ge=1e-6, le=0.1)
    """Depth, m, at which one contact carries the weight of all moving bodies."""
    dissipation: float = Field(default=20.0, ge=0.0, le=1000.0)
    """Dissipation of Hunt and Crossley (1975), s/m; a body bounces off with at most its inverse."""

    @model_serializer(mode="wrap")
    def _plain(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The plain data with its name: without defaults, Drake's own would be no engine at all."""
        return {"name": self.name, **handler(self)}

    def describe(self) -> str:
        """The engine in a line of a domain's description."""
        return f"the engine {self.name}, with steps of at most {self.time_step:g} s"


DRAKE = Engine()


def _by_name(value: Any) -> Any:
    """The settings that a name alone means; None for MuJoCo."""
    if isinstance(value, str):
        return None if value == "mujoco" else {"name": value}
    return value


EngineField = Annotated[Engine | None, BeforeValidator(_by_name)]
"""`drake`, or `{name: drake, time_step: 0.001}`."""
