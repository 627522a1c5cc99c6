from __future__ import annotations

import html.parser
import json
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import pytest

from sim2real.evaluation.formats import cell, number, scale, strip, text
from sim2real.evaluation.report import curves_svg, write_report


def interval(value: float | None, width: float = 0.1) -> dict[str, Any]:
    bounds = (None, None) if value is None else (value - width, value + width)
    values = [] if value is None else [value - 0.05, value, value + 0.05]
    found = {"value": value, "low": bounds[0], "high": bounds[1], "values": values}
    return found | {"seeds": 3, "level": 0.95, "about": "seeds", "why": "no gap" * (value is None)}


def difference(value: float) -> dict[str, Any]:
    tested = {"p": 0.01, "p_corrected": 0.02, "comparisons": 2, "verdict": "better"}
    return interval(value) | tested


def method(after: float, *, baseline: bool = False) -> dict[str, Any]:
    scores = [0.1, after / 2, after]
    own: dict[str, Any] = {
        "return_after": 1234.5,
        "score_before": interval(0.1),
        "score_after": interval(after),
        "gap_closed": interval(None if baseline else 0.5),
        "area": interval(0.3),
        "asymptote": after,
        "steps_to_threshold": None if after < 0.3 else 700.0,
        "curve": {
            "steps": [0, 500, 1000],
            "score": scores,
            "low": [score - 0.1 for score in scores],
            "high": [score + 0.1 for score in scores],
            "values": [[score - 0.05, score, score + 0.05] for score in scores],
        },
        "used": {"steps": 1000.0},
    }
    if not baseline:
        own |= {"jump_start": interval(-0.02), "difference": difference(0.3), "verdict": "better"}
    return own


@pytest.fixture
def report() -> dict[str, Any]:
    target = {
        "random_return": -100.0,
        "oracle_return": 3000.0,
        "zero_shot_return": 400.0,
        "zero_shot_score": interval(0.16),
        "zero_shot_gap": interval(0.84),
        "threshold": 0.3,
        "methods": {"fine_tune": method(0.6), "scratch": method(0.3, baseline=True)},
    }
    return {
        "format": 1,
        "name": "try <b>",
        "about": "A study & its report.",
        "task": "half_cheetah",
        "budget": 1000,
        "seeds": [0, 1, 2],
        "episodes": 20,
        "source_name": "randomized",
        "domains": {
            name: {"about": f"About {name}.", "parameters": ["body_mass × 1.4"]}
            for name in ("randomized", "hard", "windy")
        },
        "source": {
            "random_return": -100.0,
            "pretrained_return": 2000.0,
            "return": interval(2000.0),
        },
        "targets": {"hard": target, "windy": target},
        "overall": {"fine_tune": interval(0.6), "scratch": interval(0.3)},
        "made": {
            "date": "2026-01-31",
            "config": "task: half_cheetah\n",
            "versions": {"python": "3.11.7"},
            "oracle_steps": 500000,
            "source_steps": 300000,
            "algorithm": "ppo",
        },
    }


class Outline(html.parser.HTMLParser):
    """Tags, texts and addresses of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]


def test_page_is_of_one_file(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    page = (tmp_path / "index.html").read_text()
    outline = Outline(page)
    assert outline.tags.count("figure") == 2
    assert outline.tags.count("table") == 3  # one over all targets, one a target
    assert not {"script", "link", "img"} & set(outline.tags)
    assert all(address.startswith("#") for address in outline.addresses)


def test_page_tells_the_numbers_and_quotes_the_text(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    page = (tmp_path / "index.html").read_text()
    assert "try &lt;b&gt;" in page
    assert "A study &amp; its report." in page
    for shown in ("0.60", "0.50 to 0.70", "−0.02", "50 %", "no gap", "1,234", "3,000"):
        assert shown in page, shown
    for shown in ("Gap closed", "fine-tune", "from scratch", "body_mass × 1.4", "Holm"):
        assert shown in page, shown
    assert "budget: fine-tune" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (-0.004, "0.00"), (-0.006, "−0.01"), (1.0, "1.00"), (-10.0, "−10.00")],
)
def test_numbers_have_no_negative_zero(value: float | None, text: str) -> None:
    assert number(value) == text


def test_an_interval_as_text_has_its_seeds() -> None:
    assert text(interval(0.5)) == "0.50 (0.40 to 0.60) [0.45, 0.50, 0.55]"
    assert text(interval(0.5), "percent") == "50 % (40 % to 60 %) [45 %, 50 %, 55 %]"
    assert text(difference(0.5)) == "0.50 (0.40 to 0.60) [0.45, 0.50, 0.55] better"
    assert text(interval(None)) == "– (no gap)"
    assert text(None) == "–"
    one = interval(5.0) | {"values": [5.0], "about": "this policy"}
    assert text(one, "whole") == "5 (5 to 5)"


def test_a_strip_draws_the_interval_and_a_dot_a_seed_on_a_common_scale() -> None:
    ends = scale([interval(0.5), interval(1.5), None, interval(None)])
    assert ends == pytest.approx((0.4, 1.6))
    root = xml.etree.ElementTree.fromstring(strip(interval(0.5), "number", ends))
    (line,) = [element for element in root.iter() if element.tag == "path"]
    assert line.get("d") == "M4.0 6.0H17.3"  # 0.4 to 0.6 on 80 pixels for 0.4 to 1.6
    dots = [float(element.get("cx", "")) for element in root.iter() if element.tag == "circle"]
    assert dots == pytest.approx([7.3, 10.7, 14.0])
    assert root.get("aria-label") == "seeds 0.45, 0.50, 0.55"
    assert 'class="zero"' in strip(difference(0.05))
    assert 'class="zero"' not in strip(interval(0.05))
    assert strip(interval(None)) == ""


def test_two_seeds_are_drawn_without_an_interval() -> None:
    found = interval(0.5) | {"low": None, "high": None, "why": "2 seeds, an interval needs 3"}
    assert strip(found).count("<circle") == 3
    assert "<path" not in strip(found)
    assert "2 seeds, an interval needs 3" in cell(found)
    curve = method(0.6)["curve"] | {"low": [None] * 3, "high": [None] * 3}
    assert "</svg>" in curves_svg("two", {"methods": {"a": {"curve": curve}}})


def test_markdown_and_json_have_them_too(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    text = (tmp_path / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1  # every row has every column
    assert any(
        "fine-tune" in row and "0.60 (0.50 to 0.70) [0.55, 0.60, 0.65]" in row for row in rows
    )


def test_one_seed_is_told(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report | {"seeds": [0]})
    page = (tmp_path / "index.html").read_text()
    assert "of this policy alone" in page
    assert "Holm" not in page


def test_the_seeds_that_an_interval_needs_are_told(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report | {"seeds": [0, 1]})
    assert (
        "There are 2 seeds: an interval, and a verdict, needs 3"
        in (tmp_path / "report.md").read_text()
    )


def test_the_number_of_comparisons_is_told(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)  # one method in two targets against scratch
    for file in ("index.html", "report.md"):
        assert "corrected for the 2 comparisons of this report" in (tmp_path / file).read_text()


def test_the_figure_is_whole_and_the_same_again(report: dict[str, Any]) -> None:
    target = report["targets"]["hard"]
    svg = curves_svg("hard", target)
    assert svg == curves_svg("hard", target)
    root = xml.etree.ElementTree.fromstring(svg)
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"fine-tune", "from scratch", "oracle", "random", "score"} <= texts


def test_a_title_with_odd_characters_stays_xml(report: dict[str, Any]) -> None:
    svg = curves_svg('a"b<c&d', report["targets"]["hard"])
    assert xml.etree.ElementTree.fromstring(svg).get("aria-label") == 'score in a"b<c&d'
