from __future__ import annotations

import dataclasses
import html.parser
import itertools
import json
import re
import xml.etree.ElementTree
from pathlib import Path
from typing import Any

import measured
import numpy as np
import pytest

from sim2real.evaluation import metrics
from sim2real.evaluation.figures import COLOURS
from sim2real.evaluation.numbers import number
from sim2real.studies.measures import MEASURES, Measure, Measured, TargetResults
from sim2real.studies.report.curves import curves_svg, spread_out, trainings_svg
from sim2real.studies.report.formats import cell, scale, strip, text
from sim2real.studies.report.headlines import headlines
from sim2real.studies.report.report import write_report


def interval(value: float | None, width: float = 0.1) -> dict[str, Any]:
    bounds = (None, None) if value is None else (value - width, value + width)
    values = [] if value is None else [value - 0.05, value, value + 0.05]
    found = {"value": value, "low": bounds[0], "high": bounds[1], "values": values}
    return found | {"seeds": 3, "level": 0.95, "about": "seeds", "why": "no gap" * (value is None)}


def difference(value: float) -> dict[str, Any]:
    tested = {"p": 0.01, "p_corrected": 0.02, "comparisons": 2, "verdict": "better"}
    return interval(value) | tested


@pytest.fixture
def report() -> dict[str, Any]:
    """A study with two targets of the same results."""
    results = measured.results()
    far = results.targets["far"]
    windy = dataclasses.replace(
        far, references=dataclasses.replace(far.references, content="windy")
    )
    return measured.report(dataclasses.replace(results, targets={"hard": far, "windy": windy}))


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


def test_a_budget_of_its_own_is_shown(report: dict[str, Any], tmp_path: Path) -> None:
    label = next(iter(report["targets"]["hard"]["methods"]))
    write_report(tmp_path, report | {"own_budgets": {label: 777}})
    text = (tmp_path / "report.md").read_text()
    assert f"After 777 steps {label.replace('_', '-')} reaches" in text
    assert " 777)" in text.split("## ")[0]  # beside the study's budget
    assert "after its budget |" in text


def test_page_is_of_one_file(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    page = (tmp_path / "index.html").read_text()
    outline = Outline(page)
    assert page.count("<figure>") == 2 + 3  # a target each, and the trainings of each domain
    assert outline.tags.count("table") == 1 + 2 * 6  # one over all targets, six a target
    assert not {"script", "link", "img"} & set(outline.tags)
    assert outline.addresses
    assert all(address.startswith("#") for address in outline.addresses)


def test_page_states_the_numbers_and_quotes_the_text(
    report: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path, report)
    page = (tmp_path / "index.html").read_text()
    assert "try &lt;b&gt;" in page
    assert "A study &amp; its report." in page
    far = report["targets"]["hard"]
    after = far["methods"]["fine_tune"]["return_after"]
    for words in (
        f"{after['value']:,.0f}<svg",
        f"{after['low']:,.0f} to {after['high']:,.0f}",
        f"{far['methods']['fine_tune']['forgotten']['value']:,.0f}".replace("-", "−"),
        f"{100 * far['methods']['fine_tune']['gap_closed']['value']:.0f} %",
        "Gap closed",
        "plain fine-tuning",
        "from scratch",
        "Negative transfer",
        "Asymptote",
        "Better than<br>untouched",
        '<th scope="col">Change</th>',
        "Falls",
        "50 s",  # of robot time
        "body_mass × 1.4",
        "its curve flat at the end",
    ):
        assert words in page, words


def test_sentences_tell_a_gap_and_verdicts(report: dict[str, Any]) -> None:
    before, fine_tune, plain = headlines(report)["hard"]
    assert before.startswith("In hard the policy from randomized reaches a return of 19.9 before")
    assert "its score falls from 1.00 in the source to 0.10, a gap of 0.90" in before
    assert fine_tune.endswith(
        "fine-tune reaches 120: better than the untouched policy, plain fine-tuning and learning "
        "from scratch."
    )
    assert plain.endswith(": better than the untouched policy and learning from scratch.")


@pytest.mark.parametrize(
    ("zero_shot", "oracle", "words"),
    [
        (198.0, 200.0, "The gap may be 0"),
        (240.0, 200.0, "it has no score there: the oracle, 200, does not beat the untouched"),
    ],
)
def test_no_sentence_reports_a_negative_loss(zero_shot: float, oracle: float, words: str) -> None:
    results = measured.results()
    far = results.targets["far"]
    here = measured.around(zero_shot, spread=9.0)
    place = dataclasses.replace(measured.references(zero_shot, oracle, "far"), zero_shot=here)
    changed = dataclasses.replace(
        results, targets={"far": dataclasses.replace(far, references=place)}
    )
    sentences = " ".join(headlines(measured.report(changed))["far"])
    assert words in sentences
    assert "falls" not in sentences


def test_a_target_without_a_sound_oracle_says_so_and_is_drawn_in_returns(tmp_path: Path) -> None:
    results = measured.results()
    far = results.targets["far"]
    weak = dataclasses.replace(far.references, oracles={"source": measured.trained(-1)})
    targets = {"far": far, "weak": dataclasses.replace(far, references=weak)}
    write_report(tmp_path, measured.report(dataclasses.replace(results, targets=targets)))
    page, text = ((tmp_path / name).read_text() for name in ("index.html", "report.md"))
    assert page.count("<strong>No score:</strong> the oracle, -1, does not beat random") == 1
    assert "**No score:** the oracle, -1, does not beat random" in text
    assert page.count("<h3>Scores</h3>") == 1
    assert "left out, as their references are unsound: weak" in text


def test_the_source_as_a_target_is_the_control(tmp_path: Path) -> None:
    results = measured.results()
    methods = {"fine_tune": measured.method(100, 100, 100), "scratch": measured.method(0, 1, 2)}
    control = TargetResults(results.source, methods)
    told = measured.report(dataclasses.replace(results, targets={"randomized": control}))
    write_report(tmp_path, told)
    assert "the source itself, the control without a gap" in (tmp_path / "report.md").read_text()


def test_a_control_does_not_count_in_the_mean_of_the_targets(
    report: dict[str, Any], tmp_path: Path
) -> None:
    results = measured.results()
    far = results.targets["far"]
    windy = dataclasses.replace(
        far, references=dataclasses.replace(far.references, content="windy")
    )
    control = dataclasses.replace(far, references=results.source)
    targets = {"randomized": control, "hard": far, "windy": windy}
    told = measured.report(dataclasses.replace(results, targets=targets))
    assert told["controls"] == ["randomized"]
    assert told["overall"] == report["overall"]  # of the same study without the control
    write_report(tmp_path, told)
    for file in ("report.md", "index.html"):
        assert (
            "The source itself is a control and does not count in the mean: randomized."
            in (tmp_path / file).read_text()
        )
    assert "Mean score over 2 targets" in (tmp_path / "report.md").read_text()


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
    assert text(one, "whole") == "5 (4.9 to 5.1)"


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


def test_markdown_and_json_have_them_too(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    assert json.loads((tmp_path / "report.json").read_text()) == report
    lines = (tmp_path / "report.md").read_text().splitlines()
    tables = [list(rows) for is_row, rows in itertools.groupby(lines, is_table) if is_row]
    assert len(tables) == 1 + 2 * 5
    for rows in tables:
        assert len({row.count("|") for row in rows}) == 1  # every row has every column
    after = report["targets"]["hard"]["methods"]["fine_tune"]["score_after"]
    assert any("fine-tune" in row and text(after) in row for row in itertools.chain(*tables))


def test_how_each_policy_acts_is_shown_where_it_was_measured(
    report: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path, report)
    page, text = ((tmp_path / name).read_text() for name in ("index.html", "report.md"))
    assert "| policy | jitter | energy |\n|---|---:|---:|\n| zero-shot | 0.2 | 1,234 |" in text
    assert '<th scope="row">fine-tune</th><td>0.3</td><td>1,234</td>' in page
    assert "<dt>Jitter</dt>" in page
    assert "<dt>Slip</dt>" not in page
    for target in report["targets"].values():
        del target["quality"]  # as in a report of an older version
    write_report(tmp_path, report)
    page, text = ((tmp_path / name).read_text() for name in ("index.html", "report.md"))
    assert "How each policy acts" not in page + text
    assert "<dt>Jitter</dt>" not in page


def is_table(line: str) -> bool:
    return line.startswith("|")


def test_one_seed_is_reported(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report | {"seeds": [0]})
    assert "of this policy alone" in (tmp_path / "index.html").read_text()


def test_the_seeds_that_an_interval_needs_are_reported(
    report: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path, report | {"seeds": [0, 1]})
    assert (
        "There are 2 seeds: an interval, and a verdict, needs 3"
        in (tmp_path / "report.md").read_text()
    )


def test_the_number_of_comparisons_is_reported(report: dict[str, Any], tmp_path: Path) -> None:
    write_report(tmp_path, report)
    # fine-tuning against three and plain fine-tuning against two; two in the source
    for file, count in (("index.html", 2 * 2), ("report.md", 2)):
        told = (tmp_path / file).read_text()
        assert told.count("corrected for the 5 comparisons of this table (Holm)") == 2, file
        assert told.count("of this table (Holm)") == count, file


def texts(svg: str) -> set[str]:
    root = xml.etree.ElementTree.fromstring(svg)
    return {element.text or "" for element in root.iter() if element.tag.endswith("text")}


def test_the_figure_is_whole_and_the_same_again(report: dict[str, Any]) -> None:
    target = report["targets"]["hard"]
    svg = curves_svg("hard", target)
    assert svg == curves_svg("hard", target)
    assert {
        "fine-tune",
        "plain fine-tuning",
        "from scratch",
        "oracle (score 1)",
        "random (score 0)",
        "return",
    } <= texts(svg)


def test_labels_of_lines_that_coincide_are_apart() -> None:
    assert spread_out([0.2, 0.5, 0.5, 0.5], 0.1) == pytest.approx([0.2, 0.4, 0.5, 0.6])
    crowded = spread_out([0.5, 0.52, 0.55, 0.58, 0.9], 0.1)
    assert min(b - a for a, b in itertools.pairwise(crowded)) >= 0.1 - 1e-9


def test_the_trainings_of_the_references_are_drawn(report: dict[str, Any]) -> None:
    source = report["source"]
    svg = trainings_svg("home", source["references"], source["pretraining"])
    assert {"pretraining", "oracle from scratch", "oracle from the source"} <= texts(svg)


def test_a_pretraining_that_is_the_oracle_stays_visible_below_its_line(
    report: dict[str, Any],
) -> None:
    curve = report["source"]["pretraining"]
    references = {"ways": {"scratch": {"curve": curve}}}
    svg = trainings_svg("home", references, curve)
    lines = re.findall(r"stroke: (#\w+); stroke-width: ([\d.]+); stroke-linecap: square", svg)
    widths = {color: float(width) for color, width in lines if float(width) > 1}
    assert widths[COLOURS[0]] > widths[COLOURS[1]] + 1


def test_the_steps_of_each_oracle_are_those_of_its_curve(
    report: dict[str, Any], tmp_path: Path
) -> None:
    references = report["source"]["references"]
    references["ways"]["scratch"]["curve"]["steps"][-1] = 30_000
    write_report(tmp_path, report)
    for file in ("index.html", "report.md"):
        assert "from scratch, 30,000 steps: " in (tmp_path / file).read_text()


def test_a_title_with_odd_characters_stays_xml(report: dict[str, Any]) -> None:
    svg = curves_svg('a"b<c&d', report["targets"]["hard"])
    assert xml.etree.ElementTree.fromstring(svg).get("aria-label") == 'return in a"b<c&d'


def test_names_may_have_signs_of_markdown_and_formulas(tmp_path: Path) -> None:
    results = measured.results()
    far = results.targets["far"]
    odd = r"a|b $\frc$ [/x]"
    methods = {odd if name == "fine_tune" else name: one for name, one in far.methods.items()}
    targets = {"far": dataclasses.replace(far, methods=methods)}
    report = measured.report(dataclasses.replace(results, targets=targets))
    write_report(tmp_path, report)
    rows = [line for line in (tmp_path / "report.md").read_text().splitlines() if is_table(line)]
    assert sum(r"| a\|b $\frc$ [/x] |" in row for row in rows) == 5
    assert odd in texts(curves_svg("far", report["targets"]["far"]))


def test_a_further_measure_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def regret(method: Measured, target: TargetResults) -> Any:
        return target.references.scale.oracle - method.of_curve(metrics.area_under_curve)

    def best(method: Measured, target: TargetResults) -> Any:
        return method.of_curve(lambda steps, values: np.asarray(values).max(axis=-1))

    measures = {
        "regret": Measure(regret, "Regret", "The oracle's return minus the mean on the way."),
        "best_return": Measure(best, "Best point", "The highest point.", score="best"),
        "points": Measure(lambda method, _: float(len(method.steps)), "Points", "Evaluations."),
    }
    for name, measure in measures.items():
        monkeypatch.setitem(MEASURES, name, measure)
    report = measured.report(measured.results())
    target = report["targets"]["far"]
    method, oracle = target["methods"]["fine_tune"], target["references"]
    points = [point["value"] for point in method["curve"]["points"]]
    expected = oracle["ways"][oracle["way"]]["return"]["value"] - method["area_return"]["value"]
    assert method["regret"]["value"] == pytest.approx(expected)
    assert method["best_return"]["value"] >= max(points) - 1e-9
    assert method["best"]["value"] >= method["area"]["value"]
    write_report(tmp_path, report)
    page = (tmp_path / "report.md").read_text()
    assert "| negative transfer | regret | best point | points |" in page
    shown = text(method["regret"], "whole")
    assert f" {shown} | {text(method['best_return'], 'whole')} | {len(points)} |" in page
    assert '<th scope="col">Best point</th>' in (tmp_path / "index.html").read_text()
