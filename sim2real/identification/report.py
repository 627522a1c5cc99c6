"""The report of an identification: one page, with its figures inside. It computes nothing.

What it shows is in the result, as JSON (`Identification.plain`), and in its evidence.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from sim2real.evaluation.figures import COLOURS, INK
from sim2real.evaluation.numbers import digits, whole
from sim2real.evaluation.page import Draw, png, render, svg
from sim2real.identification.drawing import Line, busiest, draw_windows
from sim2real.identification.evidence import Evidence

TEMPLATES = Path(__file__).parent / "templates"
MOST_CHANNELS, MOST_WINDOWS = 12, 6
"""Channels that are drawn, those explained worst first, and windows side by side."""
MOST_NUMBERS = 14
"""Unknowns up to which the correlations are written into their squares."""
WIDTH, HEIGHT, MARGIN = 132, 14, 4
"""Of the drawing of an interval in its range, in pixels."""
NORMAL_90 = 1.6448536269514722
QUIET = 1e-3
"""Smallest noise of a channel that residuals are drawn in, in units of its change in a step."""
DARK = 0.6
"""Correlation and share of the largest residual, above which numbers are white."""
Found = Mapping[str, Any]


class Drawing(NamedTuple):
    """A figure: its title, what draws it, its size in inches."""

    title: str
    draw: Draw
    size: tuple[float, float]


def page(found: Found, evidence: Evidence) -> str:
    """The report as an HTML page that needs no other file."""
    order = worst_first(found)
    return render(
        TEMPLATES,
        "identification.html",
        {"strip": partial(_strip, evidence), "shade": _shade},
        {
            "found": found,
            "evidence": evidence,
            "headlines": headlines(found, evidence),
            "order": order,
            "predictions": [svg(*prediction(found, evidence, k)) for k in order[:MOST_CHANNELS]],
            "correlation": svg(*correlation(evidence)),
            "residuals": svg(*residuals(found, evidence, order)),
        },
    )


def pictures(found: Found, evidence: Evidence) -> dict[str, bytes]:
    """Figures of the page as PNG files, by name; the predictions of the worst channel."""
    order = worst_first(found)
    drawn = {
        "measured_against_simulated": prediction(found, evidence, order[0]),
        "over_time": residuals(found, evidence, order),
        "posterior_correlation": correlation(evidence),
    }
    return {name: png(one.draw, one.size) for name, one in drawn.items()}


def worst_first(found: Found) -> list[int]:
    """The channels by what is not explained of their change in a step, the largest first."""
    misfit = found["misfit"]
    shares = np.divide(misfit["unexplained"], misfit["change"])
    order: list[int] = np.argsort(-shares, kind="stable").tolist()
    return order


def headlines(found: Found, evidence: Evidence) -> list[str]:
    """What was found, how well it is determined, and whether the family explains the log."""
    table, check = found["table"], found["validation"]
    known = [row for row in table if row["status"] == "identified"]
    seconds = found["steps"] * evidence.dt
    sentences = [
        f"{whole(found['steps'])} steps of {evidence.task} ({digits(seconds)} s) determine "
        f"{len(known)} of the {len(table)} unknowns of the family {evidence.family}."
    ]
    other = [f"{row['name']} ({row['status']})" for row in table if row not in known]
    sentences += [f"Take with care: {', '.join(other)}."] if other else []
    sentences.append(
        f"On {check['windows']} windows held out, {check['steps']} steps ahead, the identified "
        f"world misses by {digits(check['many_steps'])} of a channel's change in a step, the "
        f"nominal world by {digits(check['many_steps_nominal'])}."
    )
    best = found["missing"][0] if found["missing"] else None
    more = f"; adding {best['name']} explains {best['explains']:.0%} of the rest" if best else ""
    sentence = f"{found['sentence']}{more}."
    return [*sentences, sentence[0].upper() + sentence[1:]]


def prediction(found: Found, evidence: Evidence, k: int) -> Drawing:
    """Measured and predicted readings of one channel over windows that were held out."""
    name, unit = evidence.names[k], evidence.units[k]
    title = f"{name} ({unit})" if unit else name
    order = np.argsort(evidence.starts)
    scaled = evidence.measured[order] / np.asarray(found["misfit"]["change"])
    shown = order[busiest(scaled, MOST_WINDOWS)]
    lines = [
        Line("nominal", evidence.nominal[shown, :, k], COLOURS[1], 1.1, ":"),
        Line("identified", evidence.identified[shown, :, k], COLOURS[0], 1.7),
    ]
    noise = NORMAL_90 * found["misfit"]["noise"][k]

    def draw(axes: Axes) -> None:
        draw_windows(axes, evidence.measured[shown, :, k], lines, evidence.dt, noise)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(title, loc="left", fontsize=10.5, color=INK)

    return Drawing(f"measured against simulated: {title}", draw, (4.5, 2.3))


def correlation(evidence: Evidence) -> Drawing:
    """The correlations of the unknowns in the posterior, a square each."""
    names, matrix = list(evidence.shares), evidence.correlation
    count = len(names)

    def draw(axes: Axes) -> None:
        axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
        axes.set_yticks(range(count), [f"{name}  {k}" for k, name in enumerate(names, 1)])
        axes.set_xticks(range(count), [str(k) for k in range(1, count + 1)])
        axes.tick_params(length=0, colors=INK)
        axes.spines[:].set_visible(False)
        for row, column in np.ndindex(matrix.shape) if count <= MOST_NUMBERS else ():
            value = matrix[row, column]
            colour = "white" if abs(value) > DARK else INK
            text = f"{value:.1f}".replace("-", "−").replace("−0.0", "0.0")
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)

    size = (2.9 + 0.42 * count, 0.5 + 0.42 * count)
    return Drawing("correlations of the posterior", draw, size)


def residuals(found: Found, evidence: Evidence, order: list[int]) -> Drawing:
    """The size of the residuals by channel, the worst first, and by window, in order of time.

    In units of a channel's noise, so that a noisy sensor does not look like one that is missed.
    """
    by_time = np.argsort(evidence.times, kind="stable")
    noise = np.divide(found["misfit"]["noise"], found["misfit"]["change"])
    sizes = (evidence.residuals[by_time] / np.maximum(noise, QUIET))[:, order].T
    names = [evidence.names[k] for k in order]

    def draw(axes: Axes) -> None:
        most = max(float(np.quantile(sizes, 0.98)), 2.0)
        drawn = axes.imshow(
            sizes, cmap="Blues", vmin=1.0, vmax=most, aspect="auto", interpolation="none"
        )
        axes.set_yticks(range(len(names)), names)
        places = np.unique(np.linspace(0, len(by_time) - 1, 5).round().astype(int))
        at = evidence.times[by_time[places]]
        axes.set_xticks(places, [digits(float(time)) for time in at])
        axes.set_xlabel("time in the log (s)")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=12)
        bar.set_label("times its noise")
        bar.outline.set_visible(False)

    return Drawing("residuals over time", draw, (7.6, 1.2 + 0.26 * len(names)))


def _strip(evidence: Evidence, name: str) -> Markup:
    """An unknown in its prior range: the 90 % interval, the estimate, a mark at the nominal."""
    nominal, low, high, value = evidence.shares[name]

    def place(share: float) -> str:
        return f"{MARGIN + share * (WIDTH - 2 * MARGIN):.1f}"

    middle = HEIGHT / 2
    parts = [
        f'<path class="range" d="M{place(0)} {middle}H{place(1)}"/>',
        f'<path class="zero" d="M{place(nominal)} 1V{HEIGHT - 1}"/>',
        f'<path class="interval" d="M{place(low)} {middle}H{place(high)}"/>',
        f'<circle cx="{place(value)}" cy="{middle}" r="3"/>',
    ]
    about = html.escape(f"{name} in its range")
    return Markup(
        f'<svg class="strip" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{about}">'
        f"{''.join(parts)}</svg>"
    )


def _shade(value: float, usual: float) -> Markup:
    """A colour behind what is larger than usual, as a style."""
    strength = 0.35 * min(max(value / max(usual, 1e-12) - 1.0, 0.0), 1.0)
    return Markup(f"background: rgb(213 94 0 / {strength:.2f})")
