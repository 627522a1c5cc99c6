"""The style of all figures: colours, and the settings of Matplotlib."""

from __future__ import annotations

from typing import Any

INK, GREY, RULE, ALARM = "#1a1a1a", "#5b5b5b", "#d9d9d9", "#b00020"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#b8860b", "#117733", "#882255")
"""Distinct with every common kind of colour blindness; after Okabe & Ito (2008) and P. Tol."""
MARKERS = "osD^vPX"


def figure_style(size: float) -> dict[str, Any]:
    """Settings for `matplotlib.rc_context`, with a font of `size` points."""
    return {
        "font.family": "sans-serif",
        "font.size": size,
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "text.color": INK,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": RULE,
        "text.parse_math": False,  # a $ in a name is no formula
    }
