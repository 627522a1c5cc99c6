"""The figure of an audit: the motion at both ends of the range of every parameter."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any, cast

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim2real.evaluation.audit.findings import AuditReport, Finding
from sim2real.evaluation.figures import ALARM, COLOURS, GREY, INK, figure_style
from sim2real.files import write_bytes

LINES = {
    "low": (COLOURS[0], "-"),
    "high": (COLOURS[1], "-"),
    "value": (COLOURS[1], "-"),
    "drawn": (COLOURS[2], "-"),
}
COLUMNS = 3


def write_figure(path: Path, report: AuditReport) -> None:
    """Write `report` as a PNG: a panel a parameter, the nominal world grey and dashed."""
    shown = [finding for finding in report.findings if finding.curve is not None]
    rows = max(1, -(-len(shown) // COLUMNS))
    with matplotlib.rc_context(cast(Any, figure_style(9))):
        figure = Figure(figsize=(4.1 * COLUMNS, 2.6 * rows + 0.7), layout="constrained", dpi=110)
        verdict = "passed" if report.passed else f"{len(report.errors)} errors"
        figure.suptitle(f"Audit of {report.task} in {report.domain}: {verdict}", fontsize=13)
        panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
        for axes, finding in zip(panels, shown, strict=False):
            _draw(axes, finding)
        for axes in panels[len(shown) :]:
            axes.set_axis_off()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_bytes(path, buffer.getvalue())


def _draw(axes: Axes, finding: Finding) -> None:
    curve = finding.curve
    assert curve is not None
    values = {end.name: end.value for end in finding.ends}
    for name, line in curve.lines.items():
        colour, style = LINES.get(name, (GREY, "--"))
        value = values.get(name)
        label = name if value is None else f"{name} {value:.3g}"
        front = 3 if name == "nominal" else 2
        axes.plot(
            curve.seconds, line, style, color=colour, linewidth=1.5, label=label, zorder=front
        )
    bad = finding.verdict in ("error", "waived")
    axes.set_title(finding.parameter, loc="left", fontsize=10, pad=17, color=ALARM if bad else INK)
    messages = [*finding.errors, *finding.warnings]
    if messages:
        text = textwrap.fill(messages[0], 52, max_lines=4)
        colour = ALARM if bad else INK
        low, high = axes.get_ylim()
        axes.set_ylim(low, high + 0.5 * (high - low))  # room for the message
        where = axes.transAxes
        axes.text(
            0.03,
            0.95,
            text,
            fontsize=8,
            color=colour,
            transform=where,
            va="top",
            zorder=4,
        )
    axes.set_ylabel(curve.quantity, fontsize=8)
    axes.set_xlabel(f"time in s, {curve.command}", fontsize=8)
    axes.margins(x=0.0)
    axes.grid(axis="y")
    axes.legend(
        frameon=False,
        fontsize=7.5,
        ncols=3,
        handlelength=1.5,
        loc="lower left",
        bbox_to_anchor=(-0.01, 0.99),
        borderaxespad=0.1,
    )
