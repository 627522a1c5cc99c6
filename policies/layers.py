"""Sizes of layers, as options have them."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

Width = Annotated[int, Field(ge=1, le=100_000)]
MOST_LAYERS = 100


def _sizes(value: object) -> object:
    """Layer sizes may be written "64x64", as on a command line."""
    if not isinstance(value, str):
        return value
    sizes = value.split("x")
    if not all(size.isascii() and size.isdecimal() for size in sizes):
        raise ValueError("layers are sizes such as 64x64")
    return sizes


def _few(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the layers; ValueError for more than a network should have."""
    if len(sizes) > MOST_LAYERS:
        raise ValueError(f"at most {MOST_LAYERS} layers, got {len(sizes):,}")
    return sizes


Layers = Annotated[tuple[Width, ...], BeforeValidator(_sizes), AfterValidator(_few)]
