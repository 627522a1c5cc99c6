"""The results of a study in sentences; every number comes from its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim2real.evaluation.numbers import number, whole
from sim2real.studies.report.formats import (
    SCRATCH,
    bounds_text,
    budget_of,
    label,
)

Found = Mapping[str, Any]
OTHERS = {
    "zero_shot": "the untouched policy",
    "plain": "plain fine-tuning",
    "scratch": "learning from scratch",
}
VERDICTS = {
    "better": "better than",
    "worse": "worse than",
    "undecided": "undecided against",
    "too few seeds": "with too few seeds for a verdict against",
}


def headlines(report: Found) -> dict[str, list[str]]:
    """Sentences for each target: before the transfer, then each method."""
    return {
        name: [_before(report, name, target), *_after(report, target)]
        for name, target in report["targets"].items()
    }


def _before(report: Found, name: str, target: Found) -> str:
    reached = whole(target["zero_shot"]["return"]["value"])
    start = (
        f"In {name} the policy from {report['source_name']} reaches a return of {reached} before "
        "it has adapted"
    )
    if target["problems"]:
        return f"{start}; it has no score there: {target['problems'][0]}."
    score = number(target["zero_shot"]["score"]["value"])
    if name in report["controls"]:
        return f"{start}, a score of {score}; it is the source itself, the control without a gap."
    gap, home = target["zero_shot_gap"], report["source"]["score"]
    if gap is None or home is None:
        return f"{start}, a score of {score}."
    at_home = number(home["value"])
    if gap["low"] is None:
        return f"{start}, a score of {score}; in the source it is {at_home} ({gap['why']})."
    if gap["low"] > 0:
        return (
            f"{start}: its score falls from {at_home} in the source to {score}, a gap of "
            f"{number(gap['value'])} ({bounds_text(gap)})."
        )
    if gap["high"] < 0:
        return f"{start}, a score of {score}, above its {at_home} in the source: there is no gap."
    return (
        f"{start}, a score of {score}; in the source it is {at_home}. The gap may be 0: "
        f"{bounds_text(gap)}."
    )


def _after(report: Found, target: Found) -> list[str]:
    return [
        f"After {whole(budget_of(report, name))} steps {label(name)} reaches "
        f"{whole(method['return_after']['value'])}: {_against(method['against'])}."
        for name, method in target["methods"].items()
        if name != SCRATCH
    ]


def _against(comparisons: Found) -> str:
    """Better than these, worse than those: one phrase a verdict."""
    phrases = []
    for verdict, words in VERDICTS.items():
        names = [OTHERS[name] for name, one in comparisons.items() if one["verdict"] == verdict]
        if names:
            phrases.append(f"{words} {_listed(names)}")
    return ", ".join(phrases)


def _listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
