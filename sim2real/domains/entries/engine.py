"""The engine that moves the worlds of a domain, in place of MuJoCo."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator

from sim2real.config import Config
from sim2real.errors import brief


class Drake(Config):
    """Drake (Tedrake et al., https://drake.mit.edu) with compliant point contact."""

    package: ClassVar[str] = "drake"
    """The distribution that has the engine."""
    name: Literal["drake"]
    time_step: float = Field(default=0.002, ge=1e-5, le=0.1)
    """Longest step, s: the physics step of the model is divided into equal ones, none longer."""
    penetration: float = Field(default=0.001, ge=1e-6, le=0.1)
    """Depth, m, at which one contact carries the weight of all moving bodies."""
    dissipation: float = Field(default=20.0, ge=0.0, le=1000.0)
    """Dissipation of Hunt and Crossley (1975), s/m; a body bounces off with at most its inverse."""

    def describe(self) -> str:
        """The engine in a line of a domain's description."""
        return f"the engine {self.name}, with steps of at most {self.time_step:g} s"


class Warp(Config):
    """MuJoCo Warp (https://github.com/google-deepmind/mujoco_warp): many worlds on a GPU."""

    package: ClassVar[str] = "mujoco-warp"
    """The distribution that has the engine."""
    name: Literal["warp"]
    device: str = "auto"
    """A CUDA device, "cuda" or "cuda:1", or "cpu"; "auto": the first CUDA device, else the CPU."""
    deterministic: bool = True
    """Whether sums on a GPU have a fixed order, so that the same seed gives the same result."""

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"must be auto, cpu, cuda or cuda:NUMBER, got {brief(device)}")
        return device

    def describe(self) -> str:
        """The engine in a line of a domain's description."""
        return f"the engine {self.name} on the device {self.device}"


ENGINES: dict[str, Drake | Warp] = {"drake": Drake(name="drake"), "warp": Warp(name="warp")}
"""The engines in place of MuJoCo, with their default settings."""


def _by_name(value: Any) -> Any:
    """The settings that a name alone means; None for MuJoCo."""
    if isinstance(value, str):
        return None if value == "mujoco" else {"name": value}
    return value


def _name(value: Any) -> Any:
    return value.get("name") if isinstance(value, Mapping) else getattr(value, "name", None)


EngineField = Annotated[
    Annotated[
        Annotated[Drake, Tag("drake")] | Annotated[Warp, Tag("warp")],
        Discriminator(
            _name,
            custom_error_type="engine",
            custom_error_message=f"must be one of mujoco, {', '.join(ENGINES)}",
        ),
    ]
    | None,
    BeforeValidator(_by_name),
]
"""`drake`, or `{name: drake, time_step: 0.001}`."""
