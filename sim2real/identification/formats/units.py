"""Units of the columns of a file, and what they are in SI."""

from __future__ import annotations

import math

_SI = ("", "s", "m", "rad", "m/s", "rad/s", "m/s^2", "rad/s^2", "N", "N m", "V", "A", "K", "Pa")
_OTHER = {
    "deg": (math.pi / 180, "rad"),
    "deg/s": (math.pi / 180, "rad/s"),
    "deg/s^2": (math.pi / 180, "rad/s^2"),
    "rev": (2 * math.pi, "rad"),
    "rev/s": (2 * math.pi, "rad/s"),
    "rpm": (2 * math.pi / 60, "rad/s"),
    "mm": (1e-3, "m"),
    "cm": (1e-2, "m"),
    "mm/s": (1e-3, "m/s"),
    "cm/s": (1e-2, "m/s"),
    "km/h": (1 / 3.6, "m/s"),
    "g0": (9.80665, "m/s^2"),
    "ms": (1e-3, "s"),
    "us": (1e-6, "s"),
    "ns": (1e-9, "s"),
    "min": (60.0, "s"),
    "mN": (1e-3, "N"),
    "N mm": (1e-3, "N m"),
    "kg cm": (9.80665e-2, "N m"),
    "mV": (1e-3, "V"),
    "mA": (1e-3, "A"),
    "%": (1e-2, ""),
}

UNITS: dict[str, tuple[float, str]] = {unit: (1.0, unit) for unit in _SI} | _OTHER
"""By unit: the factor that makes it SI, and the unit that it is then."""
