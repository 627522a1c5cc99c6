"""Numbers as text, with a proper minus sign."""

from __future__ import annotations


def number(value: float | None) -> str:
    """Two digits; a dash for none."""
    return "–" if value is None else _minus(f"{value:.2f}")


def whole(value: float | None) -> str:
    """A whole number, but three digits of what is below 100 and not whole; a dash for none."""
    if value is None:
        return "–"
    few = abs(value) < 100 and value != int(value)
    return _minus(f"{value:.3g}" if few else f"{value:,.0f}")


def percent(value: float | None) -> str:
    """A share as a percentage; a dash for none."""
    return "–" if value is None else f"{_minus(f'{100 * value:.0f}')} %"


def digits(value: float | None, count: int = 3) -> str:
    """So many significant digits; a dash for none."""
    return "–" if value is None else _minus(f"{value:.{count}g}")


def _minus(number: str) -> str:
    """With a minus sign, which what is rounded to zero has not."""
    digits = number.removeprefix("-")
    return f"−{digits}" if number != digits and digits.strip("0.,") else digits


def duration(seconds: float) -> str:
    """`45 s`, `13 min`, `2.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
