"""All shipped policies on one page, made from their cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim2real.evaluation.numbers import percent, whole
from sim2real.registry import POLICY
from sim2real.runs.pretrained import FOLDER, pretrained_names, read_card

PICTURE = "picture.gif"
PLACE = "../policies/pretrained"
"""The folder of the policies, as seen from the page."""
HEAD = """# All shipped policies

<!-- scripts/zoo.py writes this page from the cards in policies/pretrained -->

Every policy that comes with the library, with its mean return in each domain of its task, the 95 %
interval of this policy over episodes, and how many episodes failed. **Worst** marks the domain with
the lowest return. Returns of different tasks have no common unit. `sim2real view pretrained:NAME
--domains DOMAIN` shows a policy, `sim2real failures pretrained:NAME --domain DOMAIN` says where it
fails, and [reference policies](howto/pretrained.md) how to use one.
"""


def zoo() -> str:
    """The page in Markdown: a table of all policies, then a section for each."""
    cards = {name: read_card(POLICY + name) for name in pretrained_names()}
    sections = [_section(name, card) for name, card in cards.items()]
    return "\n".join([HEAD, *_overview(cards), "", *sections])


def _overview(cards: Mapping[str, Mapping[str, Any]]) -> list[str]:
    rows = []
    for name, card in cards.items():
        home = next(one for one in card["domains"] if one["domain"] == card["domain"])
        worst = worst_of(card["domains"])
        cells = [
            f"[`{POLICY}{name}`](#{name.replace('_', '-')})",
            f"{card['algorithm'].upper()}, {card['steps']:,}",
            f"{whole(home['mean_return'])} in `{card['domain']}`",
            f"{whole(worst['mean_return'])} in `{worst['domain']}`",
            f"{card['parameters']:,}",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    heads = "| policy | training, control steps | where it learned | worst case | numbers |"
    return [heads, "|---|---|---:|---:|---:|", *rows]


def worst_of(domains: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The domain with the lowest mean return; one where all episodes are unstable is lower."""
    return min(
        domains,
        key=lambda one: float("-inf") if one["mean_return"] is None else one["mean_return"],
    )


def _section(name: str, card: Mapping[str, Any]) -> str:
    worst = worst_of(card["domains"])
    succeeds = any("success" in one for one in card["domains"])
    lines = [f"## {name.replace('_', '-')}", "", card["about"], ""]
    if (FOLDER / name / PICTURE).is_file():
        lines += [f"![{name} in {card['domain']}]({PLACE}/{name}/{PICTURE})", ""]
    lines += [
        f"Trained in `{card['domain']}`, seed {card['seed']}; measured on {card['episodes']} "
        f"episodes a domain, seed {card['evaluation_seed']}. The command that made it is in "
        f"`policies/pretrained/{name}/card.md`.",
        "",
        f"| domain | return | 95 % interval | failed |{' success |' if succeeds else ''} |",
        f"|---|---:|---:|---:|{'---:|' if succeeds else ''}---|",
    ]
    for one in card["domains"]:
        mark = " **worst**" if one is worst else ""
        cells = [
            f"`{one['domain']}`{mark}",
            whole(one["mean_return"]),
            "–" if one["low"] is None else f"{whole(one['low'])} to {whole(one['high'])}",
            percent(one["failed"] / card["episodes"]),
            *([percent(one.get("success"))] if succeeds else []),
            one["about"],
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
