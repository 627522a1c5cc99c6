"""The report of a study: a web page of one file, Markdown and JSON. It computes nothing.

Everything shown is in the data that `write_report` is given (see `studies.summary`); here numbers
are rounded, put into tables and drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sim2real.files import write_json, write_text
from sim2real.studies.measures import MEASURES
from sim2real.studies.report.curves import curves_svg, trainings, trainings_svg
from sim2real.studies.report.exports import curve_rows, latex_of, training_rows, write_figure
from sim2real.studies.report.formats import interval_notes
from sim2real.studies.report.headlines import OTHERS, headlines
from sim2real.studies.report.page import render
from sim2real.studies.report.quality import measured

MEANINGS = {
    "Return": "The sum of rewards of an episode, in the task's own units.",
    "Score": "The return on a scale where uniformly random actions have 0 and the oracle of the "
    "same domain has 1, in the source and in the targets.",
    "Oracle": "The return of a training in the domain itself without a budget, over several seeds: "
    "from scratch or from the source's policy, whichever is better. The best policy of each "
    "learning curve counts. One set of episodes chooses policies and way, another one measures.",
    "Zero-shot": "The pretrained policy as it is, before the first step in the target.",
    "Plain fine-tuning": "The pretrained policy learns on with its own learning rate and "
    "exploration, without a warm-up of the critic.",
    "Zero-shot gap": "The score in the source minus the score in the target, before any "
    "adaptation.",
    "Gap closed": "The share of the zero-shot gap that was recovered: 100 % is as good as in the "
    "source, below 0 % is worse than doing nothing.",
    "Better than untouched": "The share of the seeds whose policy is better after the budget than "
    "the untouched one, with its exact binomial interval: the probability that a transfer "
    "improves.",
    **{measure.heading: measure.meaning for measure in MEASURES.values()},
    "Change": "The return in the source after the transfer minus that before it; what is "
    "below 0 was forgotten.",
    "Robot time": "The time in which one robot makes these steps.",
}


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write index.html, report.md, report.json, report.tex and figures/ into `folder`."""
    write_json(folder / "report.json", report)
    quality = measured(target.get("quality", {}) for target in report["targets"].values())
    content = {
        "report": report,
        "meanings": MEANINGS | dict(quality.values()),
        "quality": quality,
        "notes": interval_notes(len(report["seeds"]), 0),
        "headlines": headlines(report),
        "others": OTHERS,
        "measures": MEASURES,
    }
    targets, source = report["targets"], report["source"]
    figures = {name: curves_svg(name, target) for name, target in targets.items()}
    behind = {report["source_name"]: (source["references"], source["pretraining"])} | {
        name: (target["references"], None)
        for name, target in targets.items()
        if name != report["source_name"]
    }
    drawn = {name: trainings_svg(name, *found) for name, found in behind.items()}
    for name, figure in figures.items():
        write_figure(folder, f"return-in-{name}", figure, curve_rows(targets[name]))
    for name, figure in drawn.items():
        write_figure(folder, f"training-in-{name}", figure, training_rows(trainings(*behind[name])))
    write_text(folder / "report.tex", latex_of(report))
    write_text(folder / "report.md", render("report.md", **content))
    page = render("report.html", figures=figures, trainings=drawn, **content)
    write_text(folder / "index.html", page)
